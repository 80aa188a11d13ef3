"""People's keys to REST: `Bearer vras_<id>.<secret>`, hashed, scoped, expiring."""

from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request

from clients import auditing, credentials
from clients.models import ApiToken
from clients.people import roles

USED_GRAIN = timedelta(minutes=1)


def make(user: Any, *, name: str, scope: str, now: datetime) -> tuple[ApiToken, str]:
    """A new token and its text, which is shown this once."""
    fresh = credentials.fresh()
    token = ApiToken.objects.create(
        id=fresh.id,
        user=user,
        name=name,
        scope=scope,
        secret_hash=credentials.hashed(fresh.secret),
        expires_at=now + settings.API_TOKEN_LIFE,
    )
    auditing.record("apitoken.created", token, after={"scope": scope})
    return token, f"vras_{fresh.id}.{fresh.secret}"


def bearer(text: str, *, now: datetime) -> ApiToken | None:
    """The living token that `text` opens, or None."""
    if not text.startswith("vras_") or "." not in text:
        return None
    ident, secret = text.removeprefix("vras_").split(".", 1)
    token = ApiToken.objects.select_related("user").filter(pk=ident, expires_at__gt=now).first()
    if token is None or not credentials.matches(secret, token.secret_hash) or not token.user.is_active:
        return None
    if token.last_used is None or now - token.last_used > USED_GRAIN:
        ApiToken.objects.filter(pk=token.pk).update(last_used=now)
    return token


class BearerAuthentication(BaseAuthentication):
    """Authorization: Bearer vras_<id>.<secret>"""

    def authenticate(self, request: Request) -> tuple[AbstractBaseUser, ApiToken] | None:
        kind, _space, text = request.headers.get("Authorization", "").partition(" ")
        if kind.lower() != "bearer":
            return None
        token = bearer(text.strip(), now=timezone.now())
        if token is None:
            raise AuthenticationFailed(_("This token is unknown or has expired. Log in again."))
        origin = f"rest {request.META.get('REMOTE_ADDR', '')} token {token.pk}"
        auditing.become(auditing.Actor(name=token.user.get_username(), kind="user", origin=origin))
        return token.user, token

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"


class HasRole(BasePermission):
    """Those who may look at things."""

    def has_permission(self, request: Request, view: Any) -> bool:
        return bool(request.user) and roles.may_look(request.user)


class HasARole(BasePermission):
    """Everybody with a role, for what is their own. A token that may only read changes nothing."""

    def has_permission(self, request: Request, view: Any) -> bool:
        token = request.auth
        reads = request.method in SAFE_METHODS
        return bool(roles.role_of(request.user)) and (
            reads or not isinstance(token, ApiToken) or token.scope == ApiToken.Scope.WRITE
        )


class HasAPc(BasePermission):
    """Everybody with a role: the verb looks whose PC it is. A token that may only read changes nothing."""

    def has_permission(self, request: Request, view: Any) -> bool:
        token = request.auth
        return bool(roles.role_of(request.user)) and (
            not isinstance(token, ApiToken) or token.scope == ApiToken.Scope.WRITE
        )


class IsStaffWithScope(BasePermission):
    """Administrators, and for reading those who may look; a token that may only read changes nothing."""

    def has_permission(self, request: Request, view: Any) -> bool:
        if not (request.user and roles.may(request.user, request.method)):
            return False
        token = request.auth
        return request.method in SAFE_METHODS or not isinstance(token, ApiToken) or token.scope == "write"
