"""Making a `.part` into the image that a manifest describes, of what is here and what has to be fetched.

Whatever is right in the part stays: read back by hash it is the only journal, so a kill costs what was under
way and a rescan. What is missing comes from the seed (the version that runs now; cloned where the file system
can, and checked like everything else: a corrupt seed chunk is a missing chunk), the rest as frames, nothing
more: delta frames against the seed where the server has them, else plain ones. At the end every byte was
hashed once on this disk or on its way to it, and zeros were made here.

Which file this is and what it becomes is `slots`' and `part`'s business.
"""

import os
import threading
from array import array
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path

from vrasnode import crew
from vrasnode.chunks.deltamap import DeltaMap
from vrasnode.chunks.deltas import open_delta
from vrasnode.chunks.framemap import FrameMap, FrameRange
from vrasnode.chunks.frames import open_frame
from vrasnode.chunks.manifest import Manifest
from vrasnode.errors import HostBroken, Refused, Unreachable
from vrasnode.host import disk
from vrasnode.imaging.checking import Ruler, Run, scratch
from vrasnode.imaging.fetching import Fetcher, Wish
from vrasnode.imaging.seeds import Seed, open_seed, sort_by_place

MAX_WRONG = 3  # how often wrong bytes for one chunk are fetched again
MAX_GONE = 2  # how often a pack of delta frames may be missing before the plain ones are taken
SPARE_BYTES = 32 << 20  # left free for whoever else writes on this disk
BLOCK_BYTES = 4096
FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 30.0
ALONE_S = 60.0  # without peers, after it did not go with them

_MISSING, _RIGHT, _NOT_IN_SEED = range(3)


@dataclass
class Progress:
    """How far it is. Bytes are those of frames, as stored in packs; `chunks` are counted, not bytes."""

    done_bytes: int = 0
    total_bytes: int = 0
    refetched_chunks: int = 0
    corrupt_seed_chunks: int = 0
    peer_bytes: int = 0  # of `done_bytes`: what other PCs gave
    delta_bytes: int = 0  # of `done_bytes`
    broken_deltas: int = 0


