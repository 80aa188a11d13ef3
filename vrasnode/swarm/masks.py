"""Sets of pieces as Python integers, bit by bit."""

import sys
from array import array
from collections.abc import Iterable, Iterator

FEW_BITS = 32


def bits(mask: int) -> Iterator[int]:
    """The numbers of the bits that are set, from the lowest."""
    if mask.bit_count() <= FEW_BITS:
        while mask:
            low = mask & -mask
            yield low.bit_length() - 1
            mask ^= low
        return
    words = array("Q", mask.to_bytes(-(-mask.bit_length() // 64) * 8, sys.byteorder))
    if sys.byteorder == "big":
        words.reverse()
    for base, word in enumerate(words):
        left = word
        while left:
            low = left & -left
            yield 64 * base + low.bit_length() - 1
            left ^= low


def mask_of(numbers: Iterable[int], pieces: int) -> int:
    """The other way round."""
    found = bytearray(-(-pieces // 8))
    for number in numbers:
        found[number >> 3] |= 1 << (number & 7)
    return int.from_bytes(found, "little")
