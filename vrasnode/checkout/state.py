"""What this PC keeps of usage keys: one file, so that nothing of it can be older than the rest.

    checkout/state.json   leases, what time it was, how often all this was changed
    checkout/state.key    by which that file is known for this PC's own; sealed by the TPM where there is one

It is authenticated (HMAC-SHA-256), so editing it is seen. Where there is a TPM its counter goes on with every
change that counts, so an older copy is seen, too, and so is a file that is missing. What is wrong with it
ends every lease: who put it back has their documents on the company's LAN.
"""

import hashlib
import hmac
import logging
import secrets
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from msgspec.structs import replace

from vrasnode.checkout.floor import Floor
from vrasnode.errors import HostBroken, Refused, VrasError
from vrasnode.host import disk
from vrasnode.wire import codec
from vrasnode.wire.checkout import Keeper, LeaseState
from vrasnode.wire.codec import Message
from vrasnode.wire.mydoc import LockProof
from vrasnode.wire.signatures import Signed

log = logging.getLogger("vrasnode.checkout")

MISSING, EDITED, RESTORED = "state_missing", "state_edited", "state_restored"
MOST_ENDED = 100
_PURPOSE = "checkout state"
_KEY_BYTES = 32


class Lease(Message, frozen=True):
    """One lease. `ending` is the code of why it ends: written before anything is done for it."""

    lease: str
    serial: int
    volume: str
    owner: str
    starts: datetime
    ends: datetime
    budget_s: int
    key: Signed
    state: LeaseState = LeaseState.OFFERED
    code: str = ""
    words: str = ""
    since: datetime | None = None
    ending: str = ""
    keeper: Keeper = Keeper.NOTHING
    salt: bytes = b""
    kept: bytes = b""  # the PC's half, as its keeper has it
    picking: bool = False  # it is being picked up: not to be relied on
    picked_up: datetime | None = None
    opened: datetime | None = None
    opening: int = 0  # the number of the last one
    away: datetime | None = None  # when it was open the last time, if that is in no replica yet
    used_s: float = 0.0
    tries: int = 0  # wrong PINs in a row, the one that is tried now with them
    slot_gone: bool = False
    proof: LockProof | None = None


class Kept(Message, frozen=True):
    """All of it. `distrust`: why no clock of this PC is believed until the server has signed the time."""

    floor: Floor = Floor()
    count: int = 0
    serial: int = 0  # the highest that was seen
    leases: list[Lease] = []
    distrust: str = ""


class Counter(Protocol):
    """The TPM's count of changes (`chip.Chip`)."""

    def count(self) -> int: ...
    def count_on(self) -> int: ...


class Sealer(Protocol):
    """What keeps the file's key: a TPM, or the PC's HPKE key."""

    def seal(self, secret: bytes, purpose: str) -> bytes: ...
    def unseal(self, blob: bytes, purpose: str) -> bytes: ...


class _File(Message, frozen=True):
    body: bytes
    mac: bytes


class State:
    """The file. `counter` None: there is no TPM. Safe to read from other threads."""

    def __init__(self, directory: Path, *, sealer: Sealer, counter: Counter | None) -> None:
        """Reads what is there. Raises HostBroken where disk or TPM do not answer: try again."""
        disk.make_directory(directory, mode=0o700)
        self._path, self._key_path = directory / "state.json", directory / "state.key"
        self._sealer = sealer
        self._counter = counter
        self.trouble = ""  # what was wrong with it; it is empty then
        count = counter.count() if counter else 0
        self._key = self._read_key()
        self.kept = self._read(count)
        if self.trouble:
            log.warning("what was kept of usage keys is not to be relied on: %s", self.trouble)
            self.kept = Kept(count=count, distrust=self.trouble)
        if counter and (self.kept.count > count or self.trouble):
            self._write(self.kept)  # a kill came between the file and the count
            while count < self.kept.count:
                count = counter.count_on()

    def keep(self, *, counts: bool = False, **changes: Any) -> None:
        """On the disk before this returns. `counts`: an older copy is of no use from now on."""
        self.put(replace(self.kept, **changes), counts=counts)

    def change(self, lease: str, *, counts: bool = False, **changes: Any) -> Lease:
        """The same for one lease."""
        changed = replace(self.of(lease), **changes)
        leases = [changed if one.lease == lease else one for one in self.kept.leases]
        self.put(replace(self.kept, leases=leases), counts=counts)
        return changed

    def put(self, kept: Kept, *, counts: bool = False) -> None:
        if counts and self._counter:
            kept = replace(kept, count=kept.count + 1)
        self._write(kept)
        if counts and self._counter:
            self._counter.count_on()

    def of(self, lease: str) -> Lease:
        return next(one for one in self.kept.leases if one.lease == lease)

    def find(self, accept: Callable[[Lease], bool]) -> Lease | None:
        return next((one for one in self.kept.leases if accept(one)), None)

    def _write(self, kept: Kept) -> None:
        body = codec.encode(kept)
        disk.write_file(self._path, codec.encode(_File(body=body, mac=self._mac(body))))
        self.kept = kept

    def _read(self, count: int) -> Kept:
        data = disk.read_file(self._path)
        if data is None:
            self.trouble = MISSING if count else ""
            return Kept()
        try:
            file = codec.decode(data, _File)
            kept = codec.decode(file.body, Kept)
        except Refused:
            self.trouble = EDITED
            return Kept()
        if not hmac.compare_digest(self._mac(file.body), file.mac):
            self.trouble = EDITED
        elif self._counter and kept.count not in (count, count + 1):
            self.trouble = RESTORED
        return kept

    def _read_key(self) -> bytes:
        sealed = disk.read_file(self._key_path)
        if sealed:
            try:
                key = self._sealer.unseal(sealed, _PURPOSE)
            except VrasError as error:
                if isinstance(error, HostBroken) and error.code != "sealed_elsewhere":
                    raise
                key = b""
            if len(key) == _KEY_BYTES:
                return key
        key = secrets.token_bytes(_KEY_BYTES)  # the file, if there is one, is not by this key
        disk.write_file(self._key_path, self._sealer.seal(key, _PURPOSE))
        return key

    def _mac(self, body: bytes) -> bytes:
        return hmac.digest(self._key, body, hashlib.sha256)


def pruned(leases: list[Lease]) -> list[Lease]:
    """Without the oldest of those that have ended long ago: their serials are below the highest anyway."""
    ended = [one for one in leases if one.state is LeaseState.ENDED]
    old = {one.lease for one in sorted(ended, key=lambda one: one.serial)[:-MOST_ENDED]}
    return [one for one in leases if one.lease not in old]