class Assembly:
    """One image in the making. Drive it by `steps`; `progress` and `trouble` may be looked at between them.

    `clones`: whether the file system may share blocks. `clock` counts seconds and never goes back. `stop` is
    set when it ends early; `fetcher` should have the same.
    """

    def __init__(
        self,
        target: Manifest,
        part: Path,
        *,
        seed: Path | None,
        seed_manifest: Manifest | None,
        fetcher: Fetcher,
        stop: threading.Event,
        clock: Callable[[], float],
        threads: int,
        clones: bool,
    ) -> None:
        self.progress = Progress()
        self.trouble: Unreachable | None = None  # why it waits
        self._target = target
        self._ruler = Ruler(target)
        self._part = part
        self._seed_image = seed
        self._seed_manifest = seed_manifest
        self._seed: Seed | None = None
        self._fetcher = fetcher
        self._stop = stop
        self._clock = clock
        self._threads = threads
        self._lock = threading.Lock()
        self._state = bytearray(len(target))
        self._wrong: Counter[int] = Counter()
        self._frames: FrameMap | None = None
        self._deltas: DeltaMap | None = None
        self._is_delta = bytearray(len(target))  # of each entry's frame in this round
        self._plain: set[int] = set()  # entries whose delta frame was no good
        self._gone: Counter[str] = Counter()  # packs of delta frames that were not there
        self._clones = clones
        self._handle = -1
        self._writer = disk.Writer(-1)
        self._alone_until = float("-inf")

    def steps(self) -> Generator[bool, None, None]:
        """Each `next` is one bite; it gives whether there is more to do at once. At the end the part is whole
        and synced. Closing it early leaves a part that another Assembly goes on with.

        Raises Refused(wrong_bytes, no_ranges, bad_frame_map), HostBroken(disk_full, disk_failed …). While the
        server is unreachable it waits, and goes on by itself.
        """
        with disk.told("The new image cannot be written"), ExitStack() as stack:
            yield from self._open(stack)
            yield from self._first_round()
            wait_s = FIRST_WAIT_S
            while missing := self._missing():
                done = self.progress.done_bytes
                yield from self._round((), missing)
                if self.trouble:
                    if self.trouble.code == "fetch_gone":
                        self._frames = None
                    moved = self.progress.done_bytes > done
                    wait_s = FIRST_WAIT_S if moved else min(2 * wait_s, LONGEST_WAIT_S)
                    yield from self._wait(wait_s)
            yield from self._run([crew.Lane(iter([partial(os.fsync, self._handle)]), width=1, name="sync")])

    def _open(self, stack: ExitStack) -> Iterator[bool]:
        self._handle = os.open(self._part, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        stack.callback(os.close, self._handle)
        self._writer = disk.Writer(self._handle)
        if self._seed_image:
            self._seed = yield from open_seed(
                self._seed_image,
                self._seed_manifest,
                for_=self._target,
                threads=self._threads,
                stack=stack,
            )

    def _first_round(self) -> Iterator[bool]:
        """Gives the part its size and its zeros, and finds out what is right in it."""
        empty = os.fstat(self._handle).st_size == 0
        cloned = bool(empty and self._seed and disk.clone(self._seed.handle, self._handle))
        os.ftruncate(self._handle, self._ruler.size_bytes)
        if not empty or cloned:
            for start, end in self._ruler.gaps():
                disk.punch(self._handle, start=start, length=end - start)
                yield True
        if not cloned:
            yield from self._round(self._ruler.entries_with_data(self._handle), ())
            return
        # What differs is known before anything was read, so it is fetched while the rest is read back.
        same = bytearray(len(self._target))
        for entry in self._same_in_seed():
            same[entry] = 1
        claims = array("I", (entry for entry, flag in enumerate(same) if flag))
        missing = array("I", (entry for entry, flag in enumerate(same) if not flag))
        yield from self._round((), missing, shared=claims)

    def _same_in_seed(self) -> Iterator[int]:
        if self._seed is None:
            return
        for entry, (number, digest) in enumerate(self._target):
            if self._seed.has(digest, at=number):
                yield entry

    def _missing(self) -> "array[int]":
        return array("I", (entry for entry, state in enumerate(self._state) if state != _RIGHT))

    def _round(
        self, claims: Iterable[int], missing: Sequence[int], *, shared: Iterable[int] = ()
    ) -> Iterator[bool]:
        """Reads back what may be right and brings what is missing, each from one place. `shared` entries came
        with the seed's blocks."""
        picks, to_fetch = sort_by_place(self._seed, self._target, self._seedable(missing))
        to_fetch.extend(entry for entry in missing if self._state[entry] == _NOT_IN_SEED)
        self.trouble = None
        numbers = self._target.numbers
        reading = chain(
            (partial(self._check, run) for run in self._ruler.runs(claims)),
            (partial(self._take, run, numbers[run.first], shared=True) for run in self._ruler.runs(shared)),
            (partial(self._take, run, number) for run, number in picks.runs(self._ruler)),
        )
        lanes = [crew.Lane(reading, width=self._threads, name="check")]
        if to_fetch and (frames := self._frame_map()):
            self._check_room(len(to_fetch), len(picks))
            self.progress.total_bytes = self.progress.done_bytes + _frame_bytes(frames, to_fetch)
            lanes.append(self._fetch_lane(frames, to_fetch))
        yield from self._run(lanes)

    def _fetch_lane(self, frames: FrameMap, to_fetch: "array[int]") -> crew.Lane:
        # With plain frames among the delta frames, others would not know which one they are given.
        shared = self._fetcher.peers and self._fetcher.fetch.swarm and not self._plain
        if shared and self._clock() >= self._alone_until:
            return crew.Lane(iter([partial(self._share, frames, to_fetch)]), width=1, name="share")
        jobs = (partial(self._fetch, wanted) for wanted in frames.ranges(to_fetch))
        return crew.Lane(jobs, width=self._fetcher.connections, name="fetch")

    def _seedable(self, entries: Iterable[int]) -> Iterator[int]:
        return (entry for entry in entries if self._state[entry] == _MISSING)

    def _run(self, lanes: list[crew.Lane]) -> Iterator[bool]:
        for _ in crew.run(lanes, self._stop):
            yield True

    def _wait(self, seconds: float) -> Iterator[bool]:
        until = self._clock() + seconds
        while self._clock() < until:
            yield False

    def _check(self, run: Run) -> None:
        """Reads a run of the part back."""
        start, length = self._ruler.place(run)
        data = scratch(length)
        if not disk.read_exactly(self._handle, data, start=start):
            raise HostBroken(
                "disk_failed", f"{self._part} became shorter while it was read. See who writes there."
            )
        for entry, chunk in self._ruler.chunks(run, data):
            if self._ruler.right(entry, chunk):
                self._state[entry] = _RIGHT

    def _take(self, run: Run, number: int, *, shared: bool = False) -> None:
        """Brings a run from the seed, checked. `shared`: it is in the part since that was cloned; checked all
        the same, and read from the seed, for nobody writes there meanwhile."""
        if self._seed is None:
            raise ValueError("no seed to take from")
        start, length = self._ruler.place(run)
        source = number * self._ruler.chunk_bytes
        data = scratch(length)
        if not disk.read_exactly(self._seed.handle, data, start=source):
            data[:] = bytes(length)  # shorter than its manifest says: nothing here can be right
        chunks = list(self._ruler.chunks(run, data))
        right = [self._ruler.right(entry, chunk) for entry, chunk in chunks]
        if all(right) and not shared:
            self._bring(data, of=self._seed, source=source, start=start)
        for (entry, chunk), good in zip(chunks, right, strict=True):
            if not good:
                self._corrupt_seed(entry)
                continue
            if not all(right) and not shared:
                self._writer.write(chunk, start=self._ruler.place(Run(entry, 1))[0])
            self._state[entry] = _RIGHT

    def _bring(self, data: memoryview, *, of: Seed, source: int, start: int) -> None:
        """Puts what was read from the seed at `source` into the part: cloned where that can be."""
        length = len(data)
        if self._clones and length % BLOCK_BYTES == 0:
            if disk.clone_range(of.handle, self._handle, start=source, length=length, to=start):
                return
            self._clones = False
        self._writer.write(data, start=start)

    def _corrupt_seed(self, entry: int) -> None:
        self._state[entry] = _NOT_IN_SEED
        with self._lock:
            self.progress.corrupt_seed_chunks += 1

    def _share(self, frames: FrameMap, to_fetch: "array[int]") -> None:
        """Gets frames together with other PCs; what that leaves is fetched in the next round."""
        wish = Wish(
            frames=frames,
            wanted=to_fetch,
            base=self._deltas.base if self._deltas else "",
            max_bytes=self._ruler.chunk_bytes,
            handle=self._handle,
            place=lambda entry: self._ruler.place(Run(entry, 1)),
            right=self._ruler.right,
            put=self._put_shared,
            spoilt=self._spoilt,
        )
        peers = self._fetcher.peers
        if peers is not None and not peers.fetch(wish, self._fetcher, stop=self._stop):
            self._alone_until = self._clock() + ALONE_S

    def _put_shared(self, entries: list[int], frame: bytes, from_peer: bool) -> bool:
        if entries and not self._put(entries, frame):
            return False
        with self._lock:
            self.progress.done_bytes += len(frame)
            self.progress.peer_bytes += len(frame) if from_peer else 0
        return True

    def _fetch(self, wanted: FrameRange) -> None:
        if self.trouble:  # the others of this round would run into it one after the other
            return
        try:
            for entries, frame in self._fetcher.frames(wanted):
                self._take_frame(entries, frame)
        except Unreachable as error:
            if error.code == "fetch_gone" and self._is_delta[wanted.entries[0][0]]:
                self._delta_gone(wanted)
            self.trouble = error

    def _take_frame(self, entries: list[int], frame: bytes) -> None:
        if not self._put(entries, frame):
            for entry in entries:
                self._spoilt(entry)
        with self._lock:
            self.progress.done_bytes += len(frame)

    def _put(self, entries: list[int], frame: bytes) -> bool:
        """Keeps the chunk in a frame if it is right for all these entries; whether it is."""
        length = self._ruler.place(Run(entries[0], 1))[1]
        # A PC gives a chunk that it has had for long as it is, whatever its frame would be.
        delta = bool(self._is_delta[entries[0]]) and len(frame) != length
        try:
            chunk = self._open_delta(frame, length) if delta else open_frame(frame, length)
        except Refused:
            return False
        if len(chunk) != length or not all(self._ruler.right(entry, chunk) for entry in entries):
            return False
        for entry in entries:
            self._writer.write(chunk, start=self._ruler.place(Run(entry, 1))[0])
            self._state[entry] = _RIGHT
        if delta:
            with self._lock:
                self.progress.delta_bytes += len(frame)
        return True

    def _spoilt(self, entry: int) -> None:
        """The server's own frame of an entry was not right."""
        if self._is_delta[entry]:
            self._broken_delta(entry)
        else:
            self._wrong_bytes(entry)

    def _open_delta(self, frame: bytes, length: int) -> bytes:
        """Raises Refused(bad_frame)."""
        if self._seed is None or self._deltas is None:
            raise ValueError("no base for a delta frame")
        size, handle = self._deltas.piece_bytes, self._seed.handle
        try:
            return open_delta(
                frame, length, piece_bytes=size, read=lambda piece: os.pread(handle, size, piece * size)
            )
        except OSError as error:
            words = f"The version that runs cannot be read for a delta frame ({error.strerror})."
            raise Refused("bad_frame", words) from error

    def _broken_delta(self, entry: int) -> None:
        """The plain frame is taken in the next round."""
        with self._lock:
            self._plain.add(entry)
            self.progress.broken_deltas += 1

    def _delta_gone(self, wanted: FrameRange) -> None:
        """Its pack may have moved or the permission ended; after that, the plain frames are taken."""
        with self._lock:
            self._gone[wanted.pack_id] += 1
            missing = self._gone[wanted.pack_id] >= MAX_GONE
        if missing:
            for entry, _, _ in wanted.entries:
                self._broken_delta(entry)

    def _wrong_bytes(self, entry: int) -> None:
        with self._lock:
            self.progress.refetched_chunks += 1
            self._wrong[entry] += 1
            tries = self._wrong[entry]
        if tries > MAX_WRONG:
            words = (
                f"Chunk {self._target.numbers[entry]} of {self._target.header.image} came with wrong bytes"
                f" {tries} times. The server's store is damaged: publish this version again."
            )
            raise Refused("wrong_bytes", words)

    def _frame_map(self) -> FrameMap | None:
        """Where to fetch from; None while that cannot be found out."""
        if self._frames is None:
            try:
                self._frames = self._fetcher.frame_map(self._target)
                self._deltas = self._delta_map()
            except Unreachable as error:
                self.trouble = error
                self._frames = None
        if self._frames is None or self._deltas is None:
            self._is_delta = bytearray(len(self._target))
            return self._frames
        laid, self._is_delta = self._deltas.laid_over(self._frames, but=self._plain)
        return laid

    def _delta_map(self) -> DeltaMap | None:
        """The delta frames against the seed. Without a usable list of them the plain frames do."""
        if self._seed is None or self._seed_manifest is None:
            return None
        try:
            return self._fetcher.delta_map(self._target, base=self._seed_manifest.digest)
        except (Refused, Unreachable) as error:
            if isinstance(error, Unreachable) and error.code != "fetch_gone":
                raise
            self.progress.broken_deltas += 1
            return None

    def _check_room(self, to_fetch: int, to_take: int) -> None:
        """Better to stop before the disk is full: the running machine writes on it, too."""
        new = to_fetch if self._clones else to_fetch + to_take
        allocated = os.fstat(self._handle).st_blocks * 512
        room = os.fstatvfs(self._handle)
        free = room.f_bavail * room.f_frsize - SPARE_BYTES
        needed = new * self._ruler.chunk_bytes
        if not self._clones:  # what is overwritten has its blocks already
            right = self._state.count(_RIGHT) * self._ruler.chunk_bytes
            needed -= max(0, allocated - right)
        if needed > free:
            words = (
                f"The new version needs {needed >> 20} MiB on this PC's disk, {max(0, free) >> 20} are free."
            )
            raise HostBroken("disk_full", words)


def _frame_bytes(frames: FrameMap, entries: "array[int]") -> int:
    """What the frames of these entries measure, each once."""
    total = 0
    for wanted in frames.ranges(entries):
        last = -1
        for _, offset, length in wanted.entries:
            total += length if offset != last else 0
            last = offset
    return total
