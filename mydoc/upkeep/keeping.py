"""The server's rounds of all replicas: what is new is noticed and seen, what was cut off is mended; at night
older ones are deleted, packs are read again and files restored, within what a night may cost.

A round is safe to be run twice, at once, killed, or never: each act has a row, and begins where that says.
"""

import logging
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Protocol

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from clients import auditing
from clients.errors import Refusal
from mydoc.models import Keeping, KeptSnapshot, Replica, ReplicationRun
from mydoc.replicas import replicating
from mydoc.upkeep import drilling, mending, noticing, rereading, retaining

log = logging.getLogger("openvras.mydoc")

NIGHT = (20, 6)  # from, to: hours of the company's time
Clock = Callable[[], datetime]


class Act(Protocol):
    """Something done with one replica; how many acts that were."""

    def __call__(self, replica: Replica, *, now: datetime) -> int: ...


def is_night(now: datetime) -> bool:
    """Whether what takes long may be done."""
    begins, ends = NIGHT
    hour = timezone.localtime(now).hour
    return hour >= begins or hour < ends


def go_round(*, clock: Clock = timezone.now, seconds: float) -> int:
    """One round, until its time is over; how many acts it did. What fails with one replica stops no other."""
    if not replicating.enabled():
        return 0
    ends, done = time.monotonic() + seconds, 0
    for replica, act in _acts(clock):
        if time.monotonic() >= ends:
            break
        try:
            done += act(replica, now=clock())
        except Refusal as refusal:
            log.info("%s: not looked after now: %s", replica, refusal)
    return done


def _acts(clock: Clock) -> Iterator[tuple[Replica, Act]]:
    """What is to be done, each thing when it is its turn."""
    rows = Replica.objects.select_related("volume__owner", "volume__client")
    yield from ((replica, by_day) for replica in rows)
    if is_night(clock()):
        yield from ((replica, by_night) for replica in rows.exclude(last_good_at=None))
        yield from ((replica, read_some) for replica in rereading.in_turn(now=clock()))


def by_day(replica: Replica, *, now: datetime) -> int:
    """What is due at any hour: small."""
    done = noticing.notice(replica, now=now)
    if mending.due(replica, now=now):
        mending.mend(replica, now=now)
        done += 1
    if _has_news(replica):
        retaining.see(replica, now=now)
        done += 1
    rereading.look_again(replica, now=now)
    return done


def by_night(replica: Replica, *, now: datetime) -> int:
    """What takes longer."""
    done = 0
    if retaining.due(replica, now=now):
        retaining.retain(replica, now=now)
        done += 1
    if drilling.due(replica, now=now):
        done += drilling.drill(replica, now=now) is not None
    return done


def read_some(replica: Replica, *, now: datetime) -> int:
    """Its next part, within what is left of this night."""
    left = rereading.left_tonight(Keeping.now(), now=now)
    if left:
        rereading.read(replica, now=now, most_bytes=min(left, rereading.PART_BYTES))
    return bool(left)


def change(wish: Keeping, *, reason: str, now: datetime, confirm: str) -> Keeping:
    """Other rules from now on. `confirm` is the number of snapshots that they delete, as `preview` says.

    Raises Refusal: no_reason, not_confirmed (its words say what would happen).
    """
    if not reason.strip():
        raise Refusal("no_reason", _("Say why."), status=400)
    found = retaining.preview(wish, now=now)
    count = sum(len(choice.deleted) for _replica, choice in found)
    if confirm != str(count):
        words = _("These rules delete %(n)s snapshots of %(replicas)s replicas. Confirm with that number.")
        raise Refusal(
            "not_confirmed", words % {"n": count, "replicas": len(found)}, status=400, confirm=str(count)
        )
    before = Keeping.now()
    names = [field.name for field in Keeping._meta.fields if field.name != "id"]
    with transaction.atomic():
        row, _made = Keeping.objects.update_or_create(
            pk=1, defaults={name: getattr(wish, name) for name in names}
        )
        auditing.record(
            "keeping.changed",
            row,
            before={name: getattr(before, name) for name in names},
            after={name: getattr(row, name) for name in names},
            reason=reason[:500],
        )
    return row


def _has_news(replica: Replica) -> bool:
    """A run ended well of which the server has not seen the snapshot."""
    newest = ReplicationRun.objects.filter(replica=replica, state="done").order_by("-ended_at").first()
    return newest is not None and not KeptSnapshot.objects.filter(run=newest).exists()
