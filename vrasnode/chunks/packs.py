"""Packs: immutable files of frames back to back, with their own index, named by the hash of their bytes.

    magic "VRASPCK1" | frame … frame | record … record | count u32 | magic "VRASIDX1"

A record is digest (32 bytes), offset u32, length u32, little-endian; records are sorted by digest. Frames lie
in the order they were added, without gaps: the order of chunks in the image, so that an update is one run of
ranges. No database row per chunk: the packs' indexes are the truth about what is stored.

Packs of delta frames are laid out alike and begin with "VRASDPK1": none is taken for the other.
"""

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from blake3 import blake3

from vrasnode.chunks.hashing import DIGEST_BYTES, Buffer
from vrasnode.errors import Refused
from vrasnode.wire.imaging import MAX_PACK_BYTES

TARGET_BYTES = 32 << 20
MAX_PACK_FRAMES = 1 << 16

PLAIN = b"VRASPCK1"
DELTA = b"VRASDPK1"

_INDEX_MAGIC = b"VRASIDX1"
_PLACE = struct.Struct("<II")  # offset, length
_RECORD_BYTES = DIGEST_BYTES + _PLACE.size
_FOOTER = struct.Struct("<I8s")
_READ_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Pack:
    """A finished pack. `parts` are its bytes in order, not joined: they need not be copied to be sent."""

    pack_id: str  # hex BLAKE3 of all bytes
    parts: list[bytes]
    size_bytes: int
    frames: int

    def read_from(self, offset: int) -> Iterator[memoryview]:
        """The bytes from `offset` on, in pieces: what is left to send after an interruption."""
        for part in self.parts:
            if offset < len(part):
                yield memoryview(part)[offset:]
            offset = max(0, offset - len(part))


class PackBuilder:
    """Collects frames until the pack is big enough; the same frames in the same order give the same pack."""

    def __init__(self, *, target_bytes: int = TARGET_BYTES, magic: bytes = PLAIN) -> None:
        self._target = min(target_bytes, MAX_PACK_BYTES)
        self._parts: list[bytes] = [magic]
        self._records: list[bytes] = []
        self._digests: set[bytes] = set()
        self._end = len(magic)

    def __len__(self) -> int:
        return len(self._records)

    @property
    def size_bytes(self) -> int:
        """What the pack would measure if it were finished now."""
        return self._end + _RECORD_BYTES * len(self) + _FOOTER.size

    @property
    def full(self) -> bool:
        """Whether it has reached its target."""
        return self.size_bytes >= self._target or len(self) >= MAX_PACK_FRAMES

    def fits(self, frame: Buffer) -> bool:
        """Whether `frame` can be added without passing the target. The first one always fits."""
        return not len(self) or (not self.full and self._with(frame) <= self._target)

    def add(self, digest: bytes, frame: bytes) -> None:
        """Appends the frame of chunk `digest`; a digest may be added once. Raises ValueError otherwise."""
        bad = digest in self._digests or len(digest) != DIGEST_BYTES or not frame
        if bad or len(self) >= MAX_PACK_FRAMES or self._with(frame) > MAX_PACK_BYTES:
            raise ValueError("This frame does not belong in this pack.")
        self._digests.add(digest)
        self._parts.append(frame)
        self._records.append(digest + _PLACE.pack(self._end, len(frame)))
        self._end += len(frame)

    def finish(self) -> Pack:
        """The pack. The builder is used up."""
        index = b"".join(sorted(self._records))
        parts = [*self._parts, index, _FOOTER.pack(len(self), _INDEX_MAGIC)]
        hasher = blake3()
        for part in parts:
            hasher.update(part)
        return Pack(hasher.hexdigest(), parts, self.size_bytes, len(self))

    def _with(self, frame: Buffer) -> int:
        return self.size_bytes + _RECORD_BYTES + len(frame)


