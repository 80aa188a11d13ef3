"""The workers' part of a restoration (`returning`): out of the replica, as one stream, into the open volume.

restic is started once for all of it: a start for each file would take longer than the files. Small ones go
by the handful (`bundling`). Where the replica is damaged that stream ends there; then, and only then, each
file is fetched by itself, and those that are damaged are left out, by name.
"""

import hashlib
import logging
import tarfile
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from typing import IO, NoReturn

from django.db.models import Q
from django.utils import timezone

from clients import nudge
from clients.errors import Refusal, WrongState
from clients.models import Client
from mydoc import bytepaths
from mydoc.models import Restoration
from mydoc.replicas import manifests, recalling, repositories
from mydoc.replicas.recalling import Kept
from mydoc.restorations import bundling, restoring
from mydoc.restorations.bundling import Bundles
from mydoc.restorations.lyingthere import There
from mydoc.tree import asking, browsing, writing
from vrasnode.wire import mydoc as wire
from vrasnode.wire.replication import ManifestLine

log = logging.getLogger("openvras.mydoc")

ALIVE = timedelta(minutes=3)  # without a sign of life it is dead
SIGN_S = 2.0  # between two of them
BITE_S = 3 * 3600.0  # then another worker goes on
PIECE_BYTES = 512 << 10
SAID = 20  # names of files that were left out
OWN = b".openvras"  # the volume's own folder, which no share shows
# Why it waits, and for how long: the PC is off, its user away, the NAS too; nothing is wrong with the files.
MINUTE = timedelta(minutes=1)
WAITS = dict.fromkeys(
    (
        *("pc_off", "volume_locked", "volume_closed", "volume_gone", "pc_slow", "service_silent"),
        *("too_many_questions", "too_many_uploads", "quick_store_away", "no_such_upload", "disk_full"),
        *("volume_damaged", "volume_read_only", "bad_answer", "too_slow"),
        *("replica_busy", "slow", "away", "credential", "repository_locked", "no_nas", "no_restic"),
    ),
    MINUTE,
)
LATER = timedelta(minutes=5)  # what nobody foresaw
FINAL = {"no_such_replica", "no_such_snapshot", "no_manifest", "unknown_client", "wrong_repository_key"}
State = Restoration.State
Clock = Callable[[], datetime]


class Ended(Exception):
    """Somebody stopped it, or took it over."""


def sweep(*, clock: Clock = timezone.now) -> int:
    """Goes on with what is due; how many. Safe to run twice, at once, or never."""
    return sum(go_on(row, clock=clock) for row in list(Restoration.objects.due(clock())))


def go_on(row: Restoration, *, clock: Clock = timezone.now, seconds: float = BITE_S) -> bool:
    """One bite of it; whether it was its turn."""
    work = Work(row, clock=clock, seconds=seconds)
    if not work.begin():
        return False
    try:
        if work.row.target.client.state != Client.State.APPROVED:
            raise Refusal("unknown_client", "")
        asking.check(work.row.target, now=clock())  # before anything is read from the NAS
        kept = recalling.of(work.row.source, work.row.run_id)
        (_one_by_one if work.row.one_by_one else _streamed)(work, kept)
    except Ended:
        pass
    except Refusal as refusal:
        work.pause(refusal.code)
    except BaseException:
        work.pause("broken_off")
        raise
    else:
        work.end(State.DONE)
    return True


