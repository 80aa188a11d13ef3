"""The pages of replicas and of the NAS: alarms, rules, how each was checked."""

import uuid

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from clients.errors import Refusal
from clients.forms import ReasonForm
from clients.pages import administrators, form_page, page_of, staff
from clients.people import roles
from mydoc.models import Keeping, NasLook, Replica, ReplicaAlarm
from mydoc.nas import looking
from mydoc.replicas import alarming, hindering, replicating
from mydoc.upkeep import keeping, retaining, standing
from mydoc.upkeep.forms import KeepingForm

SHOWN = 50  # replicas in a preview
LATE_SHOWN = 10  # volumes without a good replica, with why; the rest is in their list


@require_GET
@staff
def replicas(request: HttpRequest) -> HttpResponse:
    """All replicas: what is wrong with one, what was read again, restored and compared; the rules."""
    now = timezone.now()
    late = replicating.overdue(now=now).select_related("owner", "client").order_by("created_at", "pk")
    rows = Replica.objects.select_related("volume__owner", "volume__client").order_by(
        "volume__owner__username", "volume__client__name"
    )
    page = page_of(request, rows)
    context = {
        "page": page,
        "kept": standing.of_each(list(page.object_list)),
        "alarms": ReplicaAlarm.objects.open().select_related(
            "replica__volume__owner", "replica__volume__client", "keeps"
        ),
        "late": hindering.of_each(list(late[:LATE_SHOWN]), now=now),
        "late_volumes": late[:LATE_SHOWN],
        "late_count": late.count(),
        "rules": Keeping.now(),
        "look": NasLook.objects.first(),
        "enabled": replicating.enabled(),
        "may_change": roles.may_change(request.user),
    }
    return render(request, "mydoc/replicas.html", context)


@require_GET
@staff
def nas(request: HttpRequest) -> HttpResponse:
    """The NAS: how it is reached, whether it is, what is wrong, which setting to change."""
    look = NasLook.objects.first()
    context = {
        "place": settings.NAS,
        "gateway": settings.GATEWAY,
        "look": look,
        "steps": looking.steps(look) if look else (),
        "may_change": roles.may_change(request.user),
    }
    return render(request, "mydoc/nas.html", context)


@require_POST
@administrators
def test_nas(request: HttpRequest) -> HttpResponse:
    """Tries it now, and back."""
    if looking.look(now=timezone.now(), by_hand=True).good:
        messages.success(request, _("The NAS was tried: all is well."))
    else:
        messages.error(request, _("The NAS was tried: something is wrong. It is said below."))
    return redirect("mydoc:nas")


@form_page
@administrators
def rules(request: HttpRequest) -> HttpResponse:
    """Other rules of keeping; what they would delete is shown before they hold."""
    now = timezone.now()
    form = KeepingForm(request.POST or None, instance=Keeping.now())
    context: dict[str, object] = {"form": form}
    if form.is_valid():
        wish, given = form.save(commit=False), form.cleaned_data
        try:
            keeping.change(wish, reason=given["reason"], confirm=given["confirm"], now=now)
        except Refusal as refusal:
            if refusal.code != "not_confirmed":
                raise
            found = retaining.preview(wish, now=now)
            context |= {"asked": True, "found": found[:SHOWN], "count": int(refusal.more["confirm"])}
        else:
            messages.success(request, _("The rules hold. What they delete goes in the next night."))
            return redirect("mydoc:replicas")
    return render(request, "mydoc/rules.html", context)


@form_page
@administrators
def release(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """An alarm is let go, and with it what it kept."""
    rows = ReplicaAlarm.objects.select_related("replica__volume__owner", "replica__volume__client", "keeps")
    alarm = get_object_or_404(rows, pk=pk)
    form = ReasonForm(request.POST or None)
    if form.is_valid():
        alarming.close(alarm, reason=form.cleaned_data["reason"], now=timezone.now())
        messages.success(request, _("Released."))
        return redirect("mydoc:volume", alarm.replica.volume_id)
    return render(request, "mydoc/release.html", {"alarm": alarm, "form": form})
