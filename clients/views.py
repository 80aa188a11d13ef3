"""The registry's pages: PCs, groups, enrolment, audit log, publishers' keys, one's own tokens."""

import uuid
from typing import Any

from django.contrib import messages
from django.db import transaction
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from clients import auditing, grouping
from clients.enrolment import endorsing, enrolling
from clients.forms import (
    ApiTokenForm,
    AssignForm,
    BulkForm,
    ConfirmForm,
    EnrolmentTokenForm,
    GroupForm,
    MoveForm,
    ReasonForm,
)
from clients.models import ApiToken, Client, EnrolmentToken, Event, Group, PublisherKey
from clients.pages import page_of, presence_of, silent, staff
from clients.people import tokens

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
form_page = require_http_methods(["GET", "HEAD", "POST"])


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


@form_page
@staff
def groups(request: HttpRequest) -> HttpResponse:
    """All groups, and a new one."""
    form = GroupForm(request.POST or None)
    if form.is_valid():
        group = form.save(commit=False)
        grouping.keep(group)
        return redirect("clients:group", group.pk)
    approved = Count("clients", filter=~Q(clients__state=Client.State.REVOKED))
    rows = Group.objects.annotate(pcs=approved).order_by("name")
    if words := request.GET.get("q"):
        rows = rows.filter(Q(name__icontains=words) | Q(note__icontains=words))
    return render(request, "clients/groups.html", {"page": page_of(request, rows), "form": form})


@require_GET
@staff
def group(request: HttpRequest, pk: int) -> HttpResponse:
    """One group: its PCs, and what it is sent."""
    row = get_object_or_404(Group, pk=pk)
    page = page_of(request, row.clients.exclude(state=Client.State.REVOKED))
    context = {
        "group": row,
        "page": page,
        "presence": presence_of(request, page.object_list, now=timezone.now()),
    }
    return render(request, "clients/group.html", context)


@form_page
@staff
def group_edit(request: HttpRequest, pk: int) -> HttpResponse:
    """Another name or note."""
    row = get_object_or_404(Group, pk=pk)
    form = GroupForm(request.POST or None, instance=row)
    if form.is_valid():
        grouping.keep(form.save(commit=False))
        messages.success(request, _("Saved."))
        return redirect("clients:group", pk)
    # The heading keeps the name that is stored, whatever was typed.
    stored = get_object_or_404(Group, pk=pk)
    return render(request, "clients/group_edit.html", {"group": stored, "form": form})


@require_POST
@staff
def group_delete(request: HttpRequest, pk: int) -> HttpResponse:
    """Ends an unused group."""
    row = get_object_or_404(Group, pk=pk)
    grouping.delete(row)
    messages.success(request, _("%(group)s is deleted.") % {"group": row.name})
    return redirect("clients:groups")


@form_page
@staff
def enrolment(request: HttpRequest) -> HttpResponse:
    """Enrolment tokens. A new one's text is in this one answer and nowhere else."""
    form = EnrolmentTokenForm(request.POST or None, initial={"group": request.GET.get("group")})
    context: dict[str, Any] = {"form": form, "now": timezone.now()}
    if form.is_valid():
        wish = form.cleaned_data
        made, text = enrolling.make_token(group=wish["group"], approved=wish["approved"], now=timezone.now())
        context |= {"made": made, "text": text, "form": EnrolmentTokenForm()}
    context["page"] = page_of(request, EnrolmentToken.objects.select_related("group", "used_by"))
    context["server"] = f"{request.scheme}://{request.get_host()}"
    return render(request, "clients/enrolment.html", context)


@require_POST
@staff
def enrolment_delete(request: HttpRequest, pk: str) -> HttpResponse:
    """A token that nobody should use."""
    row = get_object_or_404(EnrolmentToken, pk=pk)
    with transaction.atomic():
        auditing.record("enrolmenttoken.deleted", row)
        row.delete()
    messages.success(request, _("The token is deleted."))
    return redirect("clients:enrolment")


@require_GET
@staff
def audit(request: HttpRequest) -> HttpResponse:
    """The audit log, newest first."""
    rows = Event.objects.all()
    if words := request.GET.get("q"):
        rows = rows.filter(
            Q(actor__icontains=words)
            | Q(verb__icontains=words)
            | Q(object_name__icontains=words)
            | Q(reason__icontains=words)
            | Q(object_id=words)
        )
    return render(request, "clients/audit.html", {"page": page_of(request, rows)})


@require_GET
@staff
def keys(request: HttpRequest) -> HttpResponse:
    """Publishers' keys: who may sign images."""
    return render(request, "clients/keys.html", {"page": page_of(request, PublisherKey.objects.all())})


@require_POST
@staff
def key_endorse(request: HttpRequest, pk: str) -> HttpResponse:
    """The root vouches for a key."""
    key = get_object_or_404(PublisherKey, pk=pk)
    endorsing.endorse(key, now=timezone.now())
    messages.success(request, _("PCs now accept images that %(name)s signed.") % {"name": key.name})
    return redirect("clients:keys")


@form_page
@staff
def key_revoke(request: HttpRequest, pk: str) -> HttpResponse:
    """Nobody accepts a key any more; asks for the reason first."""
    key = get_object_or_404(PublisherKey, pk=pk)
    form = ReasonForm(request.POST or None)
    if form.is_valid():
        endorsing.revoke(key, reason=form.cleaned_data["reason"])
        messages.success(request, _("The key of %(name)s is revoked.") % {"name": key.name})
        return redirect("clients:keys")
    return render(request, "clients/key_revoke.html", {"key": key, "form": form})


@form_page
@staff
def api_tokens(request: HttpRequest) -> HttpResponse:
    """One's own tokens. A new one's text is in this one answer and nowhere else."""
    form = ApiTokenForm(request.POST or None)
    context: dict[str, Any] = {"form": form, "now": timezone.now()}
    if form.is_valid():
        wish = form.cleaned_data
        made, text = tokens.make(request.user, name=wish["name"], scope=wish["scope"], now=timezone.now())
        context |= {"made": made, "text": text, "form": ApiTokenForm()}
    context["page"] = page_of(request, ApiToken.objects.filter(user=request.user.pk))
    return render(request, "clients/api_tokens.html", context)


@require_POST
@staff
def api_token_delete(request: HttpRequest, pk: str) -> HttpResponse:
    """Ends one of one's own tokens."""
    row = get_object_or_404(ApiToken, pk=pk, user=request.user.pk)
    with transaction.atomic():
        auditing.record("apitoken.deleted", row)
        row.delete()
    messages.success(request, _("The token is deleted."))
    return redirect("clients:api-tokens")
