"""The pages of checkout: the dossier of a lost PC, to be read, printed, taken along."""

from itertools import islice

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, render
from django.utils import timezone, translation
from django.views.decorators.http import require_GET

from checkout import reporting, tabling
from clients import auditing, roles
from clients.pages import staff
from clients.rolenames import Role
from mydoc.models import Loss
from mydoc.serving import streamed

SHOWN_FILES = 100
LANGUAGES = {"ja", "en"}


@require_GET
@staff
def dossier(request: HttpRequest, pk: int) -> HttpResponse:
    """The report as a page; of the files the first ones."""
    loss = _asked(request, pk, form="page")
    found = reporting.dossier(loss, now=timezone.now())
    files = {one.volume.pk: list(islice(one.files(), SHOWN_FILES)) for one in found.volumes}
    return render(request, "checkout/dossier.html", {"dossier": found, "files": files, "loss": loss})


@require_GET
@staff
def dossier_csv(request: HttpRequest, pk: int) -> HttpResponseBase:
    """The whole report with every file, as a table."""
    loss = _asked(request, pk, form="csv")
    language = _language(request)
    with translation.override(language):
        found = reporting.dossier(loss, now=timezone.now())
    return streamed(
        request,
        tabling.pieces(found, language=language),
        name=f"dossier-{loss.client}-{loss.pk}.csv",
        content_type="text/csv; charset=utf-8",
    )


def _asked(request: HttpRequest, pk: int, *, form: str) -> Loss:
    """Names of files are somebody's own: administrators and auditors read them, and it is written down."""
    if not (roles.may_change(request.user) or Role.AUDITOR in roles.role_of(request.user)):
        raise PermissionDenied
    rows = Loss.objects.select_related("client__group", "client__assigned_user", "client__device_record")
    loss = get_object_or_404(rows, pk=pk)
    if not request.headers.get("HX-Request"):
        auditing.record("loss.reported", loss, after={"as": form})
    return loss


def _language(request: HttpRequest) -> str:
    asked = request.GET.get("lang", "")
    return asked if asked in LANGUAGES else (translation.get_language() or "en").partition("-")[0]
