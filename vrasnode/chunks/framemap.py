"""Where the frames of one version lie: pack, offset and length for each entry of its manifest, in order.

    magic "VRASFRM1" | packs u32 | n u32 | id 32 × packs | pack no. u32 × n | offset u32 × n | length u32 × n

all little-endian. Made by the server from the packs' indexes, not signed: digests decide what is right, this
only says where to look. `ranges` turns wanted entries into few HTTP ranges.
"""

from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from operator import add

from vrasnode.chunks.hashing import Buffer
from vrasnode.chunks.manifest import MAX_CHUNKS, from_little_endian, little_endian
from vrasnode.errors import Refused
from vrasnode.wire.imaging import MAX_PACK_BYTES

GAP_BYTES = 8 << 10
RANGE_BYTES = 4 << 20

_MAGIC = b"VRASFRM1"
_ID_BYTES = 32
_LEAD_BYTES = len(_MAGIC) + 8
_OFFSET_BITS = MAX_PACK_BYTES.bit_length() - 1
_INDEX_BITS = MAX_CHUNKS.bit_length() - 1

MAX_FRAMEMAP_BYTES = _LEAD_BYTES + MAX_CHUNKS * (_ID_BYTES + 12)


@dataclass(slots=True)
class FrameRange:
    """One range to ask for. `entries`: entry index, offset of its frame within the range, its length."""

    pack_id: str
    start: int
    length: int
    entries: list[tuple[int, int, int]] = field(default_factory=list)


@dataclass(frozen=True, slots=True, eq=False)
class FrameMap:
    """The places of all frames of one version; entry `i` belongs to entry `i` of the manifest."""

    pack_ids: list[str]
    packs: "array[int]"
    offsets: "array[int]"
    lengths: "array[int]"

    def __len__(self) -> int:
        return len(self.packs)

    def place(self, index: int) -> tuple[str, int, int]:
        """Pack id, offset and length (bytes) of the frame of entry `index`."""
        return self.pack_ids[self.packs[index]], self.offsets[index], self.lengths[index]

    def ranges(
        self, indices: Iterable[int], *, gap_bytes: int = GAP_BYTES, max_bytes: int = RANGE_BYTES
    ) -> Iterator[FrameRange]:
        """Few ranges that hold the frames of these entries, in order of pack and offset.

        Frames at most `gap_bytes` apart share a range of at most `max_bytes` (one longer frame is a range of
        its own); a frame that several entries want is in one range, once, named for each.
        """
        current: FrameRange | None = None
        current_pack = -1
        for key in sorted(self._key(index) for index in indices):
            index = key & (1 << _INDEX_BITS) - 1
            pack, offset, length = self.packs[index], self.offsets[index], self.lengths[index]
            if (
                current is None
                or pack != current_pack
                or not _joins(current, offset, length, gap_bytes, max_bytes)
            ):
                if current:
                    yield current
                current, current_pack = FrameRange(self.pack_ids[pack], offset, length), pack
            current.length = max(current.length, offset + length - current.start)
            current.entries.append((index, offset - current.start, length))
        if current:
            yield current

    def _key(self, index: int) -> int:
        """Sorts like (pack, offset, index), as one number: a tuple each would cost too much memory."""
        return (self.packs[index] << _OFFSET_BITS | self.offsets[index]) << _INDEX_BITS | index


def build(places: Iterable[tuple[str, int, int]]) -> FrameMap:
    """The map from (pack id, offset, length) for each entry of a manifest, in order."""
    numbers: dict[str, int] = {}
    frames = FrameMap([], array("I"), array("I"), array("I"))
    for pack_id, offset, length in places:
        frames.packs.append(numbers.setdefault(pack_id, len(numbers)))
        frames.offsets.append(offset)
        frames.lengths.append(length)
    frames.pack_ids.extend(numbers)
    return frames


def encode(frames: FrameMap) -> bytes:
    """The map as a file."""
    return b"".join(
        (
            _MAGIC,
            len(frames.pack_ids).to_bytes(4, "little"),
            len(frames).to_bytes(4, "little"),
            *(bytes.fromhex(pack_id) for pack_id in frames.pack_ids),
            *(little_endian(part) for part in (frames.packs, frames.offsets, frames.lengths)),
        )
    )


def decode(data: Buffer, *, chunks: int, chunk_bytes: int) -> FrameMap:
    """The map in `data`, for a manifest of `chunks` entries of at most `chunk_bytes`.

    Raises Refused(bad_frame_map) when counts or places are outside what packs and frames can be.
    """
    view = memoryview(data)
    if view[: len(_MAGIC)] != _MAGIC or len(view) < _LEAD_BYTES:
        raise _bad("it does not begin like one")
    packs, entries = from_little_endian(view[len(_MAGIC) : _LEAD_BYTES])
    if entries != chunks or packs > entries:
        raise _bad(f"it speaks of {entries} chunks instead of {chunks}, or of too many packs")
    at = _LEAD_BYTES + _ID_BYTES * packs
    if len(view) != at + 12 * entries:
        raise _bad("its length does not fit its counts")
    ids = [view[i : i + _ID_BYTES].hex() for i in range(_LEAD_BYTES, at, _ID_BYTES)]
    arrays = (from_little_endian(view[at + part * 4 * entries :][: 4 * entries]) for part in range(3))
    frames = FrameMap(ids, *arrays)
    _check(frames, chunk_bytes)
    return frames


def _check(frames: FrameMap, chunk_bytes: int) -> None:
    if not len(frames):
        return
    if max(frames.packs) >= len(frames.pack_ids):
        raise _bad("it names a pack that it does not list")
    if min(frames.lengths) < 1 or max(frames.lengths) > chunk_bytes:
        raise _bad("a frame is empty or longer than a chunk")
    if max(map(add, frames.offsets, frames.lengths)) > MAX_PACK_BYTES:
        raise _bad("a frame lies outside its pack")


def _joins(current: FrameRange, offset: int, length: int, gap_bytes: int, max_bytes: int) -> bool:
    end = current.start + current.length
    inside = offset + length <= end  # the same frame again, for another entry
    return inside or (offset <= end + gap_bytes and offset + length - current.start <= max_bytes)


def _bad(why: str) -> Refused:
    return Refused("bad_frame_map", f"The list of frames cannot be used: {why}. It has to be fetched again.")
