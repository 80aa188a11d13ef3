"""Ranges of a disk that hold nothing: sorted, apart from each other, in little memory."""

from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator


class FreeRanges:
    """Bytes from `start` to `end` each, as `add`ed in order; neighbours become one."""

    def __init__(self, ranges: Iterable[tuple[int, int]] = ()) -> None:
        self._starts = array("Q")
        self._ends = array("Q")
        for start, end in sorted(ranges):
            self._add(start, end)

    def __len__(self) -> int:
        return len(self._starts)

    @property
    def bytes(self) -> int:
        """How much they are together."""
        return sum(self._ends) - sum(self._starts)

    def within(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """The parts of them between two places, in order."""
        at = max(0, bisect_right(self._starts, start) - 1)
        while at < len(self) and self._starts[at] < end:
            low, high = max(start, self._starts[at]), min(end, self._ends[at])
            if low < high:
                yield low, high
            at += 1

    def cover(self, start: int, end: int) -> bool:
        """Whether one of them holds all of this."""
        at = bisect_right(self._starts, start) - 1
        return at >= 0 and self._ends[at] >= end

    def _add(self, start: int, end: int) -> None:
        if len(self) and start <= self._ends[-1]:
            self._ends[-1] = max(self._ends[-1], end)
        elif start < end:
            self._starts.append(start)
            self._ends.append(end)


def zero_bits(bitmap: bytes, count: int) -> Iterator[tuple[int, int]]:
    """First number and end of each run of zeros among the first `count` bits, lowest bit first."""
    free = ~int.from_bytes(bitmap, "little") & ((1 << count) - 1)
    at = 0
    while free:
        skip = (free & -free).bit_length() - 1
        free >>= skip
        run = (~free & (free + 1)).bit_length() - 1
        yield at + skip, at + skip + run
        free >>= run
        at += skip + run
