"""The pages of user data for administrators: volumes of all PCs as one tree, their folders, who may what."""

import uuid
from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme, urlencode
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET

from clients.errors import Refusal
from clients.models import Client
from clients.pages import administrators, form_page, page_of, presence_of, silent, staff
from clients.people import roles
from mydoc import bytepaths
from mydoc.models import FolderGrant, Opening, Restoration, Volume
from mydoc.replicas import hindering, replicating
from mydoc.tree import browsing, listing, reasons, sharing
from mydoc.tree.forms import FindForm, LookForm, ShareForm, WithdrawForm
from mydoc.tree.reasons import Reason
from mydoc.tree.serving import attachment
from mydoc.upkeep import standing as keepstanding
from mydoc.volumes import standing
from mydoc.volumes.standing import Standing
from vrasnode.wire import mydoc as wire

SORTS = {
    "owner": "owner__username",
    "-owner": "-owner__username",
    "pc": "client__name",
    "-pc": "-client__name",
    "used": "told__used_bytes",
    "-used": "-told__used_bytes",
}
FILTERS = ("q", "state", "owner", "sort", "page")


@dataclass(frozen=True)
class Desk:
    """The volume that an administrator is looking at."""

    request: HttpRequest
    volume: Volume
    standing: Standing
    reason: Reason | None

    @classmethod
    def of(cls, request: HttpRequest, pk: uuid.UUID) -> "Desk":
        """Raises Http404."""
        now = timezone.now()
        volume = get_object_or_404(standing.rows(), pk=pk)
        heard = presence_of(request, [volume.client], now=now)[volume.client_id]
        reason = reasons.of(request.session, volume, now=now)
        return cls(request, volume, standing.of(volume, heard), reason)

    def context(self, path: bytes = b"") -> dict[str, Any]:
        return {
            "volume": self.volume,
            "standing": self.standing,
            "reason": self.reason,
            "path": path,
            **listing.crumbs(path),
            "sharing": sharing.applied(self.standing),
            "may_open": roles.may_change(self.request.user),
            "replicas": replicating.enabled(),
        }

    def ask_why(self, back: str = "") -> HttpResponse:
        """To the page that asks for the reason, and then back."""
        address = reverse("mydoc:reason", args=[self.volume.pk])
        return redirect(f"{address}?{urlencode({'next': back or self.request.get_full_path()})}")


@require_GET
@staff
def volumes(request: HttpRequest) -> HttpResponse:
    """The tree from its root: people, and their data on each PC; searched, filtered and sorted."""
    page = page_of(request, _volumes(request))
    context = {
        "page": page,
        "standings": _standings(request, list(page.object_list)),
        "late": hindering.of_each(list(page.object_list), now=timezone.now()),
        "sort": request.GET.get("sort", "owner"),
        "owner": _owner(request),
        "may_open": roles.may_change(request.user),
        "kept": FILTERS,
        "any": Volume.objects.exists(),
        "root": b"",
    }
    return render(request, "mydoc/volumes.html", context)


def _standings(request: HttpRequest, rows: list[Volume]) -> list[Standing]:
    heard = presence_of(request, {volume.client for volume in rows}, now=timezone.now())
    return standing.of_each(rows, heard)


def _volumes(request: HttpRequest) -> QuerySet[Volume]:
    rows = standing.rows()
    state, words, owner = (request.GET.get(name, "") for name in ("state", "q", "owner"))
    if state == "off":
        rows = rows.filter(client__in=silent(request, now=timezone.now()))
    elif state == "overdue":
        rows = rows.filter(pk__in=replicating.overdue(now=timezone.now()))
    elif state in ("open", "locked", "broken"):
        rows = rows.filter(told__state=state).exclude(client__in=silent(request, now=timezone.now()))
        if state == "open":
            rows = rows.filter(openings__state=Opening.State.OPEN)
    if owner.isdecimal():
        rows = rows.filter(owner=int(owner))
    for part in words.split():
        rows = rows.filter(
            Q(owner__username__icontains=part)
            | Q(owner__first_name__icontains=part)
            | Q(owner__last_name__icontains=part)
            | Q(client__name__icontains=part)
        )
    return rows.order_by(SORTS.get(request.GET.get("sort", ""), "owner__username"), "client__name", "pk")


