"""Reads a raw image once and names its chunks by hash: holes skipped, zero chunks dropped, several threads.

The digest of a chunk and the bytes that `Batch.chunk` hands out come from the same buffer, so what is
compressed is what was named, even if somebody writes to the image meanwhile.
"""

import errno
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import TypeAlias, TypeVar

from vrasnode.chunks.freeranges import FreeRanges
from vrasnode.chunks.hashing import Hash, digest_of
from vrasnode.errors import Refused

THREADS = 2
BATCH_BYTES = 1 << 20  # small, so that a batch of which one chunk is wanted holds little memory
AHEAD_BYTES = 8 << 20  # of batches read before they are asked for, unless one per thread is more

T = TypeVar("T")
Job = TypeVar("Job")
Runs: TypeAlias = list[tuple[int, int]]  # first number and end of each


class Batch:
    """Neighbouring chunks that are not all zero, with their bytes until `release`."""

    __slots__ = ("_buffer", "_free", "_places", "digests", "numbers", "read_bytes")

    def __init__(self, buffer: bytearray, free: "deque[bytearray]") -> None:
        self._buffer: bytearray | None = buffer
        self._free = free
        self._places: list[tuple[int, int]] = []
        self.numbers: list[int] = []
        self.digests: list[bytes] = []
        self.read_bytes = 0

    def __len__(self) -> int:
        return len(self.numbers)

    @property
    def held_bytes(self) -> int:
        """What the batch keeps in memory."""
        return len(self._buffer) if self._buffer is not None else 0

    def chunk(self, position: int) -> memoryview:
        """The bytes of the chunk at `position`, not copied. Not allowed after `release`."""
        if self._buffer is None:
            raise ValueError("This batch was released.")
        start, end = self._places[position]
        return memoryview(self._buffer)[start:end]

    def release(self) -> None:
        """Gives the memory back for other batches. May be left out: then it costs an allocation."""
        if self._buffer is not None:
            self._free.append(self._buffer)
            self._buffer = None

    def _add(self, number: int, digest: bytes, place: tuple[int, int]) -> None:
        self.numbers.append(number)
        self.digests.append(digest)
        self._places.append(place)


def scan(
    fd: int,
    size_bytes: int,
    *,
    chunk_bytes: int,
    hash: str = "blake3",  # noqa: A002  the word of the manifest
    threads: int = THREADS,
) -> Iterator[Batch]:
    """The chunks of a raw image in order, a batch at a time.

    Raises Refused: image_changed when it ends before `size_bytes`, image_unreadable when the disk under it
    fails, unknown_hash.
    """
    with ThreadPoolExecutor(threads, "scan") as pool:
        yield from scan_in(pool, fd, size_bytes, chunk_bytes=chunk_bytes, hash=hash, threads=threads)


