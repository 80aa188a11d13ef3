"""Every pack of every replica is read again in turn, within what a night may cost; and how far that came.

restic's plain check misses a flipped bit: only reading finds it. Packs are read by the first byte of their
name, in 256 parts at most, so that what was reached is known exactly: a pack counts as read when its part was
read after the pack was written.
"""

import logging
from collections.abc import Iterable
from datetime import datetime, timedelta

from django.utils import timezone

from clients.errors import Refusal
from mydoc.models import Keeping, Replica, ReplicaAlarm, Upkeep
from mydoc.nas import fileserver
from mydoc.nas.fileserver import Stored
from mydoc.replicas import alarming, replicating, repositories, tending
from mydoc.upkeep import mending

log = logging.getLogger("openvras.mydoc")

PARTS = 256
PART_BYTES = 8 << 30  # read in one call, about
RESTS = timedelta(days=7)  # what was read through is left alone for so long
READ_S = 3600.0
WORDS = 300
NOON = timedelta(hours=12)


def night_of(now: datetime) -> str:
    """The night that this belongs to: from noon to noon, by the evening's date."""
    return (timezone.localtime(now) - NOON).date().isoformat()


def left_tonight(keeping: Keeping, *, now: datetime) -> int:
    """How many bytes may still be read again in this night; 0 when its time is used up."""
    spent_bytes, spent = 0, timedelta(0)
    rows = Upkeep.objects.filter(kind=Upkeep.Kind.READING, begun_at__gte=now - timedelta(days=1))
    for row in rows:
        if night_of(row.begun_at) == night_of(now):
            spent_bytes += int(row.found.get("bytes", 0))
            spent += (row.ended_at or now) - row.begun_at
    if spent >= timedelta(minutes=keeping.night_minutes):
        return 0
    return max(0, (keeping.night_gib << 30) - spent_bytes)


def in_turn(*, now: datetime) -> list[Replica]:
    """The replicas in the order in which it is their turn; without those that were read through lately."""
    since = (now - RESTS).isoformat()
    rows = Replica.objects.exclude(last_good_at=None).select_related("volume__owner", "volume__client")
    due = [one for one in rows if _oldest(one.reread) < since]
    due = [one for one in due if not tending.rests(one, Upkeep.Kind.READING, now=now)]
    return sorted(due, key=lambda one: _oldest(one.reread))


def read(replica: Replica, *, now: datetime, most_bytes: int = PART_BYTES) -> Upkeep:
    """Reads the next part of this replica: what was not read for longest. Raises Refusal.

    A pack that is not any more what was stored raises an alarm and is set aside; the PC is asked for it.
    """
    damaged: list[str] = []
    with tending.tending(replica, Upkeep.Kind.READING, now=now) as act:
        repository = repositories.of(replica)
        packs = fileserver.listing(repository.place, f"{repository.name}/data")
        parts = _parts(packs, most_bytes)
        part = min(range(parts), key=lambda one: (_oldest(replica.reread, range(one, PARTS, parts)), one))
        mine = [pack for pack in packs if _byte(pack) % parts == part]
        said = repositories.check(repository, subset=f"{part + 1}/{parts}", limit_s=READ_S, alive=act.alive)
        act.found |= {"part": part + 1, "parts": parts, "packs": len(mine)}
        act.found["bytes"] = sum(pack.size_bytes for pack in mine)
        if said.code:
            damaged = mending.damaged_in(repository, said)
            act.found["damaged"] = damaged[:50]
            _tell(replica, said.complaints, damaged, now=now)
        good = now.isoformat()
        replica.reread |= {str(one): good for one in range(part, PARTS, parts)}
        replica.coverage = _coverage(packs, replica.reread, now=now)
        Replica.objects.filter(pk=replica.pk).update(reread=replica.reread, coverage=replica.coverage)
    if damaged:
        put_right(replica, damaged, now=now)
    return act.row


def put_right(replica: Replica, damaged: list[str], *, now: datetime) -> None:
    """Sets aside what is damaged and asks the PC for it. While the PC copies, that waits: `retry` does it."""
    try:
        mending.set_aside(replica, damaged, now=now)
        replicating.ask(replica.volume, now=now)
    except Refusal as refusal:
        log.warning("%s: what is damaged is not mended yet: %s", replica, refusal)


def look_again(replica: Replica, *, now: datetime) -> None:
    """An open alarm of damage: mended once the PC has copied again and restic finds everything there."""
    alarm = ReplicaAlarm.objects.open().filter(replica=replica, kind=ReplicaAlarm.Kind.DAMAGED).first()
    if alarm is None:
        return
    left = [pack for pack in alarm.found.get("packs", ()) if pack not in alarm.found.get("set_aside", ())]
    if left:
        put_right(replica, left, now=now)
        return
    at = alarm.found.get("set_aside_at") or alarm.raised_at.isoformat()
    if replica.last_good_at is None or replica.last_good_at <= datetime.fromisoformat(at):
        return
    if alarm.found.get("looked_at", "") >= replica.last_good_at.isoformat():
        return
    said = repositories.check(repositories.of(replica), limit_s=READ_S)
    if said.code == 0:
        alarming.close(alarm, reason="mended by a new copy", now=now)
        return
    found = {"looked_at": now.isoformat(), "left": said.complaints[-WORDS:]}
    alarming.raise_alarm(replica, ReplicaAlarm.Kind.DAMAGED, found=found, now=now)


def _tell(replica: Replica, complaints: str, damaged: list[str], *, now: datetime) -> None:
    known = ReplicaAlarm.objects.open().filter(replica=replica, kind=ReplicaAlarm.Kind.DAMAGED).first()
    packs = [*known.found.get("packs", ())] if known else []
    words = [line for line in complaints.splitlines() if "Load(" not in line]
    found = {"packs": [*dict.fromkeys([*packs, *damaged])][:50], "words": "\n".join(words)[:WORDS]}
    alarming.raise_alarm(replica, ReplicaAlarm.Kind.DAMAGED, found=found, now=now)


def _parts(packs: Iterable[Stored], most_bytes: int) -> int:
    """In how many parts it is read: a power of two, so that a part is always the same bytes."""
    total, parts = sum(pack.size_bytes for pack in packs), 1
    while parts < PARTS and total > parts * most_bytes:
        parts *= 2
    return parts


def _oldest(reread: dict[str, str], part: Iterable[int] = range(PARTS)) -> str:
    """When the part of it was read that was not read for longest; "" before all times."""
    return min(reread.get(str(one), "") for one in part)


def _byte(pack: Stored) -> int:
    name = pack.path.rpartition("/")[2]
    return int(name[:2], 16)


def _coverage(packs: list[Stored], reread: dict[str, str], *, now: datetime) -> dict[str, object]:
    """Which share of what lies there was really read, and within how many days."""
    total, within, oldest = 0, {7: 0, 30: 0}, now
    ever = 0
    for pack in packs:
        total += pack.size_bytes
        at = reread.get(str(_byte(pack)), "")
        read = datetime.fromisoformat(at) if at else None
        if read is None or read < pack.written:
            continue
        ever += pack.size_bytes
        oldest = min(oldest, read)
        for days in within:
            within[days] += pack.size_bytes if now - read <= timedelta(days=days) else 0
    return {
        "at": now.isoformat(),
        "total_bytes": total,
        "read_bytes": ever,
        "days_7_bytes": within[7],
        "days_30_bytes": within[30],
        "oldest": oldest.isoformat(),
    }
