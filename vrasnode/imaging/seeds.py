"""An image on this PC whose chunks may serve for another one: where each digest should lie in it.

Only should: whoever takes a chunk from here checks it (`assembling`).
"""

import os
from array import array
from bisect import bisect_left
from collections.abc import Generator, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path

from vrasnode.chunks.digests import DigestList
from vrasnode.chunks.manifest import Manifest
from vrasnode.imaging.checking import Ruler, Run, scan


class Seed:
    """An open image with its chunks' numbers, in order, and their digests back to back."""

    def __init__(self, handle: int, numbers: "array[int]", digests: bytes) -> None:
        self.handle = handle
        self._numbers = numbers
        self._digests = DigestList(digests)

    def find(self, digest: bytes) -> int | None:
        """The number of a chunk that should have this digest."""
        index = self._digests.find(digest)
        return None if index is None else self._numbers[index]

    def has(self, digest: bytes, *, at: int) -> bool:
        """Whether chunk number `at` should have this digest."""
        index = bisect_left(self._numbers, at)
        return index < len(self._numbers) and self._numbers[index] == at and self._digests[index] == digest


class Picks:
    """Entries that a seed should have, in order, and the number of each one's chunk there."""

    def __init__(self) -> None:
        self.entries = array("I")
        self.numbers = array("I")

    def __len__(self) -> int:
        return len(self.entries)

    def add(self, entry: int, number: int) -> None:
        self.entries.append(entry)
        self.numbers.append(number)

    def runs(self, ruler: Ruler) -> Iterator[tuple[Run, int]]:
        """As runs that lie side by side in both images, with the first one's number in the seed."""
        at = 0
        for run in ruler.runs(self.entries):
            end = at + run.count
            while at < end:
                count = 1
                while at + count < end and self.numbers[at + count] == self.numbers[at] + count:
                    count += 1
                yield Run(self.entries[at], count), self.numbers[at]
                at += count


def open_seed(
    image: Path, known: Manifest | None, *, for_: Manifest, threads: int, stack: ExitStack
) -> Generator[bool, None, Seed]:
    """The image as a seed for another version, in bites; `stack` closes it. Its manifest spares reading it
    all, where there is one that counts in the same chunks. Raises OSError."""
    handle = os.open(image, os.O_RDONLY | os.O_CLOEXEC)
    stack.callback(os.close, handle)
    wanted = for_.header
    if known and (known.header.chunk_bytes, known.header.hash) == (wanted.chunk_bytes, wanted.hash):
        return Seed(handle, known.numbers, known.digests)
    bites = scan(image, chunk_bytes=wanted.chunk_bytes, hash_name=wanted.hash, threads=threads)
    while True:
        try:
            next(bites)
        except StopIteration as end:
            numbers, digests = end.value
            return Seed(handle, numbers, digests)
        yield True


def sort_by_place(seed: Seed | None, target: Manifest, entries: Iterable[int]) -> tuple[Picks, "array[int]"]:
    """Entries of `target` that the seed should have, and those it has not."""
    picks, others = Picks(), array("I")
    for entry in entries:
        number = seed.find(target.digest_at(entry)) if seed else None
        if number is None:
            others.append(entry)
        else:
            picks.add(entry, number)
    return picks, others
