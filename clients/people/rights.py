"""The door behind the login: who has no role gets in nowhere, whatever a page forgets to ask. Who has one but
may not look at the installation gets to their own page and no further.
"""

from collections.abc import Callable
from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect

from clients.people import roles

# What everybody may do who is logged in, and what asks for itself: REST, the PCs' doors, their logon's.
OPEN = {"login", "logout", "set_language", "healthz", "admin:login", "admin:logout"}
ASK_THEMSELVES = ("/api/v1/", "/node/v1/", "/mydoc/logon")
# What shows people their own: for every account with a role.
MY_PAGE = "mydoc:my"
CHECKOUT_PAGES = {
    f"checkout:{name}" for name in ("my", "new", "days", "my-request", "inbox", "decide", "again", "deputies")
}
CHECKOUT_ACTS = {
    f"checkout:{name}"
    for name in (
        "new",
        "my-withdraw",
        "my-return",
        "approve-several",
        "decide",
        "again",
        "deputies",
        "deputy-delete",
    )
}
MYDOC_PAGES = {
    f"mydoc:{name}"
    for name in ("my", "shared", "shared-file", "earlier", "versions", "recalled-file", "recalled-folder")
}
MYDOC_ACTS = {f"mydoc:{name}" for name in ("my-lost", "my-replicate", "put-back", "shared-put")}
OWN_ACTS = {*MYDOC_ACTS, *CHECKOUT_ACTS}  # and what they may do there
OWN = {*MYDOC_PAGES, *CHECKOUT_PAGES, *OWN_ACTS}


class RightsMiddleware:
    """Raises PermissionDenied (403, a page that says whom to ask) before the view is called."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self.get_response(request)

    def process_view(
        self, request: HttpRequest, view: object, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> HttpResponse | None:
        if not request.user.is_authenticated or request.path_info.startswith(ASK_THEMSELVES):
            return None
        place = request.resolver_match
        if place is not None and place.view_name in OPEN:
            return None
        if roles.may(request.user, request.method):
            return None
        if place is None or not roles.role_of(request.user):
            raise PermissionDenied
        if request.method not in roles.SAFE_METHODS and place.view_name not in OWN_ACTS:
            raise PermissionDenied
        if place.view_name == "home":
            return redirect(MY_PAGE)
        if place.view_name not in OWN:
            raise PermissionDenied
        return None
