"""Which chunks of one version can be had as delta frames against another one, and where these lie.

    magic "VRASDLM1" | base 32 | piece bytes u32 | n u32 | entry u32 × n | frame map of n entries

all little-endian. `base` is the digest of the version whose pieces the frames need; `entry` are places in the
manifest, strictly increasing; the frame map (`framemap`) says where each one's delta frame lies. Like that
one not signed: digests decide.
"""

from array import array
from collections.abc import Container
from dataclasses import dataclass
from itertools import pairwise

from vrasnode.chunks import framemap
from vrasnode.chunks.deltas import MAX_DICTIONARY_BYTES
from vrasnode.chunks.framemap import MAX_FRAMEMAP_BYTES, FrameMap
from vrasnode.chunks.hashing import Buffer
from vrasnode.chunks.manifest import MAX_CHUNKS, from_little_endian, little_endian
from vrasnode.errors import Refused

_MAGIC = b"VRASDLM1"
_BASE_BYTES = 32
_COUNTS_AT = len(_MAGIC) + _BASE_BYTES
_LEAD_BYTES = _COUNTS_AT + 8

MAX_DELTAMAP_BYTES = _LEAD_BYTES + 4 * MAX_CHUNKS + MAX_FRAMEMAP_BYTES


@dataclass(frozen=True, slots=True, eq=False)
class DeltaMap:
    """The delta frames of one version against `base`; place `i` belongs to the manifest's `entries[i]`."""

    base: str
    piece_bytes: int
    entries: "array[int]"
    places: FrameMap

    def __len__(self) -> int:
        return len(self.entries)

    def laid_over(self, frames: FrameMap, *, but: Container[int] = ()) -> tuple[FrameMap, bytearray]:
        """The map of all frames with the delta frames in the place of the plain ones, except for the entries
        in `but`; and which entries these are (1)."""
        laid = FrameMap(
            [*frames.pack_ids, *self.places.pack_ids],
            frames.packs[:],
            frames.offsets[:],
            frames.lengths[:],
        )
        flags = bytearray(len(frames))
        for at, entry in enumerate(self.entries):
            if entry not in but:
                laid.packs[entry] = len(frames.pack_ids) + self.places.packs[at]
                laid.offsets[entry] = self.places.offsets[at]
                laid.lengths[entry] = self.places.lengths[at]
                flags[entry] = 1
        return laid, flags


def encode(deltas: DeltaMap) -> bytes:
    """The map as a file."""
    return b"".join(
        (
            _MAGIC,
            bytes.fromhex(deltas.base),
            deltas.piece_bytes.to_bytes(4, "little"),
            len(deltas).to_bytes(4, "little"),
            little_endian(deltas.entries),
            framemap.encode(deltas.places),
        )
    )


def decode(data: Buffer, *, base: str, chunks: int, chunk_bytes: int) -> DeltaMap:
    """The map in `data` of delta frames against `base`, for a manifest of `chunks` entries.

    Raises Refused(bad_delta_map, bad_frame_map).
    """
    view = memoryview(data)
    if view[: len(_MAGIC)] != _MAGIC or len(view) < _LEAD_BYTES:
        raise _bad("it does not begin like one")
    if view[len(_MAGIC) : _COUNTS_AT].hex() != base:
        raise _bad("it is against another version")
    piece_bytes, count = from_little_endian(view[_COUNTS_AT:_LEAD_BYTES])
    at = _LEAD_BYTES + 4 * count
    if count > chunks or len(view) < at or not 0 < piece_bytes <= MAX_DICTIONARY_BYTES:
        raise _bad("its counts cannot be right")
    entries = from_little_endian(view[_LEAD_BYTES:at])
    if count and (entries[-1] >= chunks or not all(low < high for low, high in pairwise(entries))):
        raise _bad("its entries are not in order or not of this version")
    return DeltaMap(
        base, piece_bytes, entries, framemap.decode(view[at:], chunks=count, chunk_bytes=chunk_bytes)
    )


def _bad(why: str) -> Refused:
    return Refused("bad_delta_map", f"The list of delta frames cannot be used: {why}.")
