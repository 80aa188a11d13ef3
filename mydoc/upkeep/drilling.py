"""Restore drills: what a replica gives back is compared, by SHA-256, with what its PC signed.

Each week some files, chosen anew each time; each fourth time everything, as far as it goes within the time.
Nothing that is restored touches a disk of the server: it is hashed while it streams by.
"""

import hashlib
import heapq
import random
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import IO

from django.utils import timezone

from mydoc.models import Keeping, KeptSnapshot, Replica, ReplicaAlarm, ReplicationRun, Upkeep
from mydoc.replicas import alarming, manifests, repositories, tending
from mydoc.replicas.repositories import Repository, Snapshot
from vrasnode.wire.replication import ManifestLine

EVERY = timedelta(days=7)
WHOLE_EACH = 4  # drills
FILE_S, WHOLE_S = 600.0, 3600.0
MOST_BYTES = 1 << 30  # of one file in a sample
PIECE_BYTES = 1 << 20
SAID = 20  # names of files in the result


@dataclass
class Compared:
    """What came of it."""

    files: int = 0
    bytes: int = 0
    same: int = 0
    unknown: int = 0  # without a hash: they changed while they were copied
    other: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)

    @property
    def good(self) -> bool:
        return not self.other and not self.missing

    def add(self, line: ManifestLine, digest: str, size: int) -> None:
        self.files += 1
        self.bytes += size
        if not line.sha256:
            self.unknown += 1
        elif digest == line.sha256:
            self.same += 1
        else:
            self.other.append(_readable(line.path))

    def told(self) -> dict[str, object]:
        counted = {"files": self.files, "bytes": self.bytes, "same": self.same, "unknown": self.unknown}
        return {
            **counted,
            **{"other": len(self.other), "missing": len(self.missing)},
            "names": [*self.other, *self.missing][:SAID],
        }


def due(replica: Replica, *, now: datetime) -> bool:
    """Whether its week is over."""
    if replica.last_good_at is None or tending.rests(replica, Upkeep.Kind.DRILL, now=now):
        return False
    last = tending.last_done(replica, Upkeep.Kind.DRILL)
    return last is None or now - last >= EVERY


def drill(replica: Replica, *, now: datetime, whole: bool | None = None, seed: str = "") -> Upkeep | None:
    """Restores from the newest replica and compares. `whole`: everything; None: when it is time for that.

    None: there is none yet. What differs raises an alarm that keeps the generation before. Raises Refusal.
    """
    run, kept = _newest(replica)
    if run is None or kept is None:
        return None
    if whole is None:
        done = Upkeep.objects.filter(replica=replica, kind=Upkeep.Kind.DRILL, state=Upkeep.State.DONE).count()
        whole = done % WHOLE_EACH == WHOLE_EACH - 1
    with tending.tending(replica, Upkeep.Kind.DRILL, now=now) as act:
        proof = manifests.proof_of(run)
        act.found |= {
            "run": str(run.pk),
            "of": (run.begun_at or now).isoformat(),
            "whole": whole,
            "proof": proof,
        }
        repository = repositories.of(replica)
        of = repositories.snapshot(repository, kept.snapshot)
        lot = random.Random(seed or None)  # noqa: S311  (a sample, no secret)
        look = _whole(repository, of, run, act) if whole else _some(repository, of, run, act, lot)
        act.found |= look.told()
        if proof or not look.good:
            _tell(replica, run, {**look.told(), "proof": proof}, now=now)
        else:
            _clear(replica, run, now=now)
    return act.row


def _some(
    repository: Repository, of: Snapshot, run: ReplicationRun, act: tending.Act, lot: random.Random
) -> Compared:
    """Some files by lot."""
    lines = (line for line in manifests.lines_of(run) if line.sha256 and line.size_bytes <= MOST_BYTES)
    chosen = heapq.nsmallest(
        Keeping.now().drill_files, ((lot.random(), at, line) for at, line in enumerate(lines))
    )
    found = Compared()
    for _by_lot, _at, line in chosen:
        act.alive()
        try:
            with repositories.opened(repository, of, line.path, limit_s=FILE_S) as stream:
                found.add(line, *_hashed(stream, act))
        except repositories.RepositoryFailed as failed:
            if failed.code not in ("no_such_path", "damaged"):
                raise
            found.missing.append(_readable(line.path))
    return found


