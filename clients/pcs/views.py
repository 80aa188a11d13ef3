"""Pages of PCs."""

import uuid

from django.contrib import messages
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_GET, require_POST

from clients.enrolment import enrolling
from clients.forms import ConfirmForm
from clients.models import Client, Event, Group
from clients.pages import form_page, page_of, presence_of, silent, staff
from clients.pcs.forms import AssignForm, BulkForm, MoveForm

SORTS = {
    "name": "name",
    "-name": "-name",
    "group": "group__name",
    "-group": "-group__name",
    "enrolled": "enrolled_at",
    "-enrolled": "-enrolled_at",
    "contact": "last_seen",
    "-contact": "-last_seen",
}


@require_GET
@staff
def pcs(request: HttpRequest) -> HttpResponse:
    """All PCs: searched, filtered and sorted by the address."""
    now = timezone.now()
    page = page_of(request, _pcs(request))
    context = {
        "page": page,
        "presence": presence_of(request, page.object_list, now=now),
        "groups": Group.objects.all(),
        "states": Client.State.choices,
        "sort": request.GET.get("sort", "name"),
        "move": MoveForm(),
    }
    return render(request, "clients/pcs.html", context)


def _pcs(request: HttpRequest) -> QuerySet[Client]:
    rows = Client.objects.select_related("group")
    state, group, words = (request.GET.get(name, "") for name in ("state", "group", "q"))
    if state == "silent":
        rows = rows.filter(pk__in=silent(request, now=timezone.now()))
    elif state == "failing":
        rows = rows.failing()
    elif state in Client.State.values:
        rows = rows.filter(state=state)
    elif state != "all":
        rows = rows.exclude(state=Client.State.REVOKED)
    if group == "none":
        rows = rows.filter(group=None)
    elif group.isdecimal():
        rows = rows.filter(group=int(group))
    if words:
        rows = rows.filter(Q(name__icontains=words) | Q(group__name__icontains=words))
    return rows.order_by(SORTS.get(request.GET.get("sort", ""), "name"), "pk")


@require_POST
@staff
def bulk(request: HttpRequest) -> HttpResponse:
    """Approves or moves the selected PCs."""
    form = BulkForm(request.POST)
    if not form.is_valid():
        messages.error(request, _("Select one or more PCs first."))
        return redirect(_back(request))
    now, chosen, group = timezone.now(), form.cleaned_data["pcs"], form.cleaned_data["group"]
    if form.cleaned_data["act"] == "approve":
        chosen = [client for client in chosen if client.state == Client.State.PENDING]
        for client in chosen:
            enrolling.approve(client, now=now)
        done = ngettext("%(count)d PC approved.", "%(count)d PCs approved.", len(chosen))
    else:
        for client in chosen:
            enrolling.regroup(client, group, now=now)
        done = ngettext("%(count)d PC moved.", "%(count)d PCs moved.", len(chosen))
    messages.success(request, done % {"count": len(chosen)})
    return redirect(_back(request))


def _back(request: HttpRequest) -> str:
    query = request.POST.get("query", "")
    return "clients:pcs" if not query else f"{request.path_info.removesuffix('bulk/')}?{query}"


@require_GET
@staff
def pc(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """One PC."""
    client = get_object_or_404(Client.objects.select_related("group", "assigned_user"), pk=pk)
    heard = presence_of(request, [client], now=timezone.now())[client.pk]
    events = Event.objects.filter(object_type="client", object_id=str(client.pk))[:20]
    context = {
        "client": client,
        "heard": heard,
        "events": events,
        "move": MoveForm(initial={"group": client.group_id}),
        "assign": AssignForm(initial={"user": client.assigned_user_id}),
        "now": timezone.now(),
    }
    return render(request, "clients/pc.html", context)


@require_POST
@staff
def approve(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Gives a waiting PC its certificate."""
    client = get_object_or_404(Client, pk=pk)
    enrolling.approve(client, now=timezone.now())
    messages.success(request, _("%(pc)s is approved.") % {"pc": client})
    return redirect("clients:pc", pk)


@require_POST
@staff
def move(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Moves a PC to another group."""
    client = get_object_or_404(Client.objects.select_related("group"), pk=pk)
    form = MoveForm(request.POST)
    if form.is_valid():
        enrolling.regroup(client, form.cleaned_data["group"], now=timezone.now())
        messages.success(request, _("%(pc)s was moved.") % {"pc": client})
    return redirect("clients:pc", pk)


@require_POST
@staff
def assign(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Says which employee has the PC."""
    client = get_object_or_404(Client.objects.select_related("assigned_user"), pk=pk)
    form = AssignForm(request.POST)
    if form.is_valid():
        enrolling.assign(client, form.cleaned_data["user"])
        messages.success(request, _("Saved."))
    return redirect("clients:pc", pk)


@form_page
@staff
def revoke(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Refuses a PC from its next contact on; asks for the reason and the name first."""
    client = get_object_or_404(Client, pk=pk)
    form = ConfirmForm(request.POST or None, name=client.name)
    if form.is_valid():
        enrolling.revoke(client, reason=form.cleaned_data["reason"])
        messages.success(request, _("%(pc)s is revoked.") % {"pc": client})
        return redirect("clients:pc", pk)
    return render(request, "clients/revoke.html", {"client": client, "form": form})