def _owner(request: HttpRequest) -> Any:
    owner = request.GET.get("owner", "")
    if not owner.isdecimal():
        return None
    row = Volume.objects.filter(owner=int(owner)).select_related("owner").first()
    return row.owner if row else None


def _filters(request: HttpRequest) -> str:
    """What the list was narrowed to, for an address."""
    return urlencode([(name, request.GET[name]) for name in FILTERS if request.GET.get(name)])


@form_page
@administrators
def find_in_each(request: HttpRequest) -> HttpResponse:
    """A part of a name, in the data of every volume on this page of the list: in what is open as it is, in
    the rest as its last replica has it."""
    now = timezone.now()
    rows = list(page_of(request, _volumes(request)).object_list)
    standings = _standings(request, rows)
    opened = [one.volume for one in standings if one.seen]
    words = request.GET.get("name", "").strip()[:100]
    known = [reasons.of(request.session, volume, now=now) for volume in opened]
    form = FindForm(
        request.POST or None, initial={"name": words, "reason": reasons.last(request.session, now=now)}
    )
    if form.is_valid():
        reasons.give(request.session, opened, form.cleaned_data["reason"], now=now)
        name = urlencode({"name": form.cleaned_data["name"]})
        return redirect("&".join(filter(None, (f"{request.path}?{name}", _filters(request)))))
    context: dict[str, Any] = {
        "form": form,
        "words": words,
        "filters": _filters(request),
        "opened": len(opened),
        "closed": [one for one in standings if not one.seen],
    }
    if words and not request.POST and opened and all(known):
        lookers = [reason.looker() for reason in known if reason]
        found = browsing.search_each(opened, words, lookers=lookers, now=now)
        context |= {"found": [(one, listing.rows(b"", one.listed)) for one in found], "reason": known[0]}
    return render(request, "mydoc/find_in_each.html", context)


