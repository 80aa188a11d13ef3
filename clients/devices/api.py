"""REST doors to device policies: of groups, PCs and users, and to the devices of a PC."""

from typing import Any, ClassVar

from django.contrib.auth import get_user_model
from django.http import HttpResponse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import viewsets
from rest_framework.decorators import action
from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from clients.devices import planning, policing
from clients.devices.serializers import (
    AssignSerializer,
    DevicePolicySerializer,
    ImportedSerializer,
    PcDevicesSerializer,
    PreviewSerializer,
    UserSerializer,
    WhySerializer,
    device_json,
    language,
    policy_json,
    preview_json,
    rule_json,
    sleep_json,
    why_json,
)
from clients.enrolment import enrolling
from clients.errors import Refusal
from clients.etags import IF_MATCH, if_match
from clients.models import Client, Group
from clients.pcs.serializers import ClientSerializer
from clients.wifi import networking
from vrasnode import words

MAX_IMPORT = 1 << 20
TEXT: Any = {"text/plain": OpenApiTypes.STR}
GIVES_TEXT: Any = {(200, "text/plain"): OpenApiTypes.STR}


class TextParser(BaseParser):
    """text/plain, whole."""

    media_type = "text/plain"

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> Any:
        data: bytes = stream.read(MAX_IMPORT + 1)
        try:
            if len(data) <= MAX_IMPORT:
                return data.decode()
        except UnicodeDecodeError:
            pass
        raise Refusal("not_text", _("Send up to 1 MiB of UTF-8 text."), status=400)


class TextRenderer(BaseRenderer):
    """For those who ask for text/plain; the door answers it by itself."""

    media_type = "text/plain"
    format = "text"

    def render(self, data: Any, *_context: Any) -> Any:
        return str(data)


class DevicePolicyActions(viewsets.GenericViewSet[Any]):
    """The policy of whatever row the address names."""

    serializer_class: Any = DevicePolicySerializer

    @extend_schema(methods=["GET"], responses=DevicePolicySerializer)
    @extend_schema(
        methods=["PUT"],
        request=DevicePolicySerializer,
        responses=DevicePolicySerializer,
        parameters=[IF_MATCH],
    )
    @action(detail=True, methods=["get", "put"], url_path="device-policy")
    def device_policy(self, request: Request, **_kwargs: str) -> Response:
        """The whole policy with its ETag; PUT replaces it, on top of the revision that If-Match names."""
        owner = self.get_object()
        if request.method == "PUT":
            wish = DevicePolicySerializer(data=request.data)
            wish.is_valid(raise_exception=True)
            policing.save(
                owner,
                wish.draft(),
                revision=if_match(request),
                reason=wish.validated_data["reason"],
                now=timezone.now(),
            )
        row = policing.stored(owner)
        draft, revision = policing.draft_of(owner)
        remarks = policing.check(draft, now=timezone.now())
        return Response(policy_json(draft, row, remarks), headers={"ETag": f'"{revision}"'})

    @extend_schema(request=DevicePolicySerializer, responses=PreviewSerializer)
    @action(detail=True, methods=["post"], url_path="device-policy/preview")
    def device_policy_preview(self, request: Request, **_kwargs: str) -> Response:
        """What would change on which PC; nothing is saved."""
        owner = self.get_object()
        wish = DevicePolicySerializer(data=request.data)
        wish.is_valid(raise_exception=True)
        draft = wish.draft()
        preview = planning.preview(owner, draft, now=timezone.now())
        return Response(preview_json(preview, draft, policing.check(draft, now=timezone.now())))

    @extend_schema(methods=["GET"], responses=GIVES_TEXT)
    @extend_schema(methods=["POST"], request=TEXT, responses=ImportedSerializer)
    @action(
        detail=True,
        methods=["get", "post"],
        url_path="device-policy/usbguard",
        parser_classes=[TextParser],
        renderer_classes=[JSONRenderer, TextRenderer],
    )
    def device_policy_usbguard(self, request: Request, **_kwargs: str) -> Any:
        """GET: the USB rules in usbguard's language. POST: such rules as ours; nothing is saved."""
        owner = self.get_object()
        if request.method == "GET":
            draft, _revision = policing.draft_of(owner)
            return HttpResponse(policing.exported(draft), content_type="text/plain; charset=utf-8")
        rules = policing.imported(str(request.data), scope=policing.scope_of(owner))
        return Response({"rules": [rule_json(rule) for rule in rules]})


class GroupPolicyViewSet(DevicePolicyActions):
    """What a group's address offers about devices."""

    queryset = Group.objects.all()
    lookup_field = "name"
    lookup_value_regex = "[^/]+"


class ClientDevicesViewSet(DevicePolicyActions):
    """What a PC's address offers about its devices and its user."""

    queryset = Client.objects.select_related("group", "assigned_user", "device_record")

    @extend_schema(responses=PcDevicesSerializer)
    @action(detail=True, methods=["get"])
    def devices(self, request: Request, **_kwargs: str) -> Response:
        """Every device: what becomes of it, why, and whether the client VM has it now."""
        client = self.get_object()
        found = planning.standings(client, now=timezone.now())
        return Response(
            {
                "reported_at": client.record.reported_at if client.record else None,
                "devices": [device_json(standing) for standing in found],
                "findings": [
                    {
                        "severity": finding.severity,
                        "code": finding.code,
                        "words": words.say(finding.code, language(), finding.details),
                        "remedy": words.say(f"{finding.code}.remedy", language(), finding.details),
                    }
                    for finding in planning.findings(client, now=timezone.now())
                ],
                "sleep": sleep_json(planning.sleep(client)),
                "wifi": networking.standing_json(client),
            }
        )

    @extend_schema(responses=WhySerializer)
    @action(detail=True, methods=["get"], url_path=r"devices/(?P<bus>pci|usb|optical)/(?P<key>[^/]+)/why")
    def why(self, request: Request, bus: str, key: str, **_kwargs: str) -> Response:
        """Why this device is as it is: the rule, for whom it was made, by whom."""
        return Response(why_json(planning.why(self.get_object(), bus, key, now=timezone.now())))

    @extend_schema(request=AssignSerializer, responses=ClientSerializer)
    @action(detail=True, methods=["post"])
    def assign(self, request: Request, **_kwargs: str) -> Response:
        """Says which employee has this PC, or none."""
        client = self.get_object()
        wish = AssignSerializer(data=request.data)
        wish.is_valid(raise_exception=True)
        enrolling.assign(client, wish.validated_data["user"])
        return Response(ClientSerializer(client).data)


class UserViewSet(viewsets.ReadOnlyModelViewSet[Any], DevicePolicyActions):
    """Employees, by login name; made in the operators' door."""

    queryset = get_user_model()._default_manager.order_by("username").prefetch_related("assigned_clients")
    serializer_class = UserSerializer
    lookup_field = "username"
    lookup_value_regex = "[^/]+"
    search_fields: ClassVar = ["username", "first_name", "last_name"]
