"""Which pieces of one image resemble a chunk of another: sampled hashes of its bytes, looked up in an index.

A *feature* is the hash of 32 bytes at a place that these bytes choose themselves, so it is found again
wherever they move to. Only a guess comes out of this: what a piece is worth as a dictionary shows when it is
tried. numpy does the work and leaves other threads the interpreter meanwhile.
"""

from collections import Counter

import numpy as np
from numpy.typing import NDArray

from vrasnode.chunks.hashing import Buffer

WINDOW_BYTES = 32
COMMON = 16  # a feature in more pieces than that tells nothing
INDEX_FEATURES = 8 << 20  # at 12 bytes: what bounds the memory for large images

_CHOOSE = np.uint32(0x9E3779B1)
_CHOOSE_SHIFT, _CHOSEN = np.uint32(22), np.uint32(0x2A5)  # one place in 1,024; not the one that zeros give
_MIX = tuple(
    np.uint64(factor)
    for factor in (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0x27D4EB2F165667C5)
)
_STIR, _HIGH, _HALF = np.uint64(0xBF58476D1CE4E5B9), np.uint64(29), np.uint64(32)

Hashes = NDArray[np.uint64]
Numbers = NDArray[np.uint32]


def features(data: Buffer) -> tuple[Hashes, NDArray[np.int64]]:
    """The features of some bytes and where each lies; in no order, repeats too."""
    places = _places(data)
    if not len(places):
        return np.empty(0, np.uint64), places
    raw = np.frombuffer(data, np.uint8)
    words = np.lib.stride_tricks.as_strided(raw, shape=(len(raw) - 7, 8), strides=(1, 1), writeable=False)
    hashes = np.zeros(len(places), np.uint64)
    for at, factor in enumerate(_MIX):
        hashes += np.ascontiguousarray(words[places + 8 * at]).view(np.uint64)[:, 0] * factor
    hashes ^= hashes >> _HIGH
    hashes *= _STIR
    hashes ^= hashes >> _HALF
    return hashes, places


def _places(data: Buffer) -> NDArray[np.int64]:
    """Where the four bytes that begin a window are of the chosen kind."""
    found = []
    for shift in range(4):
        words = np.frombuffer(
            data, np.uint32, count=max(0, len(data) - shift) // 4, offset=min(shift, len(data))
        )
        chosen = np.flatnonzero((words * _CHOOSE) >> _CHOOSE_SHIFT == _CHOSEN)
        found.append(4 * chosen + shift)
    places = np.concatenate(found)
    return places[places <= len(data) - WINDOW_BYTES]


class SketchIndex:
    """The features of many numbered pieces. `add` them all, then `freeze`, then ask `likest`."""

    def __init__(self, *, pieces: int) -> None:
        """`pieces`: how many there will be, give or take: they share the memory."""
        self._each = max(4, min(64, INDEX_FEATURES // max(1, pieces)))
        self._parts: list[tuple[Hashes, Numbers]] = []
        self._hashes: Hashes = np.empty(0, np.uint64)
        self._pieces: Numbers = np.empty(0, np.uint32)

    def add(self, data: Buffer, *, first: int, piece_bytes: int) -> None:
        """Takes in the pieces that begin with number `first`. Safe to call from several threads."""
        hashes, places = features(data)
        pieces = (first + places // piece_bytes).astype(np.uint32)
        order = np.lexsort((hashes, pieces))
        hashes, pieces = hashes[order], pieces[order]
        if len(hashes) > 1:
            fresh = np.ones(len(hashes), bool)
            fresh[1:] = (hashes[1:] != hashes[:-1]) | (pieces[1:] != pieces[:-1])
            hashes, pieces = hashes[fresh], pieces[fresh]
        rank = np.arange(len(pieces)) - np.searchsorted(pieces, pieces, side="left")
        kept = rank < self._each  # the smallest ones: another piece keeps the same of what both have
        self._parts.append((hashes[kept], pieces[kept]))

    def freeze(self) -> None:
        """Makes it searchable; what too many pieces have in common is left out."""
        parts, self._parts = self._parts, []
        if not parts:
            return
        hashes, pieces = (np.concatenate(column) for column in zip(*parts, strict=True))
        parts.clear()
        order = np.argsort(hashes, kind="stable")
        hashes, pieces = hashes[order], pieces[order]
        count = np.searchsorted(hashes, hashes, "right") - np.searchsorted(hashes, hashes, "left")
        self._hashes, self._pieces = hashes[count <= COMMON], pieces[count <= COMMON]

    def likest(self, data: Buffer, *, most: int) -> list[int]:
        """The numbers of at most `most` pieces that share features with `data`, the likest first."""
        hashes = np.unique(features(data)[0])
        low = np.searchsorted(self._hashes, hashes, "left")
        high = np.searchsorted(self._hashes, hashes, "right")
        votes: Counter[int] = Counter()
        for start, end in zip(low[high > low].tolist(), high[high > low].tolist(), strict=True):
            votes.update(self._pieces[start:end].tolist())
        return [piece for piece, _count in votes.most_common(most)]
