"""The pages by which people get back what they had: their own data as replicas of some time have it."""

import uuid
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from clients.errors import Refusal
from clients.pages import everybody, presence_of
from mydoc import bytepaths
from mydoc.models import Volume
from mydoc.replicas import recalling
from mydoc.replicas.recalling import Kept
from mydoc.restorations import restoring
from mydoc.tree import browsing, listing
from mydoc.tree.browsing import Listed, Looker
from mydoc.tree.serving import attachment, streamed
from mydoc.volumes import standing


@require_GET
@everybody
def earlier(request: HttpRequest, pk: uuid.UUID, path: bytes) -> HttpResponse:
    """What lay in a folder of one's own at the time of a replica."""
    volume = _mine(request, pk)
    kept, context = _at(request, volume), _context(request, volume, path)
    if kept is None:
        return render(request, "mydoc/earlier.html", context)
    context |= {"kept": kept, "first": "after" not in request.GET}
    try:
        entries, more = recalling.folder(
            kept, path, after=listing.after_of(request), limit=browsing.PAGE_ENTRIES
        )
    except Refusal as refusal:
        return listing.refused(request, "mydoc/earlier.html", context, refusal)
    listed = Listed(entries, more, after=entries[-1].name if entries else b"", as_of=kept.at)
    context |= {"rows": listing.rows(path, listed), "listed": listed}
    return render(request, "mydoc/earlier.html", context)


@require_GET
@everybody
def versions(request: HttpRequest, pk: uuid.UUID, path: bytes) -> HttpResponse:
    """One file of one's own, at all times that are kept."""
    volume = _mine(request, pk)
    heard = presence_of(request, [volume.client], now=timezone.now())[volume.client_id]
    context = _context(request, volume, path) | {"standing": standing.of(volume, heard)}
    try:
        context["versions"] = recalling.versions(volume, path)
    except Refusal as refusal:
        return listing.refused(request, "mydoc/versions.html", context, refusal)
    return render(request, "mydoc/versions.html", context)


@require_GET
@everybody
def recalled_file(request: HttpRequest, pk: uuid.UUID, path: bytes) -> HttpResponseBase:
    """A file of one's own as it was, to be saved."""
    volume = _mine(request, pk)
    looker = Looker(reason="", since=timezone.now())
    found = browsing.recall(_kept(request, volume), path, looker=looker, now=timezone.now())
    return attachment(request, found)


@require_GET
@everybody
def recalled_folder(request: HttpRequest, pk: uuid.UUID, path: bytes) -> HttpResponseBase:
    """A folder of one's own as it was, as a zip file."""
    volume, now = _mine(request, pk), timezone.now()
    kept = _kept(request, volume)
    pieces = recalling.zipped(kept, path)
    browsing.record(volume, "download", path, reason="", now=now, as_of=kept.at)
    name = bytepaths.saved_as(path or b"documents", stamp=browsing.stamp_of(kept.at))
    return streamed(request, pieces, name=f"{name}.zip", content_type="application/zip")


@require_POST
@everybody
def put_back(request: HttpRequest, pk: uuid.UUID, path: bytes) -> HttpResponse:
    """An older version, beside the present file."""
    volume = _mine(request, pk)
    try:
        written = restoring.put_back(volume, _kept(request, volume), path, now=timezone.now())
    except Refusal as refusal:
        messages.error(request, f"{refusal.words} [{refusal.code}]")
    else:
        name = bytepaths.shown(bytepaths.last(written.path))
        messages.success(request, _("It is put back, beside what was there, as “%(name)s”.") % {"name": name})
    return redirect("mydoc:versions", pk, path)


def _mine(request: HttpRequest, pk: uuid.UUID) -> Volume:
    """Somebody else's is not there at all."""
    volume = standing.rows().filter(owner=request.user.pk, pk=pk).first()
    if volume is None:
        raise Http404
    return volume


def _context(request: HttpRequest, volume: Volume, path: bytes) -> dict[str, Any]:
    return {
        "volume": volume,
        "path": path,
        "times": recalling.all_of(volume),
        "back": reverse("mydoc:my"),
        **listing.crumbs(path),
    }


def _at(request: HttpRequest, volume: Volume) -> Kept | None:
    return _kept(request, volume) if request.GET.get("at") else recalling.newest(volume)


def _kept(request: HttpRequest, volume: Volume) -> Kept:
    """The replica that the address, or the form, names. Raises Refusal(no_such_replica)."""
    return recalling.of(volume, request.POST.get("at") or request.GET.get("at", ""))
