"""A whole volume comes back: what one of its replicas holds, into its owner's volume on another PC.

An administrator asks for it; the workers do it, file by file, the way that a single one is put back
(`writing`): the owner has to be logged on there, and while they are not, it waits. Nothing is overwritten: a
file that lies there already with the same content is passed over, one with another gets the replica's time in
its name. Nothing touches a disk of the server. The row says how far it has come: whoever is killed at it, the
next one goes on there, and of a file that was written but not counted sees by its hash that it is there.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from django.db import IntegrityError, transaction
from django.utils.translation import gettext_lazy as _

from clients import auditing, nudge
from clients.errors import Refusal
from clients.models import Client
from mydoc.models import Restoration, Volume
from mydoc.replicas import recalling
from mydoc.replicas.recalling import Kept
from mydoc.tree import browsing
from mydoc.volumes import standing

log = logging.getLogger("openvras.mydoc")

TASK = "mydoc.tasks.restore"
MAX_REASON = 500
State = Restoration.State
Clock = Callable[[], datetime]


@dataclass(frozen=True)
class Plan:
    """What a restoration would do. `free_bytes`: None where the PC has not told its room yet."""

    source: Volume
    target: Volume
    kept: Kept
    files: int
    total_bytes: int
    free_bytes: int | None
    target_open: bool

    @property
    def confirm(self) -> str:
        """What is typed to confirm it."""
        return str(self.files)


def targets(source: Volume) -> list[Volume]:
    """Where it may go: the same person's data on other PCs that are members."""
    rows = Volume.objects.filter(owner=source.owner_id, client__state=Client.State.APPROVED)
    return list(rows.exclude(pk=source.pk).select_related("owner", "client").order_by("client__name"))


def preview(source: Volume, target: Volume, run: object = None) -> Plan:
    """What it would do; changes nothing. `run`: which replica; None: the last one.

    Raises Refusal: same_volume, other_owner, unknown_client, no_such_replica, no_manifest, no_room_there.
    """
    if source.pk == target.pk:
        raise Refusal("same_volume", _("Choose the data on another PC."), status=400)
    if source.owner_id != target.owner_id:
        words = _("That data belongs to somebody else. Choose a PC on which its own user has logged on.")
        raise Refusal("other_owner", words, status=400)
    if target.client.state != Client.State.APPROVED:
        raise Refusal("unknown_client", _("This PC is not a member here. Enrol it."), status=404)
    kept = recalling.of(source, run) if run else recalling.newest(source)
    if kept is None:
        raise Refusal("no_such_replica", _("There is no replica of this data yet."), status=404)
    files = total = 0
    for line in kept.lines():
        files, total = files + 1, total + line.size_bytes
    told = standing.told(target)
    free = max(0, target.limit_bytes - told.used_bytes) if told and told.size_bytes else None
    if total > (target.limit_bytes if free is None else free):
        words = _("There is not room enough for it on %(pc)s. Raise the limit, or make room there.")
        raise Refusal("no_room_there", words % {"pc": target.client})
    return Plan(source, target, kept, files, total, free, standing.is_open(target))


def begin(
    source: Volume, target: Volume, *, run: object = None, reason: str, confirm: str, now: datetime
) -> Restoration:
    """It is done from now on, by itself. `confirm` is the number of its files, as `preview` says.

    Raises Refusal: no_reason, not_confirmed (its words say what would happen), restored_already, and what
    `preview` raises.
    """
    plan = preview(source, target, run)
    if not reason.strip():
        raise Refusal("no_reason", _("Say why."), status=400)
    if confirm != plan.confirm:
        words = _(
            "%(n)s files as of %(when)s are written into the data of %(owner)s on %(pc)s. Nothing there is "
            "overwritten. Confirm with that number."
        )
        said = {"n": plan.files, "when": browsing.stamp_of(plan.kept.at)}
        said |= {"owner": target.owner, "pc": target.client}
        raise Refusal("not_confirmed", words % said, status=400, confirm=plan.confirm)
    try:
        with transaction.atomic():
            row = Restoration.objects.create(
                source=source,
                target=target,
                run=plan.kept.run,
                reason=reason[:MAX_REASON],
                asked_at=now,
                asked_by=auditing.actor().name,
                files=plan.files,
                total_bytes=plan.total_bytes,
            )
            after = {"files": plan.files, "as_of": plan.kept.at.isoformat(), "run": str(plan.kept.run.pk)}
            auditing.record("restoration.started", row, after=after, reason=row.reason)
            browsing.record(target, "restore", b"", reason=reason, now=now, as_of=plan.kept.at)
    except IntegrityError as error:
        words = _("Something is being restored into this volume already.")
        raise Refusal("restored_already", words) from error
    nudge.worker(TASK)
    _show(row)
    log.info("%s: everything as of %s comes back, %d files", row, plan.kept.at, plan.files)
    return row


def stop(row: Restoration, *, reason: str, now: datetime) -> None:
    """Nothing more of it comes; what has come stays. Raises Refusal: no_reason, wrong_state."""
    if not reason.strip():
        raise Refusal("no_reason", _("Say why."), status=400)
    row.move(State.STOPPED, reason=reason[:MAX_REASON], ended_at=now, code="stopped", until=None, holder="")
    _show(row)


def _show(row: Restoration) -> None:
    nudge.pages(f"volume.{row.source_id}", f"volume.{row.target_id}", f"my.{row.target.owner_id}")
