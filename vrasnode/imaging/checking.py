"""Whether an image on this disk is what a manifest says, chunk by chunk, read back and hashed in threads.

It only reads. What to do about a chunk that is not right is decided by who asked (`assembling`, `desktop`).
"""

import os
import threading
from array import array
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from pathlib import Path

from vrasnode import crew
from vrasnode.chunks import scanning
from vrasnode.chunks.hashing import digest_of
from vrasnode.chunks.manifest import Manifest
from vrasnode.host import disk

RUN_BYTES = 4 << 20

_ZEROS = bytes(RUN_BYTES)

_local = threading.local()


@dataclass(frozen=True)
class Run:
    """Entries of a manifest, `first` and the following ones, whose chunks lie side by side on the disk."""

    first: int
    count: int


class Ruler:
    """One manifest with what is needed again and again to hold bytes against it."""

    def __init__(self, manifest: Manifest) -> None:
        self.manifest = manifest
        self.size_bytes = manifest.header.size_bytes
        self.chunk_bytes = manifest.header.chunk_bytes
        self.hash = digest_of(manifest.header.hash)

    def place(self, run: Run) -> tuple[int, int]:
        """Offset and length of a run, in bytes."""
        start = self.manifest.numbers[run.first] * self.chunk_bytes
        return start, min(run.count * self.chunk_bytes, self.size_bytes - start)

    def right(self, index: int, chunk: bytes | memoryview) -> bool:
        """Whether these are the bytes of entry `index`."""
        return self.hash(chunk) == self.manifest.digest_at(index)

    def chunks(self, run: Run, data: memoryview) -> Iterator[tuple[int, memoryview]]:
        """Each entry of a run with its part of `data`, which begins where the run does."""
        for step in range(run.count):
            yield run.first + step, data[step * self.chunk_bytes : (step + 1) * self.chunk_bytes]

    def runs(self, entries: Iterable[int]) -> Iterator[Run]:
        """Entries, given in order, as runs of at most RUN_BYTES."""
        numbers, longest = self.manifest.numbers, max(1, RUN_BYTES // self.chunk_bytes)
        first = count = 0
        for entry in entries:
            if (
                count
                and count < longest
                and entry == first + count
                and numbers[entry] == numbers[first] + count
            ):
                count += 1
                continue
            if count:
                yield Run(first, count)
            first, count = entry, 1
        if count:
            yield Run(first, count)

    def gaps(self) -> Iterator[tuple[int, int]]:
        """Where the image is all zero, as (start, end) in bytes."""
        end = 0
        for number in self.manifest.numbers:
            start = number * self.chunk_bytes
            if start > end:
                yield end, start
            end = start + self.chunk_bytes
        if end < self.size_bytes:
            yield end, self.size_bytes

    def entries_with_data(self, handle: int) -> Iterator[int]:
        """The entries for whose chunks the file holds anything at all; the others cannot be right."""
        numbers, entry = self.manifest.numbers, 0
        for start, end in scanning.extents(handle, self.size_bytes):
            while entry < len(numbers) and (numbers[entry] + 1) * self.chunk_bytes <= start:
                entry += 1
            while entry < len(numbers) and numbers[entry] * self.chunk_bytes < end:
                yield entry
                entry += 1


@dataclass
class Verdict:
    """What `verify` found: the entries whose bytes are not right, and whether something lies where zeros
    belong, or the file has another size."""

    wrong: list[int] = field(default_factory=list)
    misshapen: bool = False

    @property
    def sound(self) -> bool:
        return not self.wrong and not self.misshapen


def verify(image: Path, manifest: Manifest, *, threads: int) -> Generator[None, None, Verdict]:
    """Reads the whole image in bites and returns how it is. Raises HostBroken(disk_failed)."""
    ruler, verdict = Ruler(manifest), Verdict()
    with disk.told(f"{image} cannot be read"), _opened(image) as handle:
        verdict.misshapen = os.fstat(handle).st_size != ruler.size_bytes
        chunks = (partial(_check, handle, ruler, run, verdict) for run in ruler.runs(range(len(manifest))))
        strays = (partial(_check_zero, handle, *place, verdict) for place in _strays(handle, ruler))
        lane = crew.Lane(chain(chunks, strays), width=threads, name="verify")
        yield from crew.run([lane], threading.Event())
    verdict.wrong.sort()
    return verdict


def scan(
    image: Path, *, chunk_bytes: int, hash_name: str, threads: int
) -> Generator[None, None, tuple["array[int]", bytes]]:
    """Numbers and digests of the chunks in which the file has data: for an image of which no manifest says
    this, or none in chunks of this size. Raises HostBroken(disk_failed)."""
    found: dict[int, bytes] = {}
    with disk.told(f"{image} cannot be read"), _opened(image) as handle:
        size = os.fstat(handle).st_size
        name_it = digest_of(hash_name)

        def name(number: int) -> None:
            data = scratch(min(chunk_bytes, size - number * chunk_bytes))
            if disk.read_exactly(handle, data, start=number * chunk_bytes):
                found[number] = name_it(data)

        places = scanning.chunk_ranges(handle, size, chunk_bytes=chunk_bytes)
        jobs = (partial(name, number) for first, end in places for number in range(first, end))
        yield from crew.run([crew.Lane(jobs, width=threads, name="scan")], threading.Event())
    ordered = sorted(found)
    return array("I", ordered), b"".join(found[number] for number in ordered)


def scratch(length: int) -> memoryview:
    """This thread's own buffer of `length` bytes; its content lasts until the next call."""
    buffer: bytearray | None = getattr(_local, "buffer", None)
    if buffer is None or len(buffer) < length:
        buffer = _local.buffer = bytearray(max(length, RUN_BYTES))
    return memoryview(buffer)[:length]


def _check(handle: int, ruler: Ruler, run: Run, verdict: Verdict) -> None:
    start, length = ruler.place(run)
    data = scratch(length)
    if not disk.read_exactly(handle, data, start=start):
        verdict.wrong.extend(range(run.first, run.first + run.count))
        return
    wrong = [entry for entry, chunk in ruler.chunks(run, data) if not ruler.right(entry, chunk)]
    verdict.wrong.extend(wrong)


def _check_zero(handle: int, start: int, length: int, verdict: Verdict) -> None:
    data = scratch(length)
    if disk.read_exactly(handle, data, start=start) and bytes(data) != _ZEROS[:length]:
        verdict.misshapen = True


def _strays(handle: int, ruler: Ruler) -> Iterator[tuple[int, int]]:
    """Where the file holds data and the image is all zero, as (offset, length) of at most RUN_BYTES."""
    gaps = ruler.gaps()
    gap_start, gap_end = next(gaps, (ruler.size_bytes, ruler.size_bytes))
    for start, end in scanning.extents(handle, ruler.size_bytes):
        while gap_start < end:
            low, high = max(start, gap_start), min(end, gap_end)
            for piece in range(low, high, RUN_BYTES):
                yield piece, min(RUN_BYTES, high - piece)
            if gap_end > end:
                break
            gap_start, gap_end = next(gaps, (ruler.size_bytes, ruler.size_bytes))


@contextmanager
def _opened(image: Path) -> Iterator[int]:
    handle = os.open(image, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield handle
    finally:
        os.close(handle)
