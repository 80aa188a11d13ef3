"""The free blocks of an ext4 file system that was cleanly unmounted, after its documented layout on disk
(docs.kernel.org, filesystems/ext4). Reads only; what it does not know, or what does not fit together, is an
`Unsure`: then nothing of that file system is left out.
"""

import struct
from collections.abc import Iterator

from vrasnode.chunks.disks import Read
from vrasnode.chunks.freeranges import zero_bits

MAGIC_AT, MAGIC = 1024 + 0x38, b"\x53\xef"

_CLEAN, _ERRORS = 1, 2
# file type, extents, 64 bit, flexible groups, extended attributes in inodes, checksum seed, large
# directories, data in inodes, encryption, case folding: none of them changes where free blocks are noted
_KNOWN_INCOMPAT = 0x2 | 0x40 | 0x80 | 0x200 | 0x400 | 0x2000 | 0x4000 | 0x8000 | 0x10000 | 0x20000
_NEEDS_RECOVERY = 0x4
_BIGALLOC, _ORPHANS = 0x200, 0x10000
_BITMAP_NOT_MADE = 0x2


class Unsure(Exception):
    """Why nothing is left out of a file system; words for a person."""


def free(read: Read) -> Iterator[tuple[int, int]]:
    """The free ranges (bytes, from the file system's start). Raises Unsure."""
    block = read(1024, 1024)
    incompat, ro_compat = struct.unpack_from("<II", block, 0x60)
    (state,) = struct.unpack_from("<H", block, 0x3A)
    if incompat & _NEEDS_RECOVERY or ro_compat & _ORPHANS:
        raise Unsure("its journal has to be replayed: mount and unmount it, or shut its machine down")
    if not state & _CLEAN or state & _ERRORS:
        raise Unsure("it was not cleanly unmounted: run e2fsck, or shut its machine down")
    if incompat & ~_KNOWN_INCOMPAT or ro_compat & _BIGALLOC:
        raise Unsure("it has features that are not known here")
    wide = bool(incompat & 0x80)
    size = 1024 << block[0x18]
    count = _both(block, 0x04, 0x150 if wide else None)
    promised = _both(block, 0x0C, 0x158 if wide else None)
    (first,), (per_group,) = struct.unpack_from("<I", block, 0x14), struct.unpack_from("<I", block, 0x20)
    (length,) = struct.unpack_from("<H", block, 0xFE) if wide else (32,)
    if not 0 < per_group <= 8 * size or not 32 <= length <= 1024 or block[0x18] > 6:
        raise Unsure("its superblock does not fit together")
    groups = -(-(count - first) // per_group)
    table = read((first + 1) * size, groups * length)
    if len(table) != groups * length:
        raise Unsure("its table of groups is cut off")
    ranges, seen = [], 0
    for number in range(groups):
        group = table[number * length : (number + 1) * length]
        said = _both(group, 0x0C, 0x2C if length >= 64 else None, "<H")
        (flags,) = struct.unpack_from("<H", group, 0x12)
        seen += said
        if flags & _BITMAP_NOT_MADE:  # never used: holes in most images, and a few zeros in others
            continue
        start = first + number * per_group
        blocks = min(per_group, count - start)
        bitmap = read(_both(group, 0x00, 0x20 if length >= 64 else None) * size, -(-blocks // 8))
        runs = list(zero_bits(bitmap, blocks))
        if len(bitmap) != -(-blocks // 8) or sum(end - begin for begin, end in runs) != said:
            raise Unsure("a list of free blocks does not fit its count: run e2fsck")
        ranges += [((start + begin) * size, (start + end) * size) for begin, end in runs]
    if seen != promised:
        raise Unsure("its count of free blocks is not right: run e2fsck")
    return iter(ranges)


def _both(data: bytes, low: int, high: int | None, kind: str = "<I") -> int:
    """A number that newer versions continue elsewhere."""
    (value,) = struct.unpack_from(kind, data, low)
    if high is not None:
        value |= struct.unpack_from(kind, data, high)[0] << (8 * struct.calcsize(kind))
    return int(value)
