"""Pages of sites."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _

from clients.models import Client, Site
from clients.pages import form_page, page_of, staff
from clients.sites import keeping
from clients.sites.finding import Sites
from clients.sites.forms import SiteForm


@form_page
@staff
def sites(request: HttpRequest) -> HttpResponse:
    """All sites, and a new one."""
    form = SiteForm(request.POST or None)
    if form.is_valid():
        keeping.keep(form.save(commit=False))
        return redirect("clients:sites")
    rows = Site.objects.all()
    now = timezone.now()
    page = page_of(request, rows)
    context = {
        "page": page,
        "form": form,
        "rates": {site.pk: site.rate_bytes_s(now) for site in page.object_list},
        "pcs": _pcs(Sites()),
    }
    return render(request, "clients/sites.html", context)


@form_page
@staff
def site(request: HttpRequest, pk: int) -> HttpResponse:
    """One site: changed, or deleted."""
    row = get_object_or_404(Site, pk=pk)
    if request.POST.get("act") == "delete":
        keeping.delete(row)
        messages.success(request, _("Deleted."))
        return redirect("clients:sites")
    form = SiteForm(request.POST or None, instance=row)
    if form.is_valid():
        keeping.keep(form.save(commit=False))
        messages.success(request, _("Saved."))
        return redirect("clients:sites")
    return render(request, "clients/site.html", {"site": row, "form": form})


def _pcs(sites: Sites) -> dict[int, int]:
    """How many approved PCs called from which site last."""
    counted: dict[int, int] = {}
    for address in Client.objects.approved().values_list("address", flat=True):
        found = sites.of(address)
        if found is not None:
            counted[found.pk] = counted.get(found.pk, 0) + 1
    return counted
