"""How a replica is kept, for people: alarms, how much of it was read again, how its last drill went. Changes
nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from mydoc.models import Replica, ReplicaAlarm, Upkeep, Volume


@dataclass(frozen=True)
class Kept:
    """One replica as a page shows it. `drill` is the last that ended, `acts` the latest of any kind."""

    replica: Replica
    alarms: Sequence[ReplicaAlarm]
    drill: Upkeep | None
    acts: Sequence[Upkeep]

    @property
    def read_percent(self) -> int | None:
        """How much of what lies there was really read again within 30 days."""
        told = self.replica.coverage
        total = int(told.get("total_bytes", 0))
        return 100 * int(told.get("days_30_bytes", 0)) // total if total else None

    @property
    def read_since(self) -> datetime | None:
        at = self.replica.coverage.get("oldest", "")
        return datetime.fromisoformat(at) if at and self.read_percent else None

    @property
    def drill_failed(self) -> bool:
        found = self.drill.found if self.drill else {}
        return bool(found.get("other") or found.get("missing") or found.get("proof"))


def of(volume: Volume) -> Kept | None:
    """Of one volume; None while it has no replica."""
    replica = Replica.objects.filter(volume=volume).select_related("volume__owner", "volume__client").first()
    if replica is None:
        return None
    alarms = list(replica.alarms.filter(state=ReplicaAlarm.State.OPEN).select_related("keeps"))
    acts = list(replica.upkeep.all()[:8])
    drills = replica.upkeep.filter(kind=Upkeep.Kind.DRILL, state=Upkeep.State.DONE)
    return Kept(replica, alarms, drills.first(), acts)


def of_each(replicas: Sequence[Replica]) -> list[Kept]:
    """Of many, in as many questions as for one."""
    keys = [one.pk for one in replicas]
    alarms = list(ReplicaAlarm.objects.open().filter(replica__in=keys).select_related("keeps"))
    drills: dict[int, Upkeep] = {}
    done = Upkeep.objects.filter(replica__in=keys, kind=Upkeep.Kind.DRILL, state=Upkeep.State.DONE)
    for one in done.order_by("begun_at"):
        drills[one.replica_id] = one
    return [
        Kept(one, [alarm for alarm in alarms if alarm.replica_id == one.pk], drills.get(one.pk), ())
        for one in replicas
    ]
