"""How a volume is made, and opened, in the order it is lived; each step may be killed and done again.

made:    recovery key wrapped for both custodians and kept -> made under both keys -> deposited
opened:  key asked for -> served -> plugged in -> mounted -> shared

A step is a bite of a generator: it says whether there is more to do at once, or something is waited for, so
that whoever drives it can stop between any two. A volume is not used before the server has what recovers it.
"""

import logging
import secrets
from collections.abc import Callable, Generator
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeAlias, TypeVar

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from vrasnode import sealing
from vrasnode.aside import aside
from vrasnode.errors import Refused, Unreachable
from vrasnode.machines.controlchannel import Answer
from vrasnode.mydoc.guestnames import text_of
from vrasnode.mydoc.housing import Housing
from vrasnode.mydoc.lent import NOTHING_LENT, Lent
from vrasnode.mydoc.locking import CLOSE_S, UNPLUG_S
from vrasnode.mydoc.luks import Slot
from vrasnode.mydoc.naming import serial_of
from vrasnode.mydoc.record import Ledger
from vrasnode.wire.mydoc import Custodian, KeyAnswer, KeyRequest, RecoveryDeposit, VolumeWish

T = TypeVar("T")
Steps: TypeAlias = Generator[bool, None, T]

log = logging.getLogger("vrasnode.mydoc")

RECOVERY_BYTES = 32
CUSTODIANS = 2
PING_S = 5.0
MOUNT_S = 300.0  # for a file system that has to be checked
SHARE_S = 90.0
SERVER_S = 45.0  # the server has its own time-outs


class Volumes(Protocol):
    """The volumes, as far as opening needs them (`volumes.Volumes`)."""

    def exists(self, volume: str) -> bool: ...
    def create(self, volume: str, *, lan_key: bytes, recovery_key: bytes, limit_bytes: int) -> str: ...
    def luks_uuid(self, volume: str) -> str: ...
    def size(self, volume: str) -> int: ...
    def grow(self, volume: str, limit_bytes: int) -> None: ...
    def serve(self, volume: str, key: bytes, *, read_only: bool = False) -> Path: ...
    def serving(self, volume: str) -> Path | None: ...
    def kill_slot(self, volume: str, slot: Slot) -> None: ...


class Halves(Protocol):
    """This PC's halves of keys (`pchalf.Halves`)."""

    def make(self, volume: str) -> bytes: ...
    def forget(self, volume: str) -> None: ...


class Keys(Protocol):
    """The server's doors for keys."""

    def volume_key(self, request: KeyRequest) -> KeyAnswer: ...
    def deposit_recovery(self, deposit: RecoveryDeposit) -> None: ...


@dataclass(frozen=True)
class Shared:
    """Where an open volume is found by the client VM. Holds a password: never shown."""

    share: str
    user: str
    password: str

    def __repr__(self) -> str:
        return f"Shared({self.share!r})"


def ask_lan_key(volume: str, session: str, *, half: bytes, keys: Keys) -> bytes:
    """What opens the volume's LAN slot, by a logon that the server knows. Raises Denied, Unreachable, and
    Refused(bad_half)."""
    private = X25519PrivateKey.generate()
    request = KeyRequest(volume=volume, session=session, reply_key=private.public_key().public_bytes_raw())
    answer = keys.volume_key(request)
    try:
        server_half = sealing.open_sealed(
            answer.sealed, private, purpose=sealing.half_purpose(volume, session)
        )
        return sealing.lan_key(server_half, half, volume=volume)
    except ValueError as error:
        raise Refused("bad_half", f"The server's half of the key is none: {error}.") from error