def scan_in(
    pool: Executor,
    fd: int,
    size_bytes: int,
    *,
    chunk_bytes: int,
    hash: str,  # noqa: A002
    threads: int,
    free: FreeRanges | None = None,
) -> Iterator[Batch]:
    """Like `scan`, working in the caller's pool of so many threads. What lies in `free` reads as zeros."""
    reader = _Reader(fd, size_bytes, chunk_bytes, digest_of(hash), free or FreeRanges())
    ahead = max(threads, min(2 * threads, AHEAD_BYTES // chunk_bytes))
    yield from in_order(pool, reader.read, reader.jobs(), ahead=ahead)


def chunk_ranges(
    fd: int, size_bytes: int, *, chunk_bytes: int, free: FreeRanges | None = None
) -> Iterator[tuple[int, int]]:
    """First number and end of each run of chunks that hold data, in order and without overlap. Chunks that
    lie in `free` as a whole are left out."""
    end = 0
    for data, hole in extents(fd, size_bytes):
        first, stop = max(end, data // chunk_bytes), -(-hole // chunk_bytes)
        if first < stop:
            yield from _used(first, stop, chunk_bytes, free) if free else [(first, stop)]
            end = stop


def _used(first: int, stop: int, chunk_bytes: int, free: FreeRanges) -> Iterator[tuple[int, int]]:
    """What is left of a run of chunks without those that are free as a whole."""
    for low, high in list(free.within(first * chunk_bytes, stop * chunk_bytes)):
        begin, end = -(-low // chunk_bytes), high // chunk_bytes
        if begin < end:
            if first < begin:
                yield first, begin
            first = end
    if first < stop:
        yield first, stop


def data_bytes(fd: int, size_bytes: int, *, chunk_bytes: int, free: FreeRanges | None = None) -> int:
    """How many bytes `scan` will read: what progress is measured against."""
    ranges = chunk_ranges(fd, size_bytes, chunk_bytes=chunk_bytes, free=free)
    return sum(min(stop * chunk_bytes, size_bytes) - first * chunk_bytes for first, stop in ranges)


def extents(fd: int, size_bytes: int) -> Iterator[tuple[int, int]]:
    """Start and end (bytes) of what is allocated (lseek(2) SEEK_DATA, SEEK_HOLE); all of it where the file
    system cannot tell. Raises Refused(image_unreadable)."""
    position = 0
    while position < size_bytes:
        try:
            start = os.lseek(fd, position, os.SEEK_DATA)
            end = min(os.lseek(fd, start, os.SEEK_HOLE), size_bytes)
        except OSError as error:
            if error.errno == errno.ENXIO:  # nothing but a hole from here on
                return
            if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):
                raise _unreadable(position, error) from error
            start, end = position, size_bytes
        if start < end:
            yield start, end
        position = end


def in_order(pool: Executor, work: Callable[[Job], T], jobs: Iterable[Job], *, ahead: int) -> Iterator[T]:
    """Results of `work(job)` in the order of `jobs`, at most `ahead` of them under way."""
    running: deque[Future[T]] = deque()
    try:
        for job in jobs:
            running.append(pool.submit(work, job))
            if len(running) >= ahead:
                yield running.popleft().result()
        while running:
            yield running.popleft().result()
    finally:
        for future in running:
            future.cancel()


class _Reader:
    """Reads and hashes one batch at a time; called from several threads."""

    def __init__(self, fd: int, size_bytes: int, chunk_bytes: int, digest: Hash, free: FreeRanges) -> None:
        self._unused = free
        self._fd = fd
        self._size = size_bytes
        self._chunk = chunk_bytes
        self._digest = digest
        self._per_batch = max(1, BATCH_BYTES // chunk_bytes)
        self._zeros = memoryview(bytes(chunk_bytes))
        self._free: deque[bytearray] = deque()

    def jobs(self) -> Iterator[Runs]:
        """Runs of chunks that fill one buffer each."""
        job: Runs = []
        room = self._per_batch
        for first, stop in self._ranges():
            while first < stop:
                end = min(first + room, stop)
                job.append((first, end))
                room -= end - first
                first = end  # noqa: PLW2901
                if not room:
                    yield job
                    job, room = [], self._per_batch
        if job:
            yield job

    def _ranges(self) -> Iterator[tuple[int, int]]:
        return chunk_ranges(self._fd, self._size, chunk_bytes=self._chunk, free=self._unused)

    def read(self, job: Runs) -> Batch:
        buffer = self._take_buffer()
        batch = Batch(buffer, self._free)
        for first, stop in job:
            start = batch.read_bytes
            end = start + min(stop * self._chunk, self._size) - first * self._chunk
            _fill(self._fd, memoryview(buffer)[start:end], first * self._chunk)
            self._leave_out(memoryview(buffer)[start:end], first * self._chunk)
            self._name(batch, buffer, first, start, end)
            batch.read_bytes = end
        return batch

    def _name(self, batch: Batch, buffer: bytearray, number: int, start: int, end: int) -> None:
        """Adds the chunks from `number` on, which lie in `buffer` from `start` to `end`, unless all zero."""
        view = memoryview(buffer)
        for at in range(start, end, self._chunk):
            chunk = view[at : min(at + self._chunk, end)]
            if not buffer.startswith(self._zeros[: len(chunk)], at):  # memcmp: ends at the first byte set
                batch._add(number, self._digest(chunk), (at, at + len(chunk)))
            number += 1

    def _leave_out(self, view: memoryview, offset: int) -> None:
        """Makes zeros of what no file system uses."""
        for low, high in self._unused.within(offset, offset + len(view)):
            view[low - offset : high - offset] = bytes(high - low)

    def _take_buffer(self) -> bytearray:
        try:
            return self._free.pop()
        except IndexError:
            return bytearray(self._per_batch * self._chunk)


def _fill(fd: int, view: memoryview, offset: int) -> None:
    done = 0
    while done < len(view):
        try:
            count = os.preadv(fd, [view[done:]], offset + done)
        except OSError as error:
            raise _unreadable(offset + done, error) from error
        if not count:
            raise Refused(
                "image_changed", "The image became shorter while it was read. Stop what writes to it."
            )
        done += count


def _unreadable(at: int, error: OSError) -> Refused:
    words = f"The image cannot be read at byte {at} ({error.strerror}). Check the disk it lies on."
    return Refused("image_unreadable", words)