class PackIndex:
    """What lies where in one pack, searched in the index's own bytes."""

    def __init__(self, records: bytes) -> None:
        """Takes sorted records as they lie in a pack; `read_index` is the one that checks them."""
        self._records = records

    def __len__(self) -> int:
        return len(self._records) // _RECORD_BYTES

    def __iter__(self) -> Iterator[tuple[bytes, int, int]]:
        """Digest, offset and length of each frame, in order of digest."""
        for start in range(0, len(self._records), _RECORD_BYTES):
            offset, length = _PLACE.unpack_from(self._records, start + DIGEST_BYTES)
            yield self._records[start : start + DIGEST_BYTES], offset, length

    def __contains__(self, digest: object) -> bool:
        return isinstance(digest, bytes) and self.find(digest) is not None

    def find(self, digest: bytes) -> tuple[int, int] | None:
        """Offset and length (bytes) of the frame of chunk `digest` in the pack, or None."""
        low, high = 0, len(self)
        while low < high:
            middle = (low + high) // 2
            if self._digest(middle) < digest:
                low = middle + 1
            else:
                high = middle
        if low == len(self) or self._digest(low) != digest:
            return None
        offset, length = _PLACE.unpack_from(self._records, low * _RECORD_BYTES + DIGEST_BYTES)
        return offset, length

    def _digest(self, position: int) -> bytes:
        start = position * _RECORD_BYTES
        return self._records[start : start + DIGEST_BYTES]


class PackHasher:
    """The id of a pack whose bytes pass by: `update` with each piece, then `pack_id`."""

    def __init__(self) -> None:
        self._hasher = blake3()
        self.size_bytes = 0

    def update(self, data: Buffer) -> None:
        self._hasher.update(data)
        self.size_bytes += len(data)

    @property
    def pack_id(self) -> str:
        return self._hasher.hexdigest()


def read_index(source: Path | int, *, magic: bytes = PLAIN) -> PackIndex:
    """The checked index of a pack file (path or descriptor) of this kind; the frames are not read.

    Raises Refused(bad_pack) unless magic, counts, order and places are exactly those of a pack.
    """
    with _Opened(source) as fd:
        size = os.fstat(fd).st_size
        if not len(magic) + _FOOTER.size <= size <= MAX_PACK_BYTES:
            raise _bad(f"{size} bytes cannot be a pack")
        count, ending = _FOOTER.unpack(os.pread(fd, _FOOTER.size, size - _FOOTER.size))
        start = size - _FOOTER.size - _RECORD_BYTES * count
        if ending != _INDEX_MAGIC or os.pread(fd, len(magic), 0) != magic:
            raise _bad("its first or last bytes are not those of a pack")
        if count > MAX_PACK_FRAMES or start < len(magic):
            raise _bad(f"{count} frames cannot be in it")
        records = os.pread(fd, _RECORD_BYTES * count, start)
    if len(records) != _RECORD_BYTES * count:
        raise _bad("it ended while it was read")
    index = PackIndex(records)
    _check_records(index, frames_end=start)
    return index


def _check_records(index: PackIndex, *, frames_end: int) -> None:
    previous, places = b"", []
    for digest, offset, length in index:
        if digest <= previous:
            raise _bad("its index is not sorted")
        previous = digest
        places.append((offset, length))
    end = len(PLAIN)
    for offset, length in sorted(places):
        if offset != end or not length:
            raise _bad("its frames do not lie back to back")
        end += length
    if end != frames_end:
        raise _bad("its frames do not fill it")


class _Opened:
    """A descriptor for a path (closed afterwards) or for a descriptor (left open)."""

    def __init__(self, source: Path | int) -> None:
        self._source = source

    def __enter__(self) -> int:
        self._fd = self._source if isinstance(self._source, int) else os.open(self._source, os.O_RDONLY)
        return self._fd

    def __exit__(self, *_: object) -> None:
        if not isinstance(self._source, int):
            os.close(self._fd)


def _bad(why: str) -> Refused:
    return Refused("bad_pack", f"This is not a sound pack: {why}. Send it again.")
