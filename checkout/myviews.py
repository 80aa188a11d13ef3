"""The employee's pages: my requests and where each waits, a new one, withdrawn, mended, given back."""

from datetime import datetime

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from checkout import approvers, calendars, choosing, forms, requesting, standing
from checkout.choosing import Choice
from checkout.models import CheckoutRequest
from clients.errors import Refusal
from clients.pages import everybody, form_page, page_of, user_of
from clients.people import roles
from mydoc.models import Volume


@require_GET
@everybody
def my(request: HttpRequest) -> HttpResponse:
    """One's own requests, the newest first."""
    now = timezone.now()
    rows = approvers.full(CheckoutRequest.objects.filter(requester=request.user.pk)).order_by("-pk")
    page = page_of(request, rows)
    volumes = requesting.volumes_of(user_of(request))
    context = {
        "page": page,
        "standings": [standing.of(row, now=now) for row in page.object_list],
        "volumes": volumes,
        "last": requesting.last_of(user_of(request)),
    }
    return render(request, "checkout/my.html", context)


@form_page
@everybody
def new(request: HttpRequest) -> HttpResponse:
    """A new request; `?copy=` like an earlier one of one's own, `?mend=` one that was sent back."""
    user, now = user_of(request), timezone.now()
    mended, like = _mine(request, "mend"), _mine(request, "copy")
    volumes = requesting.volumes_of(user)
    first = forms.initial(now=now, like=mended or like, same_days=mended is not None)
    looks = "look" in request.POST or "count" in request.POST  # nothing is submitted yet
    if looks:
        first = forms.typed(request.POST)
    form = forms.RequestForm(None if looks else request.POST or None, volumes=volumes, initial=first)
    if form.is_valid():
        try:
            if mended is not None:
                requesting.mend(mended, form.wish(), by=user, now=now)
                made = mended
            else:
                volume = next(one for one in volumes if one.pk == form.cleaned_data["volume"].pk)
                made = requesting.submit(volume, form.wish(), by=user, now=now)
        except Refusal as refusal:
            form.add_error(None, str(refusal))
        else:
            messages.success(request, _("Submitted. You see here where it waits."))
            return redirect("checkout:my-request", made.pk)
    context = {
        "form": form,
        "mended": mended,
        "volumes": volumes,
        "picked": forms.paths(form["picked"].value()),
        "choice": _choice(request, volumes, now=now),
        "period": calendars.of(form["first"].value(), form["last"].value()),
    }
    return render(request, "checkout/new.html", context)


@require_GET
@everybody
def days(request: HttpRequest) -> HttpResponse:
    """The working days of a period that is being chosen."""
    period = calendars.of(request.GET.get("first"), request.GET.get("last"))
    return render(request, "checkout/period.html", {"period": period})


@require_GET
@everybody
def one(request: HttpRequest, pk: int) -> HttpResponse:
    """One request, for its requester and for those who may look at everything."""
    row = get_object_or_404(approvers.full(CheckoutRequest.objects.all()), pk=pk)
    if row.requester_id != request.user.pk and not roles.may_look(request.user):
        raise PermissionDenied
    context = {
        "one": standing.of(row, now=timezone.now()),
        "mine": row.requester_id == request.user.pk,
        "may_change": roles.may_change(request.user),
    }
    return render(request, "checkout/request.html", context)


@require_POST
@everybody
def withdraw(request: HttpRequest, pk: int) -> HttpResponse:
    row = get_object_or_404(CheckoutRequest, pk=pk)
    requesting.withdraw(row, by=user_of(request), now=timezone.now())
    messages.success(request, _("Withdrawn."))
    return redirect("checkout:my")


@require_POST
@everybody
def give_back(request: HttpRequest, pk: int) -> HttpResponse:
    row = get_object_or_404(CheckoutRequest, pk=pk)
    requesting.give_back(row, by=user_of(request), now=timezone.now())
    messages.success(request, _("Given back: the PC locks as soon as it hears of it."))
    return redirect("checkout:my")


def _choice(request: HttpRequest, volumes: list[Volume], *, now: datetime) -> Choice | None:
    """What can be ticked where somebody looks; None while nobody does. Only in one's own data."""
    chosen = request.POST.get("volume", "")
    volume = next((one for one in volumes if str(one.pk) == chosen), None)
    if volume is None or "look" not in request.POST:
        return None
    return choosing.folders_in(volume, next(iter(forms.paths([request.POST["look"]])), b""), now=now)


def _mine(request: HttpRequest, name: str) -> CheckoutRequest | None:
    """One's own request that the address names."""
    number = request.GET.get(name, "")
    rows = CheckoutRequest.objects.select_related("volume__client__group", "client__group")
    return rows.filter(requester=request.user.pk, pk=int(number)).first() if number.isdecimal() else None
