"""How a request says whose it is: by a token in its Authorization header."""

from django.contrib.auth.base_user import AbstractBaseUser
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from clients import auditing
from clients.models import ApiToken
from clients.tokens import issuing


class BearerAuthentication(BaseAuthentication):
    """Authorization: Bearer vras_<id>.<secret>"""

    def authenticate(self, request: Request) -> tuple[AbstractBaseUser, ApiToken] | None:
        kind, _space, text = request.headers.get("Authorization", "").partition(" ")
        if kind.lower() != "bearer":
            return None
        token = issuing.bearer(text.strip(), now=timezone.now())
        if token is None:
            raise AuthenticationFailed(_("This token is unknown or has expired. Log in again."))
        origin = f"rest {request.META.get('REMOTE_ADDR', '')} token {token.pk}"
        auditing.become(auditing.Actor(name=token.user.get_username(), kind="user", origin=origin))
        return token.user, token

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"
