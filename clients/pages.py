"""What every page of the portal shares: who may see it, paging, presence. Not a view, and no verb."""

import functools
import uuid
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any, Concatenate, ParamSpec

import redis
from django.contrib import messages
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.core.paginator import Page, Paginator
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponseBase
from django.utils.cache import patch_cache_control, patch_vary_headers
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from clients import presence
from clients.models import Client
from clients.people import roles
from clients.presence import Presence

P = ParamSpec("P")
PAGE_ROWS = 50

# Of a page with a form: shown, or sent.
form_page = require_http_methods(["GET", "HEAD", "POST"])

View = Callable[Concatenate[HttpRequest, P], HttpResponseBase]


def staff(view: View[P]) -> View[P]:
    """A page for administrators, and to be read by those who may look; others get a 403. Never cached."""
    return _guarded(view, lambda request: roles.may(request.user, request.method))


def administrators(view: View[P]) -> View[P]:
    """A page for administrators alone, to read it too: it shows what is other people's. Never cached."""
    return _guarded(view, lambda request: roles.may_change(request.user))


def everybody(view: View[P]) -> View[P]:
    """A page for whoever has a role: it shows people what is their own. Never cached."""
    return _guarded(view, lambda request: bool(roles.role_of(request.user)))


def _guarded(view: View[P], may: Callable[[HttpRequest], bool]) -> View[P]:
    @functools.wraps(view)
    def guarded(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
        if not may(request):
            raise PermissionDenied
        response = view(request, *args, **kwargs)
        patch_cache_control(response, private=True, no_store=True)
        # The same address answers a whole page or its moving part.
        patch_vary_headers(response, ["HX-Request"])
        return response

    return guarded


def user_of(request: HttpRequest) -> User:
    """The account of whoever asks. Raises PermissionDenied for nobody's."""
    if not isinstance(request.user, User):
        raise PermissionDenied
    return request.user


def page_of(request: HttpRequest, rows: QuerySet[Any] | Sequence[Any]) -> Page[Any]:
    """The page that `?page=` asks for; the nearest one when it asks for nonsense."""
    return Paginator(rows, PAGE_ROWS).get_page(request.GET.get("page"))


def presence_of(
    request: HttpRequest, clients: Iterable[Client], *, now: datetime
) -> dict[uuid.UUID, Presence]:
    """Who was heard when; without Redis, what the rows still know, and a message that says so."""
    rows = list(clients)
    try:
        return presence.of(rows, now=now)
    except redis.RedisError:
        if not request.headers.get("HX-Request"):
            messages.warning(
                request, _("Redis does not answer: contact with PCs cannot be shown. Start it again.")
            )
        return {
            client.pk: Presence(seen=client.last_seen, present=False, version=client.running or None)
            for client in rows
        }


def silent(request: HttpRequest, *, now: datetime) -> list[uuid.UUID]:
    """Approved PCs without contact."""
    approved = Client.objects.approved().only("pk", "last_seen", "running")
    return [pk for pk, heard in presence_of(request, approved, now=now).items() if not heard.present]
