"""Which replicas are kept, by the server's own time: seen, chosen, deleted on the NAS.

A PC writes what date it likes into its snapshots; here counts when the server saw a snapshot first and the
run that ended with it. What no retention takes: the newest good one, what an open alarm keeps, and what
somebody restores right now.
"""

import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Q
from django.utils import timezone

from mydoc.models import Keeping, KeptSnapshot, Replica, ReplicaAlarm, ReplicationRun, Restoration, Upkeep
from mydoc.replicas import alarming, manifests, repositories, tending
from mydoc.replicas.repositories import RepositoryFailed, Snapshot
from mydoc.upkeep import mending

EVERY = timedelta(hours=20)
UNCLAIMED = timedelta(days=2)  # a whole one of which no run told: it may still come
PRUNE_S = 3 * 3600.0
MOST_AT_ONCE = 500  # snapshots in one call
SHORTEST = 8  # of the ids that restic tells
Bucket = Callable[[datetime], object]


@dataclass(frozen=True)
class Choice:
    """What would become of a replica's snapshots."""

    kept: list[KeptSnapshot]
    deleted: list[KeptSnapshot]


def see(replica: Replica, *, now: datetime) -> list[KeptSnapshot]:
    """Writes down what lies on the NAS now, with the time at which it was seen first. Raises Refusal.

    A run that says that it ended with a snapshot which is not there raises an alarm, and so does one that the
    rules keep and that has vanished.
    """
    found = _found(replica, now=now)
    rows = KeptSnapshot.objects.filter(replica=replica)
    _tell_of_vanished(replica, found, now=now)
    rows.filter(gone_at=None).exclude(snapshot__in=found).update(gone_at=now)
    rows.filter(snapshot__in=found).exclude(gone_at=None).update(gone_at=None)  # the NAS has them back
    known = set(rows.values_list("snapshot", flat=True))
    KeptSnapshot.objects.bulk_create(
        [
            KeptSnapshot(
                replica=replica,
                snapshot=one.id,
                whole=one.whole,
                root=one.root.decode(errors="surrogateescape")[:500],
                seen_at=now,
            )
            for one in found.values()
            if one.id not in known
        ],
        ignore_conflicts=True,
    )
    _claim(replica, now=now)
    return list(there(replica))


def there(replica: Replica) -> Iterable[KeptSnapshot]:
    """What lay there when the server looked last."""
    return KeptSnapshot.objects.filter(replica=replica, gone_at=None).select_related("run")


def choose(replica: Replica, keeping: Keeping, *, now: datetime) -> Choice:
    """What these rules keep and delete of what lay there when the server looked last. Asks nobody."""
    rows = sorted(there(replica), key=lambda one: one.at, reverse=True)
    generations = [one for one in rows if one.whole and one.run_id is not None]
    stays = _generations(generations, keeping) | _pinned(replica)
    newest = generations[0].at if generations else None
    for one in rows:
        if one in generations:
            continue
        old = now - one.seen_at >= UNCLAIMED
        if newest is None or not (old or (not one.whole and one.seen_at <= newest)):
            stays.add(one.pk)
    return Choice([one for one in rows if one.pk in stays], [one for one in rows if one.pk not in stays])


def preview(keeping: Keeping, *, now: datetime) -> list[tuple[Replica, Choice]]:
    """What these rules would delete, of each replica of which it is anything."""
    rows = Replica.objects.select_related("volume__owner", "volume__client")
    found = [(replica, choose(replica, keeping, now=now)) for replica in rows]
    return [(replica, choice) for replica, choice in found if choice.deleted]


def due(replica: Replica, *, now: datetime) -> bool:
    """Whether it is time to delete older ones."""
    last = tending.last_done(replica, Upkeep.Kind.RETENTION)
    rests = tending.rests(replica, Upkeep.Kind.RETENTION, now=now)
    return not rests and (last is None or now - last >= EVERY)


def retain(replica: Replica, *, now: datetime) -> Upkeep:
    """Deletes what the rules do not keep, on the NAS, and gives its room back. Raises Refusal: copying, …

    Killed in the middle it is done anew: restic first writes what holds, then deletes what does not.
    """
    with tending.tending(replica, Upkeep.Kind.RETENTION, now=now) as act:
        see(replica, now=now)
        repository = repositories.of(replica)
        choice = choose(replica, Keeping.now(), now=now)
        act.found |= {"kept": len(choice.kept), "deleted": len(choice.deleted)}
        if choice.deleted or _left_something(replica):
            mending.lift_dead_locks(replica, now=now)
            gone = [one.snapshot for one in choice.deleted]
            for part in range(0, len(gone), MOST_AT_ONCE):
                keys = gone[part : part + MOST_AT_ONCE]
                repositories.run(repository, "forget", *keys, limit_s=PRUNE_S, alive=act.alive)
            repositories.run(repository, "prune", limit_s=PRUNE_S, alive=act.alive)
            KeptSnapshot.objects.filter(pk__in=[one.pk for one in choice.deleted]).update(gone_at=now)
        manifests.forget_old(replica, now=now)
    return act.row