class Work:
    """One bite: a lease of the row, and the counts that are in it."""

    def __init__(self, row: Restoration, *, clock: Clock, seconds: float) -> None:
        self.row = row
        self.clock = clock
        self._holder = uuid.uuid4().hex
        self._ends_at = time.monotonic() + seconds
        self._sign_at = 0.0

    def begin(self) -> bool:
        now = self.clock()
        free = Restoration.objects.due(now).filter(pk=self.row.pk)
        if not free.update(holder=self._holder, until=now + ALIVE, code="", not_before=None):
            return False
        self.row = Restoration.objects.select_related(
            "source__owner", "source__client", "target__owner", "target__client", "run"
        ).get(pk=self.row.pk)
        return True

    def alive(self) -> None:
        """It lives; to be said often. Raises Ended."""
        if time.monotonic() >= self._sign_at:
            self._sign_at = time.monotonic() + SIGN_S
            self._keep(until=self.clock() + ALIVE)
            row = self.row
            nudge.pages(f"volume.{row.source_id}", f"volume.{row.target_id}")

    def counted(self, *, files: int = 1, **more: int) -> None:
        """One file is done with, or several. Raises Ended: also when the time of this bite is over."""
        row = self.row
        row.place += files
        for name, count in more.items():
            setattr(row, name, getattr(row, name) + count)
        names = ("place", "written", "written_bytes", "same", "beside", "left_out", "names")
        self._keep(**{name: getattr(row, name) for name in names})
        if time.monotonic() >= self._ends_at:
            self._keep(until=None, holder="")
            raise Ended
        self.alive()

    def left_out(self, path: bytes, code: str) -> None:
        if len(self.row.names) < SAID:
            self.row.names.append({"path": bytepaths.shown(path)[:300], "code": code[:40]})
        self.counted(left_out=1)

    def from_the_beginning(self) -> NoReturn:
        """File by file from now on: the next bite does it."""
        counts = dict.fromkeys(("place", "written", "written_bytes", "same", "beside", "left_out"), 0)
        self._keep(**counts, names=[], one_by_one=True, until=None, holder="")
        raise Ended

    def pause(self, code: str) -> None:
        """It goes on later, unless nothing can mend what is wrong."""
        if code in FINAL:
            self.end(State.FAILED, code=code)
            return
        wait = WAITS.get(code, LATER) if code != "broken_off" else timedelta(0)
        with suppress(Ended):
            self._keep(code=code[:40], not_before=self.clock() + wait, until=None, holder="")
            log.info("%s: waits [%s]", self.row, code)
        self.show()

    def end(self, state: str, *, code: str = "") -> None:
        with suppress(Ended, WrongState):
            self._keep(until=self.clock() + ALIVE)  # it is still ours
            self.row.move(state, ended_at=self.clock(), code=code, holder="", until=None)
            log.info("%s: %s, %d written, %d left out", self.row, state, self.row.written, self.row.left_out)
        self.show()

    def show(self) -> None:
        row = self.row
        nudge.pages(f"volume.{row.source_id}", f"volume.{row.target_id}", f"my.{row.target.owner_id}")

    def _keep(self, **changes: object) -> None:
        mine = Q(pk=self.row.pk, state=State.RUNNING, holder=self._holder)
        if not Restoration.objects.filter(mine).update(**changes):
            raise Ended


class Handful:
    """The small files that come next: written together, and before anything else is."""

    def __init__(self, work: Work, there: There, kept: Kept) -> None:
        self._work = work
        self._there = there
        self._kept = kept
        self._bundles = Bundles(work.row.target)
        self._lines: list[ManifestLine] = []
        self._files: list[wire.Brought] = []

    def takes(self, line: ManifestLine, size: int) -> bool:
        """Whether it goes this way: it is small, and nothing of its name lies there."""
        if not self._bundles.possible or size > bundling.SMALL_BYTES:
            return False
        try:
            return self._there.entry(line.path) is None
        except Refusal as refusal:
            if refusal.code in WAITS or refusal.code in FINAL:
                raise
            return False  # what is wrong there is said of it alone

    def put(self, line: ManifestLine, data: bytes) -> None:
        digest = hashlib.sha256(data).hexdigest()
        if line.sha256 and digest != line.sha256:
            self.flush()
            self._work.left_out(line.path, "not_whole")
            return
        full = sum(len(file.data) for file in self._files) + len(data) > bundling.MOST_BYTES
        if full or len(self._files) == bundling.MOST_FILES:
            self.flush()
        self._lines.append(line)
        self._files.append(
            wire.Brought(path=line.path, data=data, sha256=digest, mtime_ns=max(0, line.mtime_ns))
        )

    def flush(self) -> None:
        """They are there, or left out, and counted. Raises as `_bring`."""
        lines, self._lines = self._lines, []
        files, self._files = self._files, []
        if not files:
            return
        self._work.alive()
        outcomes = self._bundles.write(files, now=self._work.clock()) or ["name_taken"] * len(files)
        written = written_bytes = 0
        for line, file, code in zip(lines, files, outcomes, strict=True):
            if not code:
                self._there.has(line.path, line)
                written, written_bytes = written + 1, written_bytes + len(file.data)
                continue
            self._work.counted(files=written, written=written, written_bytes=written_bytes)
            written = written_bytes = 0
            self._one(line, file.data, code)
        self._work.counted(files=written, written=written, written_bytes=written_bytes)

    def end(self) -> None:
        self._bundles.end(now=self._work.clock())

    def _one(self, line: ManifestLine, data: bytes, code: str) -> None:
        if code == "name_taken":  # meanwhile, or the PC is too old for handfuls
            self._there.forget(line.path)
            _bring(self._work, self._there, self._kept, line, [data])
        elif code in WAITS or code in FINAL:
            raise Refusal(code, "")
        else:
            self._work.left_out(line.path, code)


