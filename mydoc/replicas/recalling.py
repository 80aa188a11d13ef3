"""User data as a replica has it: for a volume that is locked or whose PC is off, and for an earlier time.

What lies where is read from the manifests, which PCs signed (`manifests`); bytes come out of the repository
on the NAS (`repositories`), as a stream, and are compared with the manifest's hash on their way. Folders are
what the paths of files say: empty ones, and links, are in no manifest. Nobody is asked or told here: see
`browsing`.
"""

import hashlib
import threading
import unicodedata
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from datetime import datetime

from django.utils.translation import gettext_lazy as _

from clients.errors import Refusal
from mydoc import bytepaths
from mydoc.models import ReplicationRun, Volume
from mydoc.replicas import manifests, repositories
from vrasnode.wire import mydoc as wire
from vrasnode.wire.replication import ManifestLine

AT_ONCE = 4  # files on their way out of replicas, in one process of the server
PIECE_BYTES = 512 << 10
LEAST_S, LEAST_BYTES_S = 120.0, 256 << 10  # how slow a NAS or a reader may be
MOST_VERSIONS = 60  # replicas that are looked through for versions of one file
_turns = threading.BoundedSemaphore(AT_ONCE)


@dataclass(frozen=True)
class Kept:
    """One replica of a volume. `at`: up to when what was written is in it."""

    volume: Volume
    run: ReplicationRun
    at: datetime

    @property
    def snapshot(self) -> str:
        return str(self.run.told.get("snapshot", ""))

    def lines(self) -> Iterator[ManifestLine]:
        """Its files by path. Raises Refusal(no_manifest)."""
        return manifests.lines(self.run)


@dataclass(frozen=True)
class Version:
    """A file as it was from `kept` on, until the next version's."""

    kept: Kept
    line: ManifestLine
    changed: datetime | None


def newest(volume: Volume) -> Kept | None:
    """The last whole replica."""
    return next(iter(all_of(volume)[:1]), None)


def all_of(volume: Volume) -> list[Kept]:
    """Those that are still there, the newest first."""
    rows = manifests.kept(volume).order_by("-ended_at")[:MOST_VERSIONS]
    return [Kept(volume, run, run.begun_at) for run in rows if run.begun_at is not None]


def of(volume: Volume, run: object) -> Kept:
    """The replica that this run made. Raises Refusal(no_such_replica)."""
    found = next((kept for kept in all_of(volume) if str(kept.run.pk) == str(run)), None)
    if found is None:
        raise Refusal("no_such_replica", _("The replica of that time is not there any more."), status=404)
    return found


def folder(kept: Kept, path: bytes, *, after: bytes, limit: int) -> tuple[list[wire.Entry], bool]:
    """The next entries of a folder by name, and whether there are more. Raises Refusal: no_such_name."""
    found: dict[bytes, wire.Entry] = {}
    start, there = path + b"/" if path else b"", not path
    for line in kept.lines():
        if not line.path.startswith(start):
            if there and path and line.path > start:
                break
            continue
        there = True
        name, slash, _below = line.path[len(start) :].partition(b"/")
        if name <= after or name in found:
            continue
        found[name] = wire.Entry(name=name, kind=wire.EntryKind.FOLDER) if slash else _entry(name, line)
        if len(found) > 20 * limit:  # of a folder with a million files, only what this page may show is held
            found = {name: found[name] for name in sorted(found)[: limit + 1]}
    if not there:
        raise no_such_name()
    names = sorted(found)
    return [found[name] for name in names[:limit]], len(names) > limit


def search(kept: Kept, words: str, *, after: bytes, limit: int) -> tuple[list[wire.Entry], bool, bytes]:
    """The next entries in whose name `words` are, whether there are more, and after which path to go on.
    The folders on the way to a file are found with it."""
    wanted, found, before = folded(words), list[wire.Entry](), b""
    if not wanted:
        raise Refusal("bad_args", _("There is nothing to search for."), status=400)
    for line in kept.lines():
        if line.path > after:
            if len(found) >= limit:
                return found, True, before
            for place in bytepaths.steps(bytepaths.parent(line.path)):
                if not bytepaths.within(before, place) and wanted in folded_name(place):
                    found.append(wire.Entry(name=place, kind=wire.EntryKind.FOLDER))
            if wanted in folded_name(line.path):
                found.append(_entry(line.path, line))
        before = line.path
    return found, False, b""