@dataclass(frozen=True, kw_only=True)
class Unlocking:
    """What making and opening works with. `client` is the address of the client VM, `wake` is called when
    something that was waited for has come, `clock` counts seconds."""

    volumes: Volumes
    halves: Halves
    keys: Keys
    housing: Housing
    client: str
    wake: Callable[[], None]
    clock: Callable[[], float]
    lent: Lent = NOTHING_LENT

    def make(self, ledger: Ledger, wish: VolumeWish, custodians: list[Custodian]) -> Steps[None]:
        """A volume that the server can have recovered; nothing to do when there is one.

        Raises Refused(no_custodians, …), Unreachable, HostBroken.
        """
        volume = wish.volume
        if not self.volumes.exists(volume):
            if len(custodians) != CUSTODIANS:
                words = f"{CUSTODIANS} recovery custodians are needed before user data is kept."
                raise Refused("no_custodians", words)
            lan_key = yield from self._lan_key(ledger, wish)
            recovery_key = secrets.token_bytes(RECOVERY_BYTES)
            ledger.keep(
                wrapped=sealing.wrap_for_custodians(
                    recovery_key, [one.public_key for one in custodians], volume=volume
                ),
                custodians=[one.fingerprint for one in custodians],
                deposited=False,
                formatted=False,
            )
            self.volumes.create(
                volume, lan_key=lan_key, recovery_key=recovery_key, limit_bytes=wish.limit_bytes
            )
            yield True
        if not ledger.record.deposited:
            deposit = RecoveryDeposit(
                volume=volume,
                session=ledger.record.session,
                luks_uuid=self.volumes.luks_uuid(volume),
                custodians=ledger.record.custodians,
                wrapped=ledger.record.wrapped,
            )
            yield from self._ask_server(lambda: self.keys.deposit_recovery(deposit))
            ledger.keep(deposited=True)
            log.info("%s: made, its recovery key deposited", volume)

    def open(self, ledger: Ledger, wish: VolumeWish, *, share: str) -> Steps[Shared]:
        """Opens and shares the volume, with a password that nobody had before. What is open already stays so.

        Raises Refused for a no of the server or the guest, Unreachable, HostBroken.
        """
        volume, serial = wish.volume, serial_of(wish.volume)
        program = str((yield from self._ask_guest("ping", limit_s=PING_S))["session"])
        socket = yield from self._serve(ledger, wish)
        yield True
        self.housing.plug(volume, socket)
        yield from self._ask_guest(
            "volume_open",
            limit_s=MOUNT_S,
            serial=serial,
            fresh=not ledger.record.formatted,
            size_bytes=self.volumes.size(volume),
        )
        ledger.keep(formatted=True)
        self.housing.push_cable()  # a kill may have come while it was out
        shared = Shared(share, user=f"u{serial}", password=secrets.token_urlsafe(24))
        yield from self._ask_guest(
            "share_open",
            limit_s=SHARE_S,
            serial=serial,
            name=shared.share,
            user=shared.user,
            password=shared.password,
            client=self.client,
            **self._limits(ledger.record.lease),
        )
        ledger.keep(program=program, share=share, told=False)
        return shared

    def _limits(self, opening: str) -> dict[str, list[str]]:
        """A usage key may be for some folders alone: the others are not in the share."""
        folders = self.lent.folders(opening) if opening else []
        return {"folders": [text_of(one) for one in folders]} if folders else {}

    def _serve(self, ledger: Ledger, wish: VolumeWish) -> Steps[Path]:
        """Served under its key, which is asked for once a logon: the server knows by that who is open."""
        volume = wish.volume
        serving = self.volumes.serving(volume)
        if serving is not None and ledger.record.keyed == ledger.record.session:
            return serving
        key = yield from self._key(ledger, wish)
        if serving is None:
            yield from self._clear(volume)
            if wish.limit_bytes > self.volumes.size(volume):
                self.volumes.grow(volume, wish.limit_bytes)
        return self.volumes.serve(volume, key)

    def _clear(self, volume: str) -> Steps[None]:
        """A disk whose daemon has died is dead for ever: what hangs there is taken off first."""
        if self.housing.holds(volume):
            yield from self._ask_guest("volume_close", limit_s=CLOSE_S, serial=serial_of(volume))
            self.housing.unplug(volume, wait_s=UNPLUG_S)

    def _key(self, ledger: Ledger, wish: VolumeWish) -> Steps[bytes]:
        """By a usage key's opening, or by the logon."""
        if ledger.record.lease:
            key = self.lent.key(ledger.record.lease)
            ledger.keep(keyed=ledger.record.session)
            return key
        return (yield from self._lan_key(ledger, wish))

    def _lan_key(self, ledger: Ledger, wish: VolumeWish) -> Steps[bytes]:
        volume, session = wish.volume, ledger.record.session
        half = self.halves.make(volume)
        key = yield from self._ask_server(lambda: ask_lan_key(volume, session, half=half, keys=self.keys))
        ledger.keep(keyed=session)
        return key

    def _ask_server(self, act: Callable[[], T]) -> Steps[T]:
        return (yield from self._wait(aside(act, name="mydoc-key", done=self.wake), SERVER_S, "The server"))

    def _ask_guest(self, op: str, *, limit_s: float, **args: Any) -> Steps[Answer]:
        asked = self.housing.begin(op, **args)
        asked.add_done_callback(lambda _: self.wake())
        return (yield from self._wait(asked, limit_s, f"The virtual server (asked for {op})"))

    def _wait(self, asked: "Future[T]", limit_s: float, whom: str) -> Steps[T]:
        deadline = self.clock() + limit_s
        while not asked.done():
            if self.clock() > deadline:
                asked.cancel()
                raise Unreachable("service_silent", f"{whom} did not answer within {limit_s:.0f} s.")
            yield False
        return asked.result()
