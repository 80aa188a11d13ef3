"""The pages of what others share with whoever asks."""

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from clients.errors import Refusal
from clients.pages import everybody
from mydoc import bytepaths
from mydoc.models import FolderGrant, person_id
from mydoc.tree import browsing, listing, uploading
from mydoc.tree.browsing import ONE_LOOK, Looker
from mydoc.tree.serving import attachment


@require_GET
@everybody
def shared(request: HttpRequest, pk: int, path: bytes) -> HttpResponse:
    """A folder that somebody shares with whoever asks."""
    grant = _mine(request, pk, path)
    context = {
        "grant": grant,
        "path": path,
        **listing.crumbs(path, within=bytes(grant.path)),
        "first": "after" not in request.GET,
    }
    try:
        listed = browsing.folder(
            grant.volume, path, after=listing.after_of(request), looker=_guest(request), now=timezone.now()
        )
    except Refusal as refusal:
        return listing.refused(request, "mydoc/shared.html", context, refusal)
    context |= {"rows": listing.rows(path, listed), "listed": listed}
    return render(request, "mydoc/shared.html", context)


@require_GET
@everybody
def shared_file(request: HttpRequest, pk: int, path: bytes) -> HttpResponseBase:
    """A file in it, to be saved."""
    grant = _mine(request, pk, path)
    return attachment(
        request, browsing.download(grant.volume, path, looker=_guest(request), now=timezone.now())
    )


@require_POST
@everybody
def shared_put(request: HttpRequest, pk: int, path: bytes) -> HttpResponse:
    """A file into a folder that one may change. It never touches this server's disk."""
    grant = _mine(request, pk, path)
    file = request.FILES.get("file")
    if file is None:
        messages.error(request, _("Choose a file, of at most 64 MB. A larger one goes by the REST door."))
        return redirect("mydoc:shared", pk, path)
    try:
        uploading.upload(
            grant,
            path,
            bytepaths.last((file.name or "").encode()).decode(),
            file.chunks(),
            replace=bool(request.POST.get("replace")),
            by=request.user,
            now=timezone.now(),
        )
    except Refusal as refusal:
        messages.error(request, f"{refusal.words} [{refusal.code}]")
    else:
        messages.success(request, _("It is saved on the owner's PC."))
    return redirect("mydoc:shared", pk, path)


def _mine(request: HttpRequest, pk: int, path: bytes) -> FolderGrant:
    """Raises PermissionDenied (403) for somebody else's. The PC asks its own kernel once more."""
    rows = FolderGrant.objects.select_related("volume__client", "volume__owner")
    grant = get_object_or_404(rows, pk=pk)
    if grant.person_id != request.user.pk:
        raise PermissionDenied
    if not bytepaths.within(path, bytes(grant.path)):
        raise Http404
    return grant


def _guest(request: HttpRequest) -> Looker:
    return Looker(reason="", since=timezone.now() - ONE_LOOK, person=person_id(request.user))
