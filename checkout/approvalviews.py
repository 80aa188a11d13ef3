"""The approver's pages: what waits for me, decided one by one or several at once; who stands in for me."""

from datetime import timedelta
from typing import Any

from django.contrib import messages
from django.contrib.auth import authenticate, login
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_GET, require_POST

from checkout import approvers, deciding, deputizing, standing
from checkout.approvers import Asked
from checkout.forms import AgainForm, DecisionForm, DeputyForm
from checkout.models import CheckoutRequest, Deputy
from clients.errors import Refusal
from clients.pages import everybody, form_page, user_of
from clients.people import roles

FRESH = timedelta(minutes=10)  # since the last login, for who comes by a mail


@require_GET
@everybody
def inbox(request: HttpRequest) -> HttpResponse:
    """What waits for whoever asks."""
    now = timezone.now()
    try:
        rows = approvers.waiting_for(user_of(request), asked=Asked(), now=now)
    except Refusal as refusal:
        messages.error(request, str(refusal))
        rows = []
    context = {"standings": [standing.of(row, now=now) for row in rows]}
    return render(request, "checkout/inbox.html", context)


@require_POST
@everybody
def approve_several(request: HttpRequest) -> HttpResponse:
    """Those that were ticked, each at the step that was on the page: `12.34` is request 12 at step 34."""
    user = user_of(request)
    chosen = [text.partition(".") for text in request.POST.getlist("requests")[:200]]
    pairs = {int(a): int(b) for a, _dot, b in chosen if a.isdecimal() and b.isdecimal()}
    rows = approvers.full(CheckoutRequest.objects.filter(pk__in=pairs))
    done, refused = deciding.approve_each([(row, pairs[row.pk]) for row in rows], by=user, now=timezone.now())
    for refusal in refused:
        messages.error(request, str(refusal))
    if done or not refused:
        messages.success(
            request,
            ngettext("%(count)d request approved.", "%(count)d requests approved.", done) % {"count": done},
        )
    return redirect("checkout:inbox")


@form_page
@everybody
def decide(request: HttpRequest, pk: int) -> HttpResponse:
    """One request, for who may decide it now, and for those who may look at everything. Who comes by a mail
    proves once more who they are."""
    user = user_of(request)
    now = timezone.now()
    if request.GET.get("from") == "mail" and not _fresh(user, now):
        here = reverse("checkout:decide", args=[pk])
        return redirect(f"{reverse('checkout:again')}?next={here}")
    row = get_object_or_404(approvers.full(CheckoutRequest.objects.all()), pk=pk)
    step = row.current_step
    may = step is not None and approvers.may(step, user, asked=Asked(), now=now)
    if not may and not roles.may_look(user) and not row.steps.filter(decided_by=user).exists():
        raise PermissionDenied
    form = DecisionForm(request.POST or None, initial={"seen": step.pk if step else 0})
    if form.is_valid():
        said = form.cleaned_data
        _decided(row, user, said, now)
        messages.success(request, _("Decided."))
        return redirect("checkout:inbox")
    context = {"one": standing.of(row, now=now), "form": form, "may": may}
    return render(request, "checkout/decide.html", context)


@form_page
@everybody
def again(request: HttpRequest) -> HttpResponse:
    """The password once more, before a link out of a mail opens."""
    form = AgainForm(request.POST or None)
    if form.is_valid():
        name = request.user.get_username()
        user = authenticate(request, username=name, password=form.cleaned_data["password"])
        if user is not None and user.pk == request.user.pk:
            login(request, user)
            target = request.GET.get("next", "")
            good = url_has_allowed_host_and_scheme(target, allowed_hosts={request.get_host()})
            return redirect(target if good and target.startswith("/") else "checkout:inbox")
        form.add_error("password", _("This is not your password."))
    return render(request, "checkout/again.html", {"form": form})


@form_page
@everybody
def deputies(request: HttpRequest) -> HttpResponse:
    """Who decides in one's place, and when; and in whose place one does."""
    user = user_of(request)
    today = timezone.localdate()
    form = DeputyForm(request.POST or None, initial={"starts": today, "ends": today + timedelta(days=7)})
    if form.is_valid():
        try:
            deputizing.appoint(user, **form.cleaned_data, by=user)
        except Refusal as refusal:
            form.add_error(None, str(refusal))
        else:
            messages.success(request, _("Kept."))
            return redirect("checkout:deputies")
    rows = Deputy.objects.filter(ends__gte=today).select_related("deputy", "principal")
    context = {"form": form, "mine": rows.filter(principal=user), "others": rows.filter(deputy=user)}
    return render(request, "checkout/deputies.html", context)


@require_POST
@everybody
def deputy_delete(request: HttpRequest, pk: int) -> HttpResponse:
    """They no longer decide in one's place."""
    user = user_of(request)
    deputizing.dismiss(get_object_or_404(Deputy, pk=pk), by=user)
    messages.success(request, _("Ended."))
    return redirect("checkout:deputies")


def _fresh(user: Any, now: Any) -> bool:
    return user.last_login is not None and now - user.last_login < FRESH


def _decided(row: CheckoutRequest, user: Any, said: dict[str, Any], now: Any) -> None:
    more = {"by": user, "now": now, "words": said["words"], "seen": said["seen"]}
    match said["act"]:
        case "approve":
            deciding.approve(row, ends=said["until"], **more)
        case "send_back":
            deciding.send_back(row, **more)
        case _:
            deciding.reject(row, **more)
