"""What the first bytes of a file say: a disk, a file system, or something that is not raw at all.

Knows just enough of each format to tell them apart and to see that the end is missing; mounts and repairs
nothing. Only `read` touches the file, so hostile fields cost nothing but a refusal.
"""

import struct
from collections.abc import Callable, Iterator
from typing import TypeAlias

from vrasnode.errors import Refused

Read: TypeAlias = Callable[[int, int], bytes]  # (offset, length) -> bytes, shorter at the end

_SECTORS = (512, 4096)
_PROTECTIVE = 0xEE
_VOLUMES = (b"NTFS    ", b"EXFAT   ")

_CONVERT = "Convert it first: qemu-img convert -O qcow2 FILE master.qcow2"
_UNPACK = "Unpack it first, then publish the disk image in it"
# Where, what bytes, its name, what to do.
_OTHERS: tuple[tuple[int, bytes, str, str], ...] = (
    (0, b"KDMV", "a VMDK disk", _CONVERT),
    (0, b"COWD", "a VMDK disk", _CONVERT),
    (0, b"# Disk DescriptorFile", "the description of a VMDK disk", _CONVERT),
    (0x40, b"\x7f\x10\xda\xbe", "a VDI disk", _CONVERT),
    (0, b"vhdxfile", "a VHDX disk", _CONVERT),
    (0, b"conectix", "a VHD disk", _CONVERT),
    (0, b"QED\x00", "a QED disk", _CONVERT),
    (0, b"WithoutFreeSpace", "a Parallels disk", _CONVERT),
    (0, b"WithouFreSpacExt", "a Parallels disk", _CONVERT),
    (0, b"QFI\xfb", "a qcow disk of a version that is not 2 or 3", _CONVERT),
    (0, b"\x1f\x8b", "compressed with gzip", _UNPACK),
    (0, b"\xfd7zXZ\x00", "compressed with xz", _UNPACK),
    (0, b"\x28\xb5\x2f\xfd", "compressed with zstd", _UNPACK),
    (0, b"BZh", "compressed with bzip2", _UNPACK),
    (0, b"PK\x03\x04", "a zip archive", _UNPACK),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", _UNPACK),
    (0, b"Rar!", "a RAR archive", _UNPACK),
    (0, b"MSWIM\x00", "a WIM archive", "Install it in a virtual machine and publish that machine's disk"),
    (257, b"ustar", "a tar archive (or an OVA)", _UNPACK),
    (0, b"partclone-image", "a partclone image", "Restore it to a disk image with partclone.restore first"),
    (0, b"LUKS\xba\xbe", "an encrypted disk", "Publish it decrypted: PCs encrypt their own disks"),
)
_ISO = (0x8001, b"CD001", "an installation medium", "Install it in a virtual machine and publish its disk")


def check_disk(read: Read, size_bytes: int) -> None:
    """Passes what looks like a whole disk or file system.

    Raises Refused: image_truncated when its own headers say that it goes on behind the end, not_an_image.
    """
    ends = [end for finder in _FINDERS for end in finder(read)]
    if not ends:
        raise _unknown(read)
    if max(ends) > size_bytes:
        raise Refused(
            "image_truncated",
            f"The image ends at byte {size_bytes}, but the disk in it goes on to {max(ends)}. Copy it again.",
        )
    _check_wrapped(read, size_bytes)


def _unknown(read: Read) -> Refused:
    for offset, magic, what, advice in (*_OTHERS, _ISO):
        if read(offset, len(magic)) == magic:
            return Refused("not_an_image", f"This file is {what}, not a raw or qcow2 disk image. {advice}.")
    words = (
        "This is not a disk image: neither a partition table nor a file system is in it. Choose another file."
    )
    return Refused("not_an_image", words)


def _check_wrapped(read: Read, size_bytes: int) -> None:
    """A fixed VHD is a raw disk with a footer: its first bytes look right and its size is wrong."""
    if size_bytes > _SECTORS[0] and read(size_bytes - _SECTORS[0], 8) == b"conectix":
        raise Refused("not_an_image", f"This file is a VHD disk, not a raw or qcow2 disk image. {_CONVERT}.")


def _gpt(read: Read) -> Iterator[int]:
    """UEFI specification §5.3.2: the header in block 1 names the block of its backup, the disk's last."""
    for sector in _SECTORS:
        header = read(sector, 40)
        if header[:8] == b"EFI PART" and len(header) == 40:
            yield (_u64(header, 32) + 1) * sector


def _mbr(read: Read) -> Iterator[int]:
    """A boot sector; where it holds a partition table, the end of each partition."""
    sector = read(0, 512)
    if sector[510:] != b"\x55\xaa":
        return
    yield 512
    entries = [sector[at : at + 16] for at in range(446, 510, 16)]
    volume = sector[3:11] in _VOLUMES or b"FAT" in (sector[54:57], sector[82:85])
    if volume or any(entry[0] not in (0, 0x80) for entry in entries):
        return  # boot code of a file system, not a table
    for entry in entries:
        first, count = struct.unpack_from("<II", entry, 8)
        if entry[4] not in (0, _PROTECTIVE):
            yield (first + count) * 512


def _ext(read: Read) -> Iterator[int]:
    """ext2 to ext4: blocks and their size in the superblock at 1024."""
    block = read(1024, 1024)
    if len(block) == 1024 and block[0x38:0x3A] == b"\x53\xef" and block[0x18] <= 6:
        wide = _u32(block, 0x60) & 0x80
        count = _u32(block, 4) | (_u32(block, 0x150) << 32 if wide else 0)
        yield count * (1024 << block[0x18])


def _xfs(read: Read) -> Iterator[int]:
    head = read(0, 16)
    if head[:4] == b"XFSB" and len(head) == 16:
        size, count = struct.unpack(">IQ", head[4:])
        yield size * count


def _btrfs(read: Read) -> Iterator[int]:
    """The superblock at 64 KiB; the size is that of this one device."""
    block = read(0x10000, 0xD9)
    if block[0x40:0x48] == b"_BHRfS_M" and len(block) == 0xD9:
        yield _u64(block, 0xD1)


def _u32(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 4], "little")


def _u64(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 8], "little")


_FINDERS: tuple[Callable[[Read], Iterator[int]], ...] = (_gpt, _mbr, _ext, _xfs, _btrfs)
