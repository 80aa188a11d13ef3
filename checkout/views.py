"""The pages of checkout: the dossier of a lost PC, to be read, printed, taken along."""

from itertools import islice

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_GET

from checkout import dossiers, reporting
from clients.pages import staff
from clients.people import roles

SHOWN_FILES = 100


@require_GET
@staff
def dossier(request: HttpRequest, pk: int) -> HttpResponse:
    """The report as a page; of the files the first ones."""
    loss = dossiers.asked(request, pk, form="page")
    found = reporting.dossier(loss, now=timezone.now())
    files = {one.volume.pk: list(islice(one.files(), SHOWN_FILES)) for one in found.volumes}
    may_restore = roles.may_change(request.user)
    context = {"dossier": found, "files": files, "loss": loss, "may_restore": may_restore}
    return render(request, "checkout/dossier.html", context)


@require_GET
@staff
def dossier_csv(request: HttpRequest, pk: int) -> HttpResponseBase:
    """The whole report with every file, as a table."""
    return dossiers.table(request, pk)


@require_GET
@staff
def dossier_pdf(request: HttpRequest, pk: int) -> HttpResponseBase:
    """The report on paper, with the first files; it says where all of them are."""
    return dossiers.paper(request, pk)
