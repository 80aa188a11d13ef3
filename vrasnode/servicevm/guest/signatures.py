"""What is on a disk, by the traces that file systems and others leave at its beginning.

Not to tell all there are: to be sure that a disk to be formatted holds nothing of anybody's. Two bytes alone
prove nothing on a disk that reads as noise, so short traces count only with more of their surroundings.
"""

import os

LOOK_BYTES = 68 << 10
EXT_AT, EXT_BYTES = 1024, 1024  # the superblock (ext4's documentation, "The Super Block")
MAGIC = b"\x53\xef"
WIDE = 0x80  # of its incompatible features: numbers of blocks have 64 bits
RECOVER = 0x4  # its journal has to be replayed

_TRACES = (
    ("XFS", 0, b"XFSB"),
    ("LUKS", 0, b"LUKS\xba\xbe"),
    ("NTFS", 3, b"NTFS    "),
    ("exFAT", 3, b"EXFAT   "),
    ("BitLocker", 3, b"-FVE-FS-"),
    ("FAT", 54, b"FAT"),
    ("FAT", 82, b"FAT32"),
    ("a partition table", 512, b"EFI PART"),
    ("LVM", 512, b"LABELONE"),
    ("swap space", 4086, b"SWAPSPACE2"),
    ("Btrfs", 65600, b"_BHRfS_M"),
    ("ISO 9660", 32769, b"CD001"),
    ("QCOW", 0, b"QFI\xfb"),
)


def look(device: str) -> str | None:
    """ "ext4", or what else it is; None: nothing that is known."""
    start = _read(device)
    if _is_ext(start):
        return "ext4"
    return next((name for name, at, trace in _TRACES if start[at : at + len(trace)] == trace), None)


def ext4_size(device: str) -> int:
    """In bytes, as its superblock says."""
    block = _read(device)[EXT_AT : EXT_AT + EXT_BYTES]
    blocks_high = _number(block, 0x150) if _number(block, 0x60) & WIDE else 0
    return (blocks_high << 32 | _number(block, 0x4)) << (10 + _number(block, 0x18))


def ext4_is_unclean(device: str) -> bool:
    """Whether it was not unmounted: its journal holds what is not in its place yet."""
    return bool(_number(_read(device)[EXT_AT : EXT_AT + EXT_BYTES], 0x60) & RECOVER)


def _is_ext(start: bytes) -> bool:
    """Its magic number, and fields around it that only few values fit: noise passes once in 10^14."""
    block = start[EXT_AT : EXT_AT + EXT_BYTES]
    if len(block) < EXT_BYTES or block[0x38:0x3A] != MAGIC:
        return False
    return _number(block, 0x18) <= 6 and _number(block, 0x4C) <= 1  # log of the block size; revision


def _number(block: bytes, at: int) -> int:
    return int.from_bytes(block[at : at + 4], "little")


def _read(device: str) -> bytes:
    descriptor = os.open(device, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.pread(descriptor, LOOK_BYTES, 0)
    finally:
        os.close(descriptor)
