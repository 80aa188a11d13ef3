"""REST doors to one's own tokens, and the one that gives a token for a password."""

from typing import Any

from django.contrib.auth import authenticate
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer

from clients import auditing
from clients.errors import Refusal
from clients.models import ApiToken
from clients.people import roles
from clients.people.permissions import HasARole
from clients.people.refusing import refusal_of
from clients.tokens import issuing


class LoginSerializer(serializers.Serializer[Any]):
    username = serializers.CharField(max_length=150)
    password = serializers.CharField(max_length=1000, trim_whitespace=False, write_only=True)
    name = serializers.CharField(max_length=100, default="vrasctl", help_text="what the token is for")
    scope = serializers.ChoiceField(choices=ApiToken.Scope.choices, default=ApiToken.Scope.WRITE)


class ApiTokenSerializer(serializers.ModelSerializer[ApiToken]):
    token = serializers.CharField(read_only=True, help_text="the token itself, shown this once")

    class Meta:
        model = ApiToken
        fields = ["id", "name", "scope", "created_at", "expires_at", "last_used", "token"]
        read_only_fields = ["id", "created_at", "expires_at", "last_used"]


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
        row, text = issuing.make(
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
            row, text = issuing.make(
                user, name=wish.validated_data["name"], scope=wish.validated_data["scope"], now=timezone.now()
            )
        row.token = text  # type: ignore[attr-defined]  # shown once, never stored
        return Response(ApiTokenSerializer(row).data, status=status.HTTP_201_CREATED)
