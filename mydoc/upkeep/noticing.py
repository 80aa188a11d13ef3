"""Ransomware and other disasters are noticed by how much changed at once, and the generation before is kept.

Measured from the manifests alone: how many files have other content, are gone, go by another name with
something appended to it. A folder that was only moved is no disaster. A week is compared too, for who does
it slowly. A PC that forges its manifest is found by the drills (`drilling`).
"""

import logging
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from clients.errors import Refusal
from mydoc.models import Keeping, Replica, ReplicaAlarm, ReplicationRun
from mydoc.replicas import alarming, manifests
from vrasnode.wire.replication import ManifestLine

log = logging.getLogger("openvras.mydoc")

FEW = 20  # files; below that a share says nothing
APPENDED_PERCENT = 10
SLOWLY = timedelta(days=7)
Lines = Iterator[ManifestLine]


@dataclass
class Changes:
    """How one manifest differs from an earlier one; files."""

    before: int = 0
    after: int = 0
    changed: int = 0
    added: int = 0
    deleted: int = 0
    moved: int = 0  # same content, other path
    appended: int = 0  # gone, and there is one of its name with something appended
    endings: Counter[str] = field(default_factory=Counter)  # of what was added

    @property
    def lost(self) -> int:
        """Of those before, how many are not what they were."""
        return self.changed + self.deleted - self.moved

    @property
    def percent(self) -> int:
        return 100 * self.lost // self.before if self.before else 0

    def alarming(self, percent: int) -> bool:
        if self.before < FEW:
            return False
        return self.percent >= percent or 100 * self.appended >= APPENDED_PERCENT * self.before

    def told(self) -> dict[str, object]:
        names = ("before", "after", "changed", "added", "deleted", "moved", "appended", "percent")
        ending, count = (self.endings.most_common(1) or [("", 0)])[0]
        told: dict[str, object] = {name: getattr(self, name) for name in names}
        return told | ({"ending": ending[:20], "with_ending": count} if count > 1 else {})


def compare(before: Lines, after: Lines) -> Changes:
    """Both are sorted by path; only what differs is held in memory."""
    found, gone, come = Changes(), {}, []
    old, new = next(before, None), next(after, None)
    while old is not None or new is not None:
        if new is None or (old is not None and old.path < new.path):
            if old is None:
                break
            found.before += 1
            gone[old.path] = old.sha256
            old = next(before, None)
        elif old is None or new.path < old.path:
            found.after += 1
            come.append(new)
            new = next(after, None)
        else:
            found.before += 1
            found.after += 1
            found.changed += _is_other(old, new)
            old, new = next(before, None), next(after, None)
    found.deleted, found.added = len(gone), len(come)
    contents = Counter(digest for digest in gone.values() if digest)
    for line in come:
        if line.sha256 and contents[line.sha256]:
            contents[line.sha256] -= 1
            found.moved += 1
        else:
            stem, dot, ending = line.path.rpartition(b".")
            found.appended += bool(dot) and stem in gone
            found.endings[ending.decode(errors="replace") if b"/" not in ending and dot else ""] += 1
    return found


def notice(replica: Replica, *, now: datetime) -> int:
    """Compares what was handed in since; how many runs. Call it before anything is deleted."""
    runs = ReplicationRun.objects.filter(replica=replica, state="done", compared_at=None).order_by("ended_at")
    count = 0
    for run in runs:
        try:
            told = _look(replica, run, now=now)
        except Refusal as refusal:
            told = {"code": refusal.code}
        ReplicationRun.objects.filter(pk=run.pk, compared_at=None).update(compared_at=now, changed=told)
        count += 1
    return count


def _look(replica: Replica, run: ReplicationRun, *, now: datetime) -> dict[str, object]:
    keeping = Keeping.now()
    told: dict[str, object] = {}
    for before in _earlier(replica, run):
        found = compare(manifests.lines_of(before), manifests.lines_of(run))
        told = told or found.told()
        if found.alarming(keeping.changed_percent):
            log.warning("%s: very much changed at once: %s", replica, found.told())
            alarming.raise_alarm(
                replica, ReplicaAlarm.Kind.MASS_CHANGE, found=found.told(), run=run, keeps=before, now=now
            )
            break
    return told


def _earlier(replica: Replica, run: ReplicationRun) -> list[ReplicationRun]:
    """The one before, and the first of the week before."""
    rows = ReplicationRun.objects.filter(replica=replica, state="done", ended_at__lt=run.ended_at)
    rows = rows.exclude(manifest="").select_related("replica")
    latest = rows.order_by("-ended_at").first()
    week = (
        rows.filter(ended_at__gte=run.ended_at - SLOWLY).order_by("ended_at").first()
        if run.ended_at
        else None
    )
    return [one for one in (latest, week if week != latest else None) if one is not None]


def _is_other(old: ManifestLine, new: ManifestLine) -> bool:
    if old.sha256 and new.sha256:
        return old.sha256 != new.sha256
    return (old.size_bytes, old.mtime_ns) != (new.size_bytes, new.mtime_ns)
