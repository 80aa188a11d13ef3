"""What was lent when a PC was lost, for its dossier: which usage key lay on it, what that opened and how,
until when, and who had approved it.

How a key stood is taken from the audit log, as far as it went when the PC was declared lost: what the PC
tells once it is found changes nothing of it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Q, Subquery
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from checkout import forms, wishes
from checkout.facts import Fact, Table, when
from checkout.models import CheckoutRequest, Lease
from clients.models import Event
from clients.people import calling
from mydoc.models import Loss, Volume
from vrasnode.wire.checkout import Keeper, LeaseState

TOLD = "lease.told_"
STATES: Mapping[str, str | Promise] = {
    "": gettext_lazy("made; the PC never said whether it has it"),
    LeaseState.OFFERED: gettext_lazy("on the PC, without a PIN: it opened nothing"),
    LeaseState.READY: gettext_lazy("on the PC, with a PIN"),
    LeaseState.OPEN: gettext_lazy("in use when the PC told last"),
    LeaseState.CLOSED: gettext_lazy("used, and locked when the PC told last"),
    LeaseState.REFUSED: gettext_lazy("the PC did not take it"),
}
HARMLESS = {LeaseState.OFFERED, LeaseState.REFUSED}
OPENS = {LeaseState.READY, LeaseState.OPEN, LeaseState.CLOSED}


@dataclass(frozen=True)
class Lent:
    """Of one volume: the key that the PC may have had then, and what was lent of it lately."""

    facts: tuple[Fact, ...]
    table: Table


def of_each(volumes: Sequence[Volume], *, loss: Loss, since: datetime) -> dict[UUID, Lent]:
    """Of each volume, in as many questions as of one."""
    rows = (
        Lease.objects.filter(volume__in=volumes, issued_at__lte=loss.declared_at)
        .filter(Q(ends__gte=since) | Q(ended_at=None) | Q(ended_at__gte=loss.declared_at))
        .select_related("request__requester")
        .prefetch_related("request__steps__decided_by", "request__steps__instead_of")
    )
    leases = list(rows.order_by("-serial"))
    told = _told(leases, loss)
    found: dict[UUID, list[Lease]] = {volume.pk: [] for volume in volumes}
    for lease in leases:
        found[lease.volume_id].append(lease)
    return {key: _lent(some, told, loss) for key, some in found.items()}


def _told(leases: Sequence[Lease], loss: Loss) -> dict[str, str]:
    """How each stood, as the PC had said last when it was declared lost."""
    if not leases:
        return {}
    declared = Event.objects.filter(object_type="loss", object_id=str(loss.pk), verb="loss.declared")
    rows = Event.objects.filter(
        object_type="lease",
        object_id__in=[str(lease.pk) for lease in leases],
        verb__startswith=TOLD,
        pk__lt=Subquery(declared.order_by("pk").values("pk")[:1]),
    )
    return {
        key: verb.removeprefix(TOLD) for key, verb in rows.order_by("pk").values_list("object_id", "verb")
    }


def _lent(leases: Sequence[Lease], told: Mapping[str, str], loss: Loss) -> Lent:
    facts = [
        fact
        for lease in leases
        if _may_be_there(lease, told.get(str(lease.pk), ""), loss)
        for fact in _facts(lease, told.get(str(lease.pk), ""), loss)
    ]
    none = Fact(_("Usage key then"), _("none: nothing but a logon on the company's network opened it"))
    return Lent(facts=tuple(facts) or (none,), table=_table(leases, loss))


def _may_be_there(lease: Lease, said: str, loss: Loss) -> bool:
    """Whether it was lent then, or had ended here and the PC never said that it is gone."""
    if said == LeaseState.ENDED:
        return False
    return _was_lent(lease, loss) or lease.ends > loss.declared_at


def _was_lent(lease: Lease, loss: Loss) -> bool:
    return lease.ended_at is None or lease.ended_at >= loss.declared_at


def _facts(lease: Lease, said: str, loss: Loss) -> Iterator[Fact]:
    request = lease.request
    number = f"#{request.pk}, {when(lease.starts)} – {when(lease.ends)}"
    state = str(STATES.get(said, said))
    if not _was_lent(lease, loss):
        state = _("%(state)s; ended here %(when)s, which the PC never confirmed") % {
            "state": state,
            "when": when(lease.ended_at),
        }
    yield Fact(_("Usage key then"), f"{number}: {state}", grave=said not in HARMLESS)
    if said in OPENS:
        yield _keeper(lease)
    if said not in HARMLESS and lease.ends > loss.declared_at:
        words = _(
            "until %(end)s by whoever has the PC and knows the PIN, without any network, unless the PC hears "
            "the order before"
        )
        yield Fact(_("Readable by it"), words % {"end": when(lease.ends)}, grave=True)
    yield Fact(_("Folders in it"), ", ".join(forms.folders_of(request)) or _("Everything"))
    yield Fact(_("Lent to, for what"), f"{calling.name_of(request.requester)}: {_purpose(request)}")
    yield Fact(_("Approved by"), _approvers(request))
    if request.waived_by:
        words = f"{request.waived_by}: {request.waived_why}"
        yield Fact(_("Lent without a recent replica, allowed by"), words, grave=True)


def _keeper(lease: Lease) -> Fact:
    """What it takes to open the data by it. A keeper never changes, whenever the PC tells of it."""
    report = wishes.told(lease)
    keeper = report.keeper if report else Keeper.NOTHING
    if keeper is Keeper.TPM or (keeper is Keeper.NOTHING and not lease.software):
        return Fact(_("What opens it"), _("the PIN, kept by the PC's TPM: some wrong ones, and it is gone"))
    weak = _("the PIN alone: who copies the disk may try without limit, also after the end")
    return Fact(_("What opens it"), weak, grave=True)


def _table(leases: Sequence[Lease], loss: Loss) -> Table:
    rows: list[tuple[str, ...]] = []
    for lease in leases:
        ended = f"{lease.request.get_state_display()} {when(lease.ended_at)}"
        rows.append(
            (
                f"#{lease.request_id}",
                f"{when(lease.starts)} – {when(lease.ends)}",
                _purpose(lease.request),
                _approvers(lease.request),
                _("lent then") if _was_lent(lease, loss) else ended,
            )
        )
    columns = (_("Number"), _("Period"), _("For what"), _("Approved by"), _("State"))
    return Table(_("Checkouts of the 30 days before"), columns, tuple(rows))


def _purpose(request: CheckoutRequest) -> str:
    return " · ".join(filter(None, [request.purpose, request.destination]))


def _approvers(request: CheckoutRequest) -> str:
    """Who approved it at each step, and when."""
    said: list[str] = []
    for step in request.current_steps:
        instead: Any = step.instead_of
        if step.decided_by is not None:
            place = _(" for %(who)s") % {"who": calling.name_of(instead)} if instead else ""
            said.append(f"{calling.name_of(step.decided_by)}{place} {when(step.decided_at)}")
    return " → ".join(said) or "–"
