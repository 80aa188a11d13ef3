"""REST doors to the Wi-Fi of a group."""

from typing import Any

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from clients.models import Client, Group, WifiNetwork
from clients.wifi import networking
from clients.wifi.networking import MAX_CERTIFICATE_CHARS, MAX_SECRET_BYTES, Wish
from vrasnode.wire.network import WifiSecurity


class WifiPcSerializer(serializers.Serializer[Any]):
    """A PC of the group."""

    id = serializers.UUIDField()
    name = serializers.CharField()
    has_card = serializers.BooleanField(
        allow_null=True, help_text="null: it did not describe its devices yet"
    )


class WifiSerializer(serializers.Serializer[Any]):
    """The Wi-Fi that a group's PCs join; `ssid` is empty where they join none."""

    ssid = serializers.CharField(max_length=32)
    hidden = serializers.BooleanField(default=False)
    security = serializers.ChoiceField(choices=WifiNetwork.Security.choices)
    ca_certificate = serializers.CharField(
        max_length=MAX_CERTIFICATE_CHARS, default="", allow_blank=True, help_text="PEM, for 802.1X"
    )
    server_name = serializers.CharField(
        max_length=253, default="", allow_blank=True, help_text="in the RADIUS server's certificate"
    )
    identity = serializers.CharField(max_length=200, default="", allow_blank=True)
    secret = serializers.CharField(
        max_length=MAX_SECRET_BYTES,
        default="",
        allow_blank=True,
        trim_whitespace=False,
        write_only=True,
        help_text="password or passphrase; empty: as it was",
    )
    reason = serializers.CharField(max_length=500, default="", allow_blank=True, write_only=True)
    has_secret = serializers.BooleanField(read_only=True)
    pcs = WifiPcSerializer(many=True, read_only=True)


class GroupWifiViewSet(viewsets.GenericViewSet[Group]):
    """What a group's address offers about Wi-Fi."""

    queryset = Group.objects.all()
    serializer_class = WifiSerializer
    lookup_field = "name"
    lookup_value_regex = "[^/]+"

    @extend_schema(methods=["DELETE"], responses={204: None})
    @action(detail=True, methods=["get", "put", "delete"])
    def wifi(self, request: Request, **_kwargs: str) -> Response:
        """The Wi-Fi of this group's PCs, and which have a card for it; PUT replaces it, DELETE ends it."""
        group: Any = self.get_object()
        if request.method == "DELETE":
            networking.forget(group, reason="")
            return Response(status=status.HTTP_204_NO_CONTENT)
        if request.method == "PUT":
            asked = WifiSerializer(data=request.data)
            asked.is_valid(raise_exception=True)
            said = dict(asked.validated_data)
            reason = said.pop("reason")
            wish = Wish(**{**said, "security": WifiSecurity(said["security"])})
            networking.keep(group, wish, reason=reason, now=timezone.now())
        return Response(_json(group))


def _json(group: Group) -> dict[str, Any]:
    row = networking.network_of(group) or WifiNetwork(group=group)
    approved = Client.objects.approved().filter(group=group).select_related("device_record")
    names = ("ssid", "hidden", "security", "ca_certificate", "server_name", "identity")
    return {name: getattr(row, name) for name in names} | {
        "has_secret": row.secret is not None,
        "pcs": [
            {"id": client.pk, "name": client.name, "has_card": has}
            for client, has in networking.cards(approved)
        ],
    }