@require_GET
@staff
def volume(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """One user's data on one PC: its state, with whom it is shared, who looked; nothing of its content."""
    desk = Desk.of(request, pk)
    context = desk.context() | {
        "grants": desk.volume.grants.select_related("person"),
        "page": page_of(request, desk.volume.looks.all()),
        "kept": keepstanding.of(desk.volume),
        "late": hindering.of_each([desk.volume], now=timezone.now()).get(desk.volume.pk),
        "restorations": Restoration.objects.about(desk.volume).select_related(
            "source__client", "target__client", "run"
        )[:5],
    }
    return render(request, "mydoc/volume.html", context)


@form_page
@administrators
def reason(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Why somebody looks into this data, before they do."""
    desk, now = Desk.of(request, pk), timezone.now()
    kept = desk.reason.words if desk.reason else reasons.last(request.session, now=now)
    form = LookForm(request.POST or None, initial={"reason": kept})
    back = request.GET.get("next", "")
    if not url_has_allowed_host_and_scheme(back, {request.get_host()}, require_https=request.is_secure()):
        back = reverse("mydoc:folder", args=[pk, b""])
    if form.is_valid():
        reasons.give(request.session, [desk.volume], form.cleaned_data["reason"], now=now)
        return redirect(back)
    return render(request, "mydoc/reason.html", desk.context() | {"form": form, "back": back})


@require_GET
@administrators
def folder(request: HttpRequest, pk: uuid.UUID, path: bytes) -> HttpResponse:
    """What lies in a folder, live from the PC; if that cannot be, as the last replica has it."""
    desk = Desk.of(request, pk)
    if desk.reason is None:
        return desk.ask_why()
    context = desk.context(path) | {"first": "after" not in request.GET}
    try:
        listed = browsing.folder(
            desk.volume,
            path,
            after=listing.after_of(request),
            looker=desk.reason.looker(),
            now=timezone.now(),
        )
    except Refusal as refusal:
        return listing.refused(request, "mydoc/folder.html", context, refusal)
    grants = {bytes(row.path) for row in desk.volume.grants.only("path")}
    context |= {"rows": listing.rows(path, listed, grants), "listed": listed}
    return render(request, "mydoc/folder.html", context)


@require_GET
@administrators
def find(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """A part of a name, in this data."""
    desk = Desk.of(request, pk)
    if desk.reason is None:
        return desk.ask_why()
    words = request.GET.get("name", "").strip()[:100]
    context = desk.context() | {"words": words, "first": "after" not in request.GET}
    if words:
        try:
            listed = browsing.search(
                desk.volume,
                words,
                after=listing.after_of(request),
                looker=desk.reason.looker(),
                now=timezone.now(),
            )
        except Refusal as refusal:
            return listing.refused(request, "mydoc/find.html", context, refusal)
        context |= {"rows": listing.rows(b"", listed), "listed": listed}
    return render(request, "mydoc/find.html", context)


@require_GET
@administrators
def file(request: HttpRequest, pk: uuid.UUID, path: bytes) -> HttpResponseBase:
    """A file, to be saved and never to be shown by the browser."""
    desk = Desk.of(request, pk)
    if desk.reason is None:
        return desk.ask_why(reverse("mydoc:folder", args=[pk, bytepaths.parent(path)]))
    found = browsing.download(desk.volume, path, looker=desk.reason.looker(), now=timezone.now())
    return attachment(request, found)


@form_page
@administrators
def share(request: HttpRequest, pk: uuid.UUID, path: bytes) -> HttpResponse:
    """Who may read or change a folder."""
    desk = Desk.of(request, pk)
    initial = {"revision": desk.volume.grants_revision, "access": wire.Access.READ.value}
    form = ShareForm(request.POST or None, volume=desk.volume, initial=initial)
    if form.is_valid():
        sharing.share(
            desk.volume,
            path,
            person=form.cleaned_data["person"],
            access=wire.Access(form.cleaned_data["access"]),
            revision=form.cleaned_data["revision"],
            reason=form.cleaned_data["reason"],
            now=timezone.now(),
        )
        messages.success(request, _("Saved. It is done once the PC has applied it."))
        return redirect("mydoc:share", pk, path)
    here, above = sharing.on_folder(desk.volume, path)
    context = desk.context(path) | {
        "form": form,
        "here": here,
        "above": above,
        "people": sharing.people("", volume=desk.volume)[:200],
    }
    return render(request, "mydoc/share.html", context)


@form_page
@administrators
def withdraw(request: HttpRequest, pk: uuid.UUID, grant: int) -> HttpResponse:
    """Ends a sharing; asks for the reason first."""
    desk = Desk.of(request, pk)
    row = get_object_or_404(FolderGrant.objects.select_related("person"), pk=grant, volume=desk.volume)
    row.volume = desk.volume
    path = bytes(row.path)
    form = WithdrawForm(request.POST or None, initial={"revision": desk.volume.grants_revision})
    if form.is_valid():
        sharing.withdraw(
            row,
            revision=form.cleaned_data["revision"],
            reason=form.cleaned_data["reason"],
            now=timezone.now(),
        )
        messages.success(request, _("Saved. It is done once the PC has applied it."))
        return redirect("mydoc:share", pk, path)
    return render(request, "mydoc/withdraw.html", desk.context(path) | {"form": form, "row": row})


@require_GET
@staff
def client_card(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """The part of a PC's page that is about user data."""
    client = get_object_or_404(Client, pk=pk)
    rows = standing.rows().filter(client=client)
    late = hindering.of_each(list(rows), now=timezone.now())
    context = {"client": client, "standings": _standings(request, list(rows)), "late": late}
    return render(request, "mydoc/client_card.html", context)
