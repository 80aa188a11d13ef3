"""Whom REST's doors let in: by role, and by what their token may do."""

from typing import Any

from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request

from clients.models import ApiToken
from clients.people import roles


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
