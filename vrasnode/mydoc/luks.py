"""The encrypted file of a volume: LUKS1, made and changed by cryptsetup, for which no kernel has to help.

LUKS1 and not 2, because QEMU reads no other. Keys are 32 random bytes, so what makes guessing slow is of no
use: few iterations keep opening short. What cryptsetup and QEMU are given is the key in hex: so that is what
a person types, or has in a file without a line's end, to open a volume with `cryptsetup` alone.

What no key is needed for is read here directly (LUKS1 On-Disk Format Specification 1.2.3 §2). Nothing here
formats what is already there, and nothing is ever mended.
"""

import hashlib
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from struct import Struct
from uuid import UUID

from vrasnode.errors import HostBroken, Refused
from vrasnode.host import disk
from vrasnode.mydoc import secretpipes
from vrasnode.mydoc.secretpipes import handed
from vrasnode.sealing import passphrase

HEADER_BYTES = 2 << 20  # before the data
ITERATIONS = 1000  # the fewest that cryptsetup takes
PATIENCE_S = 60.0  # a disk that wakes up

_FORMAT = ["--type", "luks1", "--cipher", "aes-xts-plain64", "--key-size", "512", "--hash", "sha256"]
_FEW = ["--pbkdf-force-iterations", str(ITERATIONS)]
_NO_SUCH_KEY = 2  # cryptsetup(8), RETURN CODES
_START = Struct(">6sH32s32s32sII20s32sI40s")  # magic, version, cipher, mode, hash, payload offset …, UUID
_SLOT = Struct(">II32sII")  # state, iterations, salt, where its key material is, stripes
_SLOTS = 8
START_BYTES = _START.size + _SLOTS * _SLOT.size
_MAGIC = b"LUKS\xba\xbe"
_IN_USE, _FREE = 0x00AC71F3, 0x0000DEAD
_SECTOR = 512


class Slot(IntEnum):
    """What the key in a slot is for."""

    LAN = 0
    LEASE = 1
    RECOVERY = 7


@dataclass(frozen=True)
class Header:
    """What stands at the beginning of a volume. `start` holds no key, nor what a key opens: it says where
    those are. `digest` is over everything before the data."""

    uuid: str
    data_starts: int
    slots: frozenset[int]
    start: bytes
    digest: str


def format_file(path: Path, key: bytes) -> None:
    """Makes the file a volume whose data is noise, opened by `key` in slot LAN. What was in it is lost.

    Raises HostBroken(cryptsetup_failed)."""
    offset = ["--offset", str(HEADER_BYTES // _SECTOR)]
    with handed(passphrase(key).encode()) as handles:
        slot = ["--key-slot", str(int(Slot.LAN)), "--key-file", f"/dev/fd/{handles[0]}"]
        _done(["luksFormat", *_FORMAT, *_FEW, "--use-urandom", *offset, *slot, str(path)], handles, path)


def add_key(path: Path, key: bytes, new_key: bytes, slot: Slot) -> None:
    """From now on `new_key` opens the volume as well; `key` does already, and the slot is free.

    Raises Refused(wrong_key) and HostBroken(cryptsetup_failed)."""
    with handed(passphrase(key).encode(), passphrase(new_key).encode()) as handles:
        known, new = (f"/dev/fd/{handle}" for handle in handles)
        add = ["luksAddKey", *_FEW, "--key-slot", str(int(slot)), "--key-file", known]
        if not _done([*add, str(path), new], handles, path):
            raise wrong_key(path)


def kill_slot(path: Path, slot: Slot) -> None:
    """Overwrites what the slot's key opens: no copy of the key is of any use from then on, unless somebody
    kept a copy of the header. Needs no key. Raises HostBroken(cryptsetup_failed)."""
    _done(["luksKillSlot", str(path), str(int(slot))], [], path)


def opens(path: Path, key: bytes, slot: Slot | None = None) -> bool:
    """Whether the key opens the volume, by cryptsetup's own judgement; with `slot`, by that slot.

    Raises HostBroken(volume_damaged, cryptsetup_failed)."""
    if slot is not None and slot not in read_header(path).slots:
        return False
    one = [] if slot is None else ["--key-slot", str(int(slot))]
    with handed(passphrase(key).encode()) as handles:
        tried = ["luksOpen", "--test-passphrase", *one, "--key-file", f"/dev/fd/{handles[0]}", str(path)]
        return _done(tried, handles, path)


def read_header(path: Path) -> Header:
    """Raises HostBroken(volume_damaged, disk_failed)."""
    with disk.told(f"The volume {path} cannot be read"), path.open("rb") as file:
        data = file.read(HEADER_BYTES)
    if len(data) < HEADER_BYTES:
        raise damaged(path, "the file ends within its header")
    magic, version, _, _, _, offset, _, _, _, _, uuid = _START.unpack_from(data)
    slots = [_SLOT.unpack_from(data, _START.size + number * _SLOT.size) for number in range(_SLOTS)]
    if magic != _MAGIC or version != 1:
        raise damaged(path, "it does not begin as a LUKS volume does")
    if offset * _SECTOR != HEADER_BYTES or any(state not in (_IN_USE, _FREE) for state, *_ in slots):
        raise damaged(path, "its header names what cannot be")
    return Header(
        uuid=_uuid(uuid, path),
        data_starts=offset * _SECTOR,
        slots=frozenset(number for number, (state, *_) in enumerate(slots) if state == _IN_USE),
        start=data[:START_BYTES],
        digest=hashlib.sha256(data).hexdigest(),
    )


def damaged(path: Path, what: str) -> HostBroken:
    words = (
        f"The volume {path} is damaged: {what}. Nothing in it was changed. Keep the file as it is; what its "
        "custodians can still do with the recovery key is in docs/user-data.md, and the replica has what was "
        "there when this PC was last shut down."
    )
    return HostBroken("volume_damaged", words)


def wrong_key(path: Path) -> Refused:
    words = (
        f"The key does not open the volume {path}. One of its halves is of another volume, or was made anew: "
        "ask the custodians for the recovery key."
    )
    return Refused("wrong_key", words)


def _uuid(text: bytes, path: Path) -> str:
    try:
        return str(UUID(text.rstrip(b"\0").decode("ascii")))
    except ValueError as error:
        raise damaged(path, "its header has no UUID") from error


def _done(arguments: Sequence[str], handles: Sequence[int], path: Path) -> bool:
    """Runs cryptsetup; False when it said that the key is none of this volume's."""
    command = ["cryptsetup", "--batch-mode", *arguments]
    try:
        done = secretpipes.run(command, handles, timeout_s=PATIENCE_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise HostBroken("cryptsetup_failed", f"cryptsetup does not work on {path}: {error}.") from error
    if done.returncode not in (0, _NO_SUCH_KEY):
        words = f"cryptsetup could not {arguments[0]} {path}: {done.stderr.strip() or done.returncode}."
        raise HostBroken("cryptsetup_failed", words)
    return done.returncode == 0
