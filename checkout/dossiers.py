"""The dossier as a file, for people's door and for programs': who may have it, and its two forms. No verb."""

from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils import timezone, translation
from django.utils.http import content_disposition_header

from checkout import printing, reporting, tabling
from clients import auditing, pdf
from clients.people import roles
from clients.people.rolenames import Role
from mydoc.models import Loss
from mydoc.tree.serving import streamed

LANGUAGES = {"ja", "en"}


def asked(request: HttpRequest, pk: Any, *, form: str, user: Any = None) -> Loss:
    """Names of files are somebody's own: administrators and auditors read them, and it is written down."""
    who = user or request.user
    if not (roles.may_change(who) or Role.AUDITOR in roles.role_of(who)):
        raise PermissionDenied
    rows = Loss.objects.select_related("client__group", "client__assigned_user", "client__device_record")
    loss = get_object_or_404(rows, pk=pk)
    if not request.headers.get("HX-Request"):
        auditing.record("loss.reported", loss, after={"as": form})
    return loss


def table(request: HttpRequest, pk: Any, *, user: Any = None) -> HttpResponseBase:
    """CSV, with every file."""
    loss = asked(request, pk, form="csv", user=user)
    language = _language(request)
    with translation.override(language):
        found = reporting.dossier(loss, now=timezone.now())
    return streamed(
        request,
        tabling.pieces(found, language=language),
        name=f"dossier-{loss.client}-{loss.pk}.csv",
        content_type="text/csv; charset=utf-8",
    )


def paper(request: HttpRequest, pk: Any, *, user: Any = None) -> HttpResponse:
    """PDF, with the first files of each volume."""
    loss = asked(request, pk, form="pdf", user=user)
    language = _language(request)
    with translation.override(language):
        found = reporting.dossier(loss, now=timezone.now())
    whole = request.build_absolute_uri(reverse("checkout:dossier-csv", args=[loss.pk]))
    return HttpResponse(
        printing.dossier(found, language=language, whole=f"{whole}?lang={language}"),
        content_type=pdf.CONTENT_TYPE,
        headers={
            "Content-Disposition": content_disposition_header(True, f"dossier-{loss.client}-{loss.pk}.pdf"),
            "X-Content-Type-Options": "nosniff",
            "Cache-Control": "private, no-store",
        },
    )


def _language(request: HttpRequest) -> str:
    asked = request.GET.get("lang", "")
    return asked if asked in LANGUAGES else (translation.get_language() or "en").partition("-")[0]
