"""POSIX access control lists as the kernel keeps them: in two extended attributes of a file or folder.

Their form is <linux/posix_acl_xattr.h>'s, their meaning acl(5)'s.
"""

import errno
import os
import struct
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

ACCESS, DEFAULT = "system.posix_acl_access", "system.posix_acl_default"
READ, WRITE, PASS = 4, 2, 1

_VERSION = 2
_NOBODY = 0xFFFFFFFF
_OWNER, _USER, _GROUP, _MASK, _OTHERS = 0x01, 0x02, 0x04, 0x10, 0x20


def encoded(owner: int, people: Mapping[int, int]) -> bytes:
    """A list that gives the owner and these people (by uid) their bits, and everybody else none."""
    entries = [
        (_OWNER, owner, _NOBODY),
        *((_USER, bits, uid) for uid, bits in sorted(people.items())),
        (_GROUP, 0, _NOBODY),
        (_MASK, READ | WRITE | PASS, _NOBODY),
        (_OTHERS, 0, _NOBODY),
    ]
    return struct.pack("<I", _VERSION) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


def people_of(encoded_list: bytes) -> dict[int, int]:
    """Whom a list names, and what they may really do."""
    entries = list(struct.iter_unpack("<HHI", encoded_list[4:]))
    mask = next((bits for tag, bits, _uid in entries if tag == _MASK), 7)
    return {uid: bits & mask for tag, bits, uid in entries if tag == _USER}


def read(place: str | bytes | int | Path, attribute: str) -> bytes:
    """The list; empty when there is none. Of a link it is the link's own, which never has one."""
    try:
        if isinstance(place, int):
            return os.getxattr(place, attribute)
        return os.getxattr(place, attribute, follow_symlinks=False)
    except OSError as error:
        if error.errno in (errno.ENODATA, errno.EOPNOTSUPP):
            return b""
        raise


def write(descriptor: int, attribute: str, wanted: bytes) -> None:
    """Empty: none."""
    if wanted:
        os.setxattr(descriptor, attribute, wanted)
        return
    with suppress(OSError):
        os.removexattr(descriptor, attribute)