def line_of(kept: Kept, path: bytes) -> ManifestLine:
    """What the manifest says of a file. Raises Refusal(no_such_name)."""
    line = manifests.find(kept.run, path)
    if line is None:
        raise no_such_name()
    return line


def versions(volume: Volume, path: bytes) -> list[Version]:
    """All that differ, the newest first; the replica that is named is the first that had it."""
    found: list[Version] = []
    for kept in all_of(volume):
        line = manifests.find(kept.run, path)
        if line is None:
            continue
        if found and _same(found[-1].line, line):
            found[-1] = Version(kept, found[-1].line, found[-1].changed)
        else:
            found.append(Version(kept, line, manifests.time_of(line.mtime_ns)))
    return found


def read(kept: Kept, line: ManifestLine) -> Generator[bytes, None, None]:
    """The file's bytes. Raises Refusal before the first piece when there is none; at the end, when it was not
    what the manifest says: replica_damaged."""
    pieces = _stream(kept, line.path, size=line.size_bytes)
    return _primed(_checked(pieces, line))


def zipped(kept: Kept, path: bytes) -> Generator[bytes, None, None]:
    """A folder and all that is in it, as a zip file that is made on the way. Raises Refusal."""
    size = sum(line.size_bytes for line in kept.lines() if bytepaths.within(line.path, path))
    return _primed(_stream(kept, path, size=size, archive="zip"))


def _stream(kept: Kept, path: bytes, *, size: int, archive: str = "tar") -> Generator[bytes, None, None]:
    if not _turns.acquire(blocking=False):
        raise Refusal("replica_busy", _("Others read from replicas. Try again in a minute."), status=503)
    try:
        repository = repositories.of(kept.run.replica)
        snapshot = repositories.snapshot(repository, kept.snapshot)
        limit_s = LEAST_S + size / LEAST_BYTES_S
        with repositories.opened(repository, snapshot, path, limit_s=limit_s, archive=archive) as out:
            while piece := out.read(PIECE_BYTES):
                yield piece
    finally:
        _turns.release()


def _checked(pieces: Generator[bytes, None, None], line: ManifestLine) -> Generator[bytes, None, None]:
    """The last piece is given out only when all of them were right: a browser then never has the whole
    file."""
    digest, size, waiting = hashlib.sha256(), 0, b""
    try:
        for piece in pieces:
            digest.update(piece)
            size += len(piece)
            if waiting:
                yield waiting
            waiting = piece
        if size != line.size_bytes or (line.sha256 and digest.hexdigest() != line.sha256):
            raise Refusal("replica_damaged", _("The replica's copy of this file is damaged."), status=503)
        yield waiting
    finally:
        pieces.close()


def _primed(pieces: Generator[bytes, None, None]) -> Generator[bytes, None, None]:
    """The first piece is there: what goes wrong at once is said in words, not in the midst of a download."""
    first = next(pieces, b"")

    def all_of_them() -> Generator[bytes, None, None]:
        try:
            yield first
            yield from pieces
        finally:
            pieces.close()

    return all_of_them()


def folded(text: str) -> str:
    """The same for all ways to write it, as in the virtual server (`foldertree`)."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


def folded_name(path: bytes) -> str:
    return folded(bytepaths.last(path).decode("utf-8", "surrogateescape"))


def no_such_name() -> Refusal:
    return Refusal("no_such_name", _("This is not in the replica of that time."), status=404)


def _same(one: ManifestLine, other: ManifestLine) -> bool:
    if one.sha256 and other.sha256:
        return one.sha256 == other.sha256
    return (one.size_bytes, one.mtime_ns) == (other.size_bytes, other.mtime_ns)


def _entry(name: bytes, line: ManifestLine) -> wire.Entry:
    return wire.Entry(
        name=name,
        kind=wire.EntryKind.FILE,
        size_bytes=line.size_bytes,
        changed=manifests.time_of(line.mtime_ns),
    )