def _streamed(work: Work, kept: Kept) -> None:
    """All of it in the order of the replica, behind what was counted already."""
    lines, there = {line.path: line for line in kept.lines()}, _there(work)
    small, counted = Handful(work, there, kept), work.row.place
    repository = repositories.of(kept.run.replica)
    snapshot = repositories.snapshot(repository, kept.snapshot)
    prefix, place, torn = snapshot.root.lstrip(b"/") + b"/", 0, False
    try:
        with repositories.opened(repository, snapshot, b"", limit_s=BITE_S + 600) as stream:
            try:
                for path, member, file in _members(stream, prefix):
                    line = lines.pop(path, None) or _line(path, member)
                    place += 1
                    if place <= counted:
                        work.alive()
                    elif small.takes(line, member.size):
                        small.put(line, file.read())
                    else:
                        small.flush()
                        _bring(work, there, kept, line, _pieces(file, work))
                small.flush()
            except tarfile.TarError:
                torn = True  # restic says why, when it is asked how it ended
        if torn:
            raise repositories.RepositoryFailed("damaged", "")
    except repositories.RepositoryFailed as failed:
        if failed.code == "damaged":
            log.warning("%s: the replica is damaged; it goes on file by file", work.row)
            work.from_the_beginning()
        raise
    finally:
        small.end()
    for path in sorted(lines):
        work.left_out(path, "missing")


def _one_by_one(work: Work, kept: Kept) -> None:
    there = _there(work)
    for place, line in enumerate(kept.lines()):
        if place >= work.row.place:
            _bring(work, there, kept, line, None)


def _there(work: Work) -> There:
    return There(work.row.target, clock=work.clock, alive=work.alive)


def _bring(work: Work, there: There, kept: Kept, line: ManifestLine, pieces: Iterable[bytes] | None) -> None:
    """One file, and its count. What is wrong with it alone leaves it out; all else raises Refusal."""
    try:
        outcome = _into(work, there, kept, line, pieces)
    except Refusal as refusal:
        if refusal.code in WAITS or refusal.code in FINAL:
            raise
        work.left_out(line.path, refusal.code)
        return
    if outcome == "same":
        work.counted(same=1)
    else:
        work.counted(written=1, written_bytes=line.size_bytes, beside=outcome == "beside")


def _into(work: Work, there: There, kept: Kept, line: ManifestLine, pieces: Iterable[bytes] | None) -> str:
    stamp = browsing.stamp_of(kept.at)
    names = [line.path, restoring.name_beside(line.path, stamp)]
    names += [restoring.name_beside(line.path, f"{stamp} {number}") for number in range(2, restoring.TRIES)]
    for name in names:
        lying = there.entry(name)
        if lying is None and _written(
            work, name, line, _read(kept, line, work) if pieces is None else pieces
        ):
            there.has(name, line)
            return "written" if name == line.path else "beside"
        if lying is None:
            there.forget(name)
            lying, pieces = there.entry(name), None
        if lying is not None and _same(work, name, lying, line):
            return "same"
    raise Refusal("name_taken", "")


def _written(work: Work, name: bytes, line: ManifestLine, pieces: Iterable[bytes]) -> bool:
    """Whether it is; not when something has this name meanwhile."""
    try:
        writing.write(
            work.row.target,
            name,
            pieces,
            folders=True,
            mtime_ns=line.mtime_ns,
            sha256=line.sha256,
            now=work.clock(),
        )
    except Refusal as refusal:
        if refusal.code == "name_taken":
            return False
        raise
    return True


def _same(work: Work, path: bytes, lying: wire.Entry, line: ManifestLine) -> bool:
    """Whether what lies there is this file already."""
    if lying.kind is not wire.EntryKind.FILE or lying.size_bytes != line.size_bytes:
        return False
    if not line.sha256:  # it changed while it was copied: nobody knows its hash
        changed = manifests.time_of(line.mtime_ns)
        return lying.changed is not None and lying.changed == changed
    digest, offset = hashlib.sha256(), 0
    while offset < line.size_bytes:
        work.alive()
        length = min(wire.MAX_PIECE_BYTES, line.size_bytes - offset)
        about = {"path": path, "offset": offset, "length": length}
        piece = asking.ask(work.row.target, wire.Act.READ, now=work.clock(), **about).data
        if not piece:
            return False
        digest.update(piece)
        offset += len(piece)
    return digest.hexdigest() == line.sha256


def _members(stream: IO[bytes], prefix: bytes) -> Iterator[tuple[bytes, tarfile.TarInfo, IO[bytes]]]:
    """Files by their path in the volume; nothing else can be written there."""
    with tarfile.open(fileobj=stream, mode="r|", errors="surrogateescape", bufsize=1 << 20) as archive:
        for member in archive:
            file = archive.extractfile(member) if member.isreg() else None
            path = member.name.lstrip("/").encode(errors="surrogateescape").removeprefix(prefix)
            if file is not None and not bytepaths.within(path, OWN):
                yield path, member, file


def _line(path: bytes, member: tarfile.TarInfo) -> ManifestLine:
    """Of what is in the replica, but came between the PC's look and its copy."""
    return ManifestLine(path, member.size, int(member.mtime * 1e9), "")


def _pieces(file: IO[bytes], work: Work) -> Iterator[bytes]:
    while piece := file.read(PIECE_BYTES):
        work.alive()
        yield piece


def _read(kept: Kept, line: ManifestLine, work: Work) -> Iterator[bytes]:
    for piece in recalling.read(kept, line):
        work.alive()
        yield piece
