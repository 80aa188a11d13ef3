"""The registry's REST doors."""

from typing import Any, ClassVar

from django.contrib.auth import authenticate
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, status, viewsets
from rest_framework.decorators import action
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer

from clients import auditing, grouping
from clients.enrolment import endorsing, enrolling
from clients.errors import Refusal
from clients.models import ApiToken, Client, EnrolmentToken, Event, Group, PublisherKey
from clients.people import roles, tokens
from clients.people.refusing import refusal_of
from clients.people.tokens import HasARole
from clients.serializers import (
    ApiTokenSerializer,
    ClientSerializer,
    EnrolmentTokenSerializer,
    EventSerializer,
    GroupSerializer,
    LoginSerializer,
    PublisherKeySerializer,
    ReasonSerializer,
    RegroupSerializer,
)


class GroupViewSet(viewsets.ModelViewSet[Group]):
    """Groups of PCs, by name."""

    queryset = Group.objects.all()
    serializer_class = GroupSerializer
    lookup_field = "name"
    lookup_value_regex = "[^/]+"
    search_fields: ClassVar = ["name", "note"]
    http_method_names = ["get", "post", "patch", "delete", "head", "options"]

    def perform_create(self, serializer: BaseSerializer[Group]) -> None:
        serializer.instance = Group(**serializer.validated_data)
        grouping.keep(serializer.instance)

    def perform_update(self, serializer: BaseSerializer[Group]) -> None:
        group: Any = serializer.instance
        for name, value in serializer.validated_data.items():
            setattr(group, name, value)
        grouping.keep(group)

    def perform_destroy(self, instance: Group) -> None:
        grouping.delete(instance)


class ClientViewSet(viewsets.ReadOnlyModelViewSet[Client]):
    """Client PCs."""

    queryset = Client.objects.select_related("group", "assigned_user")
    serializer_class = ClientSerializer
    search_fields: ClassVar = ["name", "group__name"]
    ordering_fields: ClassVar = ["name", "state", "enrolled_at"]
    filterset_fields: ClassVar = {
        "state": ["exact", "in"],
        "group__name": ["exact"],
        "name": ["exact", "in"],
        "assigned_user__username": ["exact"],
        "simulated": ["exact"],
    }

    @extend_schema(request=None)
    @action(detail=True, methods=["post"])
    def approve(self, request: Request, pk: str) -> Response:
        """Gives a pending PC its certificate."""
        client = self.get_object()
        enrolling.approve(client, now=timezone.now())
        return Response(self.get_serializer(client).data)

    @extend_schema(request=ReasonSerializer)
    @action(detail=True, methods=["post"])
    def revoke(self, request: Request, pk: str) -> Response:
        """Refuses a PC from its next contact on."""
        client = self.get_object()
        wish = ReasonSerializer(data=request.data)
        wish.is_valid(raise_exception=True)
        enrolling.revoke(client, reason=wish.validated_data["reason"])
        return Response(self.get_serializer(client).data)

    @extend_schema(request=RegroupSerializer)
    @action(detail=True, methods=["post"])
    def regroup(self, request: Request, pk: str) -> Response:
        """Moves a PC to another group, or to none."""
        client = self.get_object()
        wish = RegroupSerializer(data=request.data)
        wish.is_valid(raise_exception=True)
        enrolling.regroup(client, wish.validated_data["group"], now=timezone.now())
        return Response(self.get_serializer(client).data)


class EnrolmentTokenViewSet(
    mixins.CreateModelMixin,
    mixins.ListModelMixin,
    mixins.DestroyModelMixin,
    viewsets.GenericViewSet[EnrolmentToken],
):
    """One-time tokens by which PCs join. The token itself is in the answer to its creation only."""

    queryset = EnrolmentToken.objects.select_related("group", "used_by")
    serializer_class = EnrolmentTokenSerializer

    def perform_create(self, serializer: BaseSerializer[EnrolmentToken]) -> None:
        wish = serializer.validated_data
        row, text = enrolling.make_token(
            group=wish.get("group"), approved=wish.get("approved", False), now=timezone.now()
        )
        row.token = text  # type: ignore[attr-defined]  # shown once, never stored
        serializer.instance = row

    def perform_destroy(self, instance: EnrolmentToken) -> None:
        auditing.record("enrolmenttoken.deleted", instance)
        instance.delete()


