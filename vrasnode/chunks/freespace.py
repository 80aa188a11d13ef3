"""What of a disk no file system uses: so that a publisher leaves it out while reading, as TRIM would have.

Looks at a whole disk: its partitions (GPT, MBR) or the one file system on it. Only what is known for sure to
be free is left out, and only of file systems that were cleanly unmounted: ext4, NTFS. The source is read,
never written.
"""

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from vrasnode.chunks import ext4, ntfs
from vrasnode.chunks.disks import Read
from vrasnode.chunks.ext4 import Unsure
from vrasnode.chunks.freeranges import FreeRanges

_READERS: tuple[tuple[str, int, bytes, Callable[[Read], Iterator[tuple[int, int]]]], ...] = (
    ("ext4", ext4.MAGIC_AT, ext4.MAGIC, ext4.free),
    ("NTFS", ntfs.MAGIC_AT, ntfs.MAGIC, ntfs.free),
)
_SECTORS = (512, 4096)
_PROTECTIVE, _EXTENDED = 0xEE, (0x05, 0x0F, 0x85)
_MOST_PARTITIONS = 128


@dataclass(frozen=True)
class Volume:
    """One file system that was looked at. `unsure` says why nothing of it is left out."""

    kind: str
    start: int
    free_bytes: int
    unsure: str = ""


@dataclass(frozen=True)
class FreeSpace:
    """What may be left out, and why that is what it is."""

    ranges: FreeRanges
    volumes: list[Volume]


def find(read: Read, size_bytes: int) -> FreeSpace:
    """The free space of every file system on a disk that is known for sure. Raises OSError."""
    volumes: list[Volume] = []
    ranges: list[tuple[int, int]] = []
    for start, end in [*_partitions(read, size_bytes)] or [(0, size_bytes)]:
        inside = _inside(read, start, end)
        for kind, at, magic, free in _READERS:
            if inside(at, len(magic)) != magic:
                continue
            try:
                _check_alone(inside)
                found = [(start + low, start + high) for low, high in free(inside)]
                if any(high > end for _low, high in found):
                    raise Unsure("it is larger than its partition")
                volumes.append(Volume(kind, start, sum(high - low for low, high in found)))
                ranges += found
            except (Unsure, struct.error) as error:
                volumes.append(Volume(kind, start, 0, str(error) if isinstance(error, Unsure) else _CUT))
    return FreeSpace(FreeRanges(ranges), volumes)


_CUT = "its tables are cut off"
# Left behind by a file system that something else has taken the place of.
_OTHERS = (
    (0, b"LUKS"),
    (0, b"XFSB"),
    (512, b"LABELONE"),
    (4086, b"SWAPSPACE2"),
    (4096, b"\xfc\x4e\x2b\xa9"),
    (0x10040, b"_BHRfS_M"),
)


def _check_alone(inside: Read) -> None:
    if any(inside(at, len(magic)) == magic for at, magic in _OTHERS):
        raise Unsure("something else lies in the same place")


def _inside(read: Read, start: int, end: int) -> Read:
    return lambda offset, length: read(start + offset, max(0, min(length, end - start - offset)))


def _partitions(read: Read, size_bytes: int) -> Iterator[tuple[int, int]]:
    """Start and end (bytes) of each; none where a file system begins at once."""
    if read(3, 8) == ntfs.MAGIC:
        return
    for sector in _SECTORS:
        header = read(sector, 92)
        if header[:8] == b"EFI PART" and len(header) == 92:
            table, count, length = struct.unpack_from("<QII", header, 72)
            entries = (
                read(table * sector, min(count, _MOST_PARTITIONS) * length) if 128 <= length <= 4096 else b""
            )
            for at in range(0, len(entries) - 127, length):
                first, last = struct.unpack_from("<QQ", entries, at + 32)
                if any(entries[at : at + 16]) and first <= last and (last + 1) * sector <= size_bytes:
                    yield first * sector, (last + 1) * sector
            return
    boot = read(0, 512)
    if boot[510:] != b"\x55\xaa":
        return
    for at in range(446, 510, 16):
        first, count = struct.unpack_from("<II", boot, at + 8)
        if boot[at + 4] not in (0, _PROTECTIVE, *_EXTENDED) and count and (first + count) * 512 <= size_bytes:
            yield first * 512, (first + count) * 512
