"""The ledger's pages, for administrators and those who may look: all requests, tables, one group's chain."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone, translation
from django.utils.http import content_disposition_header
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from checkout import chaining, ledger, lending, standing
from checkout.forms import TermsForm, written
from checkout.models import CheckoutRequest
from clients import pdf
from clients.errors import Refusal
from clients.forms import ReasonForm
from clients.models import Group
from clients.pages import form_page, page_of, staff, user_of
from mydoc.tree.serving import streamed


@require_GET
@staff
def book(request: HttpRequest) -> HttpResponse:
    """Every request, filtered by the address."""
    now = timezone.now()
    page = page_of(request, ledger.rows(request.GET.dict()))
    context = {
        "page": page,
        "standings": [(standing.of(row, now=now), list(ledger.decisions(row))) for row in page.object_list],
        "states": CheckoutRequest.State.choices,
        "groups": Group.objects.all(),
        "query": request.GET.urlencode(),
    }
    return render(request, "checkout/ledger.html", context)


@require_GET
@staff
def table(request: HttpRequest) -> HttpResponseBase:
    """The same rows as a table: UTF-8 with a BOM, or Shift_JIS."""
    encoding = "cp932" if request.GET.get("encoding") == "sjis" else "utf-8"
    language = (translation.get_language() or "en").partition("-")[0]
    asked = request.GET.get("lang", language)
    return streamed(
        request,
        ledger.pieces(
            ledger.rows(request.GET.dict()).iterator(chunk_size=ledger.PIECE_ROWS),
            encoding=encoding,
            language=asked if asked in ("ja", "en") else language,
            now=timezone.now(),
        ),
        name=f"checkouts-{timezone.localdate():%Y%m%d}.csv",
        content_type=f"text/csv; charset={'shift_jis' if encoding == 'cp932' else 'utf-8'}",
    )


@require_GET
@staff
def paper(request: HttpRequest) -> HttpResponse:
    """The same rows on paper."""
    now, language = timezone.now(), (translation.get_language() or "en").partition("-")[0]
    asked = request.GET.get("lang", language)
    made = ledger.paper(
        ledger.rows(request.GET.dict()), language=asked if asked in ("ja", "en") else language, now=now
    )
    name = f"checkouts-{timezone.localdate():%Y%m%d}.pdf"
    headers = {"Content-Disposition": content_disposition_header(True, name), "Cache-Control": "no-store"}
    return HttpResponse(made, content_type=pdf.CONTENT_TYPE, headers=headers)


@form_page
@staff
def terms(request: HttpRequest, pk: int) -> HttpResponse:
    """Who approves checkouts of a group's PCs, and for how long they are lent."""
    group = get_object_or_404(Group, pk=pk)
    form = TermsForm(request.POST or None, initial=written(group))
    if form.is_valid():
        try:
            chaining.save(group, form.terms(), reason=form.cleaned_data["reason"])
        except Refusal as refusal:
            form.add_error(None, str(refusal))
        else:
            messages.success(request, _("Kept: it holds for what is submitted from now on."))
            return redirect("clients:group", pk)
    return render(request, "checkout/terms.html", {"group": group, "form": form})


@require_POST
@staff
def waive(request: HttpRequest, pk: int) -> HttpResponse:
    """The key is made without a recent replica, for a reason."""
    row = get_object_or_404(CheckoutRequest, pk=pk)
    lending.waive_replica(row, by=user_of(request), reason=_reason(request), now=timezone.now())
    messages.success(request, _("The key is made without a recent replica."))
    return redirect("checkout:my-request", pk)


@require_POST
@staff
def call_back(request: HttpRequest, pk: int) -> HttpResponse:
    """Ends what is lent."""
    row = get_object_or_404(CheckoutRequest, pk=pk)
    lending.call_back(row, by=user_of(request), reason=_reason(request), now=timezone.now())
    messages.success(request, _("Called back: the PC locks as soon as it hears of it."))
    return redirect("checkout:my-request", pk)


def _reason(request: HttpRequest) -> str:
    form = ReasonForm(request.POST)
    return form.cleaned_data["reason"] if form.is_valid() else ""
