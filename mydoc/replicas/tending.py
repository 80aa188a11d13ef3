"""How the server looks after a replica: one act at a time; what wants to be alone, never while the PC copies.

An act says all the while that it lives; one that does not was killed, and the next takes its place. Its row
is the truth; restic's own locks on the NAS stand behind it.
"""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from clients import auditing
from clients.errors import Refusal, WrongState
from mydoc.models import Replica, ReplicationRun, Upkeep
from mydoc.replicas import alarming

log = logging.getLogger("openvras.mydoc")

ALIVE = timedelta(minutes=3)  # without a sign of life it is dead
SIGN_S = 20.0  # between two of them
RESTS = timedelta(minutes=10)  # after a failure
Kind, State = Upkeep.Kind, Upkeep.State


class Busy(Refusal):
    """Not now: somebody else is at it."""

    status = 503


@contextmanager
def tending(
    replica: Replica, kind: Upkeep.Kind, *, now: datetime, clock: Callable[[], datetime] = timezone.now
) -> Iterator["Act"]:
    """One act. What it raises as Refusal ends it as failed, with that code. Raises Busy."""
    act = Act(begin(replica, kind, now=now), clock)
    try:
        yield act
    except Refusal as refusal:
        act.end(State.FAILED, code=refusal.code)
        log.warning("%s: %s failed [%s]", replica, kind, refusal.code)
        raise
    except BaseException:
        act.end(State.FAILED, code="broken_off")
        raise
    act.end(State.DONE)


class Act:
    """One act that is under way; `found` is what comes of it."""

    def __init__(self, row: Upkeep, clock: Callable[[], datetime]) -> None:
        self.row = row
        self.found: dict[str, object] = {}
        self._clock = clock
        self._sign_at = time.monotonic() + SIGN_S

    def alive(self) -> None:
        """It lives. To be said more often than ALIVE is long, as often as one likes. Raises Busy."""
        if time.monotonic() < self._sign_at:
            return
        self._sign_at = time.monotonic() + SIGN_S
        until = self._clock() + ALIVE
        if not Upkeep.objects.filter(pk=self.row.pk, state=State.RUNNING).update(until=until):
            raise Busy("taken_away", _("This took so long that somebody else began anew."))

    def end(self, state: str, *, code: str = "") -> None:
        with suppress(WrongState):
            self.row.move(state, ended_at=self._clock(), code=code[:40], found=self.found)
        alarming.show(self.row.replica)


def begin(replica: Replica, kind: Upkeep.Kind, *, now: datetime) -> Upkeep:
    """Raises Busy: copying, looked_after."""
    with transaction.atomic():
        Replica.objects.select_for_update(of=("self",)).get(pk=replica.pk)
        for dead in Upkeep.objects.filter(replica=replica, state=State.RUNNING, until__lt=now):
            dead.move(State.FAILED, ended_at=now, code="killed")
        if kind in Upkeep.ALONE and ReplicationRun.objects.filter(replica=replica, state="running").exists():
            raise Busy("copying", _("This volume is being copied. Try again when that is done."))
        if Upkeep.objects.filter(replica=replica, state=State.RUNNING).exists():
            raise Busy("looked_after", _("The server looks after this replica right now. Try again later."))
        row = Upkeep.objects.create(replica=replica, kind=kind, begun_at=now, until=now + ALIVE)
        auditing.record("upkeep.running", row, after={"kind": str(kind)})
    alarming.show(replica)
    return row


def let_copy(replica: Replica, *, now: datetime) -> None:
    """Call it in the transaction in which a run begins. Raises Busy while the server wants to be alone."""
    Replica.objects.select_for_update(of=("self",)).get(pk=replica.pk)
    alone = Upkeep.objects.filter(replica=replica, state=State.RUNNING, kind__in=Upkeep.ALONE, until__gte=now)
    if alone.exists():
        raise Busy(
            "replica_tended", _("The server puts this replica in order. It is its turn in some minutes.")
        )


def last_done(replica: Replica, kind: Upkeep.Kind) -> datetime | None:
    """When this was done last."""
    rows = Upkeep.objects.filter(replica=replica, kind=kind, state=State.DONE)
    return rows.order_by("-begun_at").values_list("begun_at", flat=True).first()


def rests(replica: Replica, kind: Upkeep.Kind, *, now: datetime) -> bool:
    """Whether this failed a moment ago: whatever was wrong then is not tried again at once."""
    last = Upkeep.objects.filter(replica=replica, kind=kind).exclude(state=State.RUNNING).first()
    return last is not None and last.state == State.FAILED and now - last.begun_at < RESTS
