"""How a volume and the people who have to do with it are called on the PC, always the same; pure."""

import hashlib
from uuid import UUID

SERIAL_DIGITS = 20  # as much of a disk's serial number as virtio shows to a guest
FIRST_UID, UIDS = 100_000, 1 << 30


def is_volume(name: str) -> bool:
    """Whether this names a volume as the server does: a UUID in its usual writing, fit for a file's name."""
    try:
        return str(UUID(name)) == name
    except ValueError:
        return False


def serial_of(volume: str) -> str:
    """By which the virtual server finds the volume's disk."""
    return volume.replace("-", "")[:SERIAL_DIGITS]


def uid_of(person: str) -> int:
    """Who a person is inside the virtual server. Its kernel alone tells people apart by it, on one volume, so
    that 30 bits of SHA-256 are enough."""
    digest = hashlib.sha256(person.encode()).digest()
    return FIRST_UID + int.from_bytes(digest[:4], "big") % UIDS