class ApiTokenViewSet(
    mixins.CreateModelMixin,
    mixins.ListModelMixin,
    mixins.DestroyModelMixin,
    viewsets.GenericViewSet[ApiToken],
):
    """One's own keys to REST."""

    serializer_class = ApiTokenSerializer
    permission_classes = [HasARole]
    queryset = ApiToken.objects.none()

    def get_queryset(self) -> QuerySet[ApiToken]:
        if getattr(self, "swagger_fake_view", False):
            return ApiToken.objects.none()
        return ApiToken.objects.filter(user=self.request.user.pk)

    def perform_create(self, serializer: BaseSerializer[ApiToken]) -> None:
        wish = serializer.validated_data
        mine = self.request.auth
        if isinstance(mine, ApiToken) and mine.scope == ApiToken.Scope.READ:
            raise Refusal("read_only_token", _("A token that may only read makes no tokens."), status=403)
        row, text = tokens.make(
            self.request.user,
            name=wish["name"],
            scope=wish.get("scope", ApiToken.Scope.WRITE),
            now=timezone.now(),
        )
        row.token = text  # type: ignore[attr-defined]  # shown once, never stored
        serializer.instance = row

    @extend_schema(request=LoginSerializer, responses=ApiTokenSerializer)
    @action(detail=False, methods=["post"], permission_classes=[AllowAny], authentication_classes=[])
    def login(self, request: Request) -> Response:
        """A token for a name and a password."""
        wish = LoginSerializer(data=request.data)
        wish.is_valid(raise_exception=True)
        user = authenticate(
            request._request,
            username=wish.validated_data["username"],
            password=wish.validated_data["password"],
        )
        if user is None and (refusal := refusal_of(request._request)):
            raise refusal
        if user is None:
            raise AuthenticationFailed(
                _("Name and password do not fit, or too many tries. Wait five minutes.")
            )
        if not roles.role_of(user):
            raise Refusal("no_role", _("This account has no role here. Ask your IT department."), status=403)
        with auditing.acting(auditing.Actor(name=user.get_username(), kind="user", origin="rest login")):
            row, text = tokens.make(
                user, name=wish.validated_data["name"], scope=wish.validated_data["scope"], now=timezone.now()
            )
        row.token = text  # type: ignore[attr-defined]  # shown once, never stored
        return Response(ApiTokenSerializer(row).data, status=status.HTTP_201_CREATED)


class PublisherKeyViewSet(
    mixins.CreateModelMixin,
    mixins.RetrieveModelMixin,
    mixins.ListModelMixin,
    viewsets.GenericViewSet[PublisherKey],
):
    """Public keys of publishers; PCs trust those that the root vouches for."""

    queryset = PublisherKey.objects.all()
    serializer_class = PublisherKeySerializer

    def perform_create(self, serializer: BaseSerializer[PublisherKey]) -> None:
        wish = serializer.validated_data
        serializer.instance = endorsing.register(wish["public_key"], name=wish["name"])

    @extend_schema(request=None)
    @action(detail=True, methods=["post"])
    def endorse(self, request: Request, pk: str) -> Response:
        """Signs the key with the root, where the root key lies on the server."""
        key = self.get_object()
        endorsing.endorse(key, now=timezone.now())
        return Response(self.get_serializer(key).data)

    @extend_schema(request=ReasonSerializer)
    @action(detail=True, methods=["post"])
    def revoke(self, request: Request, pk: str) -> Response:
        """No PC accepts what this key signs any more."""
        key = self.get_object()
        wish = ReasonSerializer(data=request.data)
        wish.is_valid(raise_exception=True)
        endorsing.revoke(key, reason=wish.validated_data["reason"])
        return Response(self.get_serializer(key).data)


class EventViewSet(viewsets.ReadOnlyModelViewSet[Event]):
    """The audit log, newest first."""

    queryset = Event.objects.all()
    serializer_class = EventSerializer
    search_fields: ClassVar = ["actor", "verb", "object_name"]
    filterset_fields: ClassVar = {
        "verb": ["exact"],
        "object_type": ["exact"],
        "object_id": ["exact"],
        "actor": ["exact"],
    }