def _whole(repository: Repository, of: Snapshot, run: ReplicationRun, act: tending.Act) -> Compared:
    """All that it holds, in one stream."""
    lines = {line.path: line for line in manifests.lines_of(run)}
    found, prefix = Compared(), of.root.lstrip(b"/") + b"/"
    try:
        with repositories.opened(repository, of, b"", limit_s=WHOLE_S) as stream:
            for path, file in _members(stream):
                act.alive()
                line = lines.pop(path.removeprefix(prefix), None)
                if line is not None:  # else it came between the look and the copy
                    found.add(line, *_hashed(file, act))
    except repositories.RepositoryFailed as failed:
        if failed.code != "damaged":
            raise
    except tarfile.TarError:
        act.found["torn"] = True  # the rest of it counts as missing
    found.missing += [_readable(path) for path, line in sorted(lines.items()) if line.sha256]
    return found


def _members(stream: IO[bytes]) -> Iterator[tuple[bytes, IO[bytes]]]:
    with tarfile.open(fileobj=stream, mode="r|", errors="surrogateescape") as archive:
        for member in archive:
            file = archive.extractfile(member) if member.isreg() else None
            if file is not None:
                yield member.name.lstrip("/").encode(errors="surrogateescape"), file


def _hashed(stream: IO[bytes], act: tending.Act) -> tuple[str, int]:
    digest, size = hashlib.sha256(), 0
    while piece := stream.read(PIECE_BYTES):
        act.alive()
        digest.update(piece)
        size += len(piece)
    return digest.hexdigest(), size


def _newest(replica: Replica) -> tuple[ReplicationRun | None, KeptSnapshot | None]:
    """The newest run of which the server saw the snapshot."""
    rows = KeptSnapshot.objects.filter(replica=replica, gone_at=None).exclude(run=None)
    kept = rows.select_related("run__replica__volume__client").order_by("-run__ended_at").first()
    return (kept.run, kept) if kept else (None, None)


def _tell(replica: Replica, run: ReplicationRun, found: dict[str, object], *, now: datetime) -> None:
    before = ReplicationRun.objects.filter(replica=replica, state="done", ended_at__lt=run.ended_at)
    alarming.raise_alarm(
        replica,
        ReplicaAlarm.Kind.DIFFERS,
        found=found,
        run=run,
        keeps=before.order_by("-ended_at").first(),
        now=now,
    )


def _clear(replica: Replica, run: ReplicationRun, *, now: datetime) -> None:
    """A later replica that is as its PC signed it says nothing of the one that was not: people decide. Only
    that the same one is found good now takes the alarm back."""
    for alarm in ReplicaAlarm.objects.open().filter(replica=replica, kind=ReplicaAlarm.Kind.DIFFERS, run=run):
        alarming.close(alarm, reason="compared again: it is what its PC signed", now=now)


def _readable(path: bytes) -> str:
    return path.decode(errors="backslashreplace")[:300]


def last_good(replica: Replica) -> Upkeep | None:
    """The last drill after which nothing was missing or other."""
    rows = Upkeep.objects.filter(replica=replica, kind=Upkeep.Kind.DRILL, state=Upkeep.State.DONE)
    return next(
        (one for one in rows[:10] if not one.found.get("other") and not one.found.get("missing")), None
    )


def late(*, now: datetime) -> list[Replica]:
    """Replicas of which no drill went well for longer than its week and a day."""
    since = timezone.localtime(now) - EVERY - timedelta(days=1)
    rows = Replica.objects.filter(last_good_at__lt=since).select_related("volume__owner", "volume__client")
    return [one for one in rows if (good := last_good(one)) is None or good.begun_at < since]