def _found(replica: Replica, *, now: datetime) -> dict[str, Snapshot]:
    try:
        return {one.id: one for one in repositories.snapshots(repositories.of(replica))}
    except RepositoryFailed as failed:
        if failed.code == "no_repository":  # nothing is written down of it: it may come back
            _tell_of_vanished(replica, {}, now=now)
        raise


def _tell_of_vanished(replica: Replica, found: Mapping[str, Snapshot], *, now: datetime) -> None:
    """What the rules keep does not go by itself: somebody deleted it on the NAS."""
    kept = choose(replica, Keeping.now(), now=now).kept
    gone = [one.snapshot for one in kept if one.run_id is not None and one.snapshot not in found]
    if not gone:
        return
    alarm = ReplicaAlarm.objects.open().filter(replica=replica, kind=ReplicaAlarm.Kind.ABSENT).first()
    before = alarm.found.get("gone", []) if alarm else []
    told = {"gone": [*dict.fromkeys([*before, *gone])][:MOST_AT_ONCE]}
    alarming.raise_alarm(replica, ReplicaAlarm.Kind.ABSENT, found=told, now=now)


def _claim(replica: Replica, *, now: datetime) -> None:
    """Which run ended with which snapshot: one that came while it ran, and of which no other run told."""
    newest = _newest(replica)
    for run in ReplicationRun.objects.filter(replica=replica, state="done", kept=None).order_by("ended_at"):
        key = str(run.told.get("snapshot", ""))
        rows = KeptSnapshot.objects.filter(replica=replica, run=None, snapshot__startswith=key)
        rows = rows.filter(seen_at__gte=run.begun_at or run.asked_at)
        row = rows.first() if len(key) >= SHORTEST and rows.count() == 1 else None
        if row is not None:
            KeptSnapshot.objects.filter(pk=row.pk).update(run=run)
        elif run.pk == newest:
            found = {"snapshot": key[:64]}
            alarming.raise_alarm(replica, ReplicaAlarm.Kind.ABSENT, found=found, run=run, now=now)
    if KeptSnapshot.objects.filter(replica=replica, gone_at=None, run=newest).exclude(run=None).exists():
        for alarm in ReplicaAlarm.objects.open().filter(replica=replica, kind=ReplicaAlarm.Kind.ABSENT):
            if not alarm.found.get("gone"):  # of older ones that are gone people have to know
                alarming.close(alarm, reason="a newer replica is there", now=now)


def _newest(replica: Replica) -> uuid.UUID | None:
    rows = ReplicationRun.objects.filter(replica=replica, state="done").order_by("-ended_at")
    return rows.values_list("pk", flat=True).first()


def _generations(rows: Sequence[KeptSnapshot], keeping: Keeping) -> set[int]:
    """The newest of each day, week and month, as far back as the rules say; rows are sorted, newest first."""
    stays = {one.pk for one in rows[: max(1, keeping.last)]}
    rules: Mapping[Bucket, int] = {
        lambda at: at.date(): keeping.daily,
        lambda at: at.isocalendar()[:2]: keeping.weekly,
        lambda at: (at.year, at.month): keeping.monthly,
    }
    for bucket, count in rules.items():
        taken: dict[object, int] = {}
        for one in rows:
            taken.setdefault(bucket(timezone.localtime(one.at)), one.pk)
        stays |= set(list(taken.values())[:count])
    return stays


def _pinned(replica: Replica) -> set[int]:
    keeps = ReplicaAlarm.objects.open().filter(replica=replica).exclude(keeps=None).values("keeps")
    comes_back = Restoration.objects.running().filter(source=replica.volume_id).values("run")
    rows = KeptSnapshot.objects.filter(Q(run__in=keeps) | Q(run__in=comes_back), replica=replica)
    return set(rows.values_list("pk", flat=True))


def _left_something(replica: Replica) -> bool:
    """Whether the last time was broken off: what was forgotten then still takes room."""
    last = Upkeep.objects.filter(replica=replica, kind=Upkeep.Kind.RETENTION).exclude(state="running").first()
    return last is not None and last.state == Upkeep.State.FAILED
