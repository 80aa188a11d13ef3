"""The leases of this PC, in the order of their life: offered, picked up, opened, ended.

picked up:  meant to be -> half made, given to its keeper -> slot added while the LAN key is at hand -> ready
opened:     the try is counted -> the keeper gives the half for the PIN -> both halves open the slot
ended:      meant to end -> half destroyed -> slot killed -> seen to be gone

Each step is kept before the next, so a kill at any moment is gone on from: what was half picked up is undone,
what was meant to end ends. One thread acts at a time; who only looks takes what is kept as it is.
"""

import logging
import secrets
from collections.abc import Sequence
from typing import Any, Protocol

from msgspec.structs import replace

from vrasnode import sealing
from vrasnode.checkout import floor, periods
from vrasnode.checkout.keeping import Identity, Keeper
from vrasnode.checkout.secret import HALF_BYTES, SALT_BYTES, Stretch, check_pin, slot_secret
from vrasnode.checkout.state import Lease, State, pruned
from vrasnode.checkout.verifying import Here, verified
from vrasnode.clock import Clock
from vrasnode.errors import HostBroken, Refused, VrasError
from vrasnode.mydoc.luks import Slot
from vrasnode.wire.checkout import Keeper as Kind
from vrasnode.wire.checkout import LeaseState, UsageKey
from vrasnode.wire.signatures import Keyring, Signed

log = logging.getLogger("vrasnode.checkout")

NOT_OUR_TRY = frozenset({"tpm_locked_out", "key_gone"})


class Volumes(Protocol):
    """The volumes, as far as leases need them (`volumes.Volumes`)."""

    def exists(self, volume: str) -> bool: ...
    def set_key(self, volume: str, slot: Slot, new_key: bytes, *, key: bytes) -> None: ...
    def kill_slot(self, volume: str, slot: Slot) -> None: ...
    def has_slot(self, volume: str, slot: Slot) -> bool: ...


class Leases:
    """`keeper` is the best that this PC has; `stretch` says what one guess at a PIN costs."""

    def __init__(
        self,
        state: State,
        *,
        keeper: Keeper,
        identity: Identity,
        here: Here,
        volumes: Volumes,
        clock: Clock,
        stretch: Stretch,
    ) -> None:
        self._state = state
        self._keeper = keeper
        self._identity = identity
        self._here = here
        self._volumes = volumes
        self._clock = clock
        self._stretch = stretch

    @property
    def all(self) -> list[Lease]:
        return self._state.kept.leases

    def mend(self, volumes: Sequence[str]) -> None:
        """Undoes what a kill left half done, and kills slots of which nothing is known: `volumes` are all of
        this PC. Raises HostBroken."""
        for lease in self.all:
            if lease.picking:
                self._undo(lease.lease)
        self._keeper.keep_only([one.kept for one in self.all if one.kept and one.keeper is self._keeper.kind])
        known = {one.volume for one in self.all if one.picked_up and one.state is not LeaseState.ENDED}
        for volume in volumes:
            if volume not in known and self._volumes.exists(volume):
                self._volumes.kill_slot(volume, Slot.LEASE)

    def check(self, signed: Signed, keyring: Keyring) -> UsageKey:
        """Raises Refused for what is no usage key of this PC, or an old one."""
        key = verified(signed, keyring=keyring, here=self._here, at=self._reading().time)
        known = self._state.find(lambda one: one.lease == key.lease)
        if known is None and key.serial <= self._state.kept.serial:
            raise Refused("old_serial", "A newer usage key was here before this one. Request it again.")
        if known is not None and known.key != signed:
            raise Refused("key_changed", "This lease has another usage key already. Return it first.")
        if known is None:
            self._check_keeper(key)
        return key

    def offer(self, signed: Signed, key: UsageKey) -> None:
        """It is here, and waits for its user to choose a PIN."""
        if self._state.find(lambda one: one.lease == key.lease):
            return
        kept = periods.advanced(self._state.kept, self._clock)
        lease = Lease(
            lease=key.lease,
            serial=key.serial,
            volume=key.volume,
            owner=key.owner,
            starts=key.starts,
            ends=key.ends,
            budget_s=key.budget_s,
            key=signed,
            since=kept.floor.time,
        )
        kept = replace(
            kept,
            floor=floor.at_least(kept.floor, self._clock, key.issued),
            serial=max(kept.serial, key.serial),
            leases=pruned([*kept.leases, lease]),
        )
        self._state.put(kept, counts=True)
        log.info("lease %s of %s: offered", lease.lease, key.owner_name)

    def pick_up(self, name: str, pin: str, *, lan_key: bytes, keyring: Keyring) -> None:
        """Its user has chosen a PIN, while the volume is open on the company's LAN by `lan_key`.

        Raises Refused for what cannot be, HostBroken; the lease is then as it was.
        """
        lease = self._state.of(name)
        if lease.state is not LeaseState.OFFERED or lease.ending:
            raise Refused("picked_up_already", "This usage key has its PIN already.")
        reading = self._reading()
        why = periods.trouble(lease, self._state.kept, reading)
        if why not in ("", periods.NOT_BEGUN):
            raise _unusable(why)
        key = verified(lease.key, keyring=keyring, here=self._here, at=reading.time)
        check_pin(pin, bare=self._check_keeper(key) is Kind.PIN)
        server_half = self._identity.unseal(key.secret, purpose=sealing.lease_purpose(name))
        for other in self.all:
            if other.volume == lease.volume and other.picked_up and other.state is not LeaseState.ENDED:
                self.begin_end(other.lease, "replaced")
                self.finish(other.lease)
        salt, half = secrets.token_bytes(SALT_BYTES), secrets.token_bytes(HALF_BYTES)
        self._change(name, picking=True, keeper=self._keeper.kind, salt=salt)
        try:
            code = self._stretch.code(pin, salt)
            on_s = periods.may_be_on_s(lease, reading.time)
            self._change(name, kept=self._keeper.keep(half, code=code, on_s=on_s))
            secret = slot_secret(server_half, half, lease=name, volume=lease.volume)
            self._volumes.set_key(lease.volume, Slot.LEASE, secret, key=lan_key)
        except BaseException:
            self._undo(name)
            raise
        self._change(
            name,
            counts=True,
            picking=False,
            picked_up=self._reading().time,
            state=LeaseState.READY,
            since=self._reading().time,
        )
        log.info("lease %s: picked up, kept by %s", name, self._keeper.kind)

    def give(self, name: str, pin: str, *, keyring: Keyring) -> tuple[str, bytes]:
        """The name of a new opening, and what opens the volume's lease slot.

        Raises Refused: wrong_pin, pin_tries, a code of `periods`, key_gone …; HostBroken.
        """
        lease = self._state.of(name)
        if lease.picked_up is None or lease.ending or lease.state is LeaseState.ENDED:
            raise _unusable("lease_gone")
        if why := periods.trouble(lease, self._state.kept, self._reading()):
            raise _unusable(why)
        key = verified(lease.key, keyring=keyring, here=self._here, at=lease.picked_up)
        server_half = self._identity.unseal(key.secret, purpose=sealing.lease_purpose(name))
        half = self._try(lease, pin, tries=key.pin_tries)
        number = lease.opening + 1
        self._change(name, counts=True, tries=0, opening=number)
        return f"{name}/{number}", slot_secret(server_half, half, lease=name, volume=lease.volume)

    def begin_end(self, name: str, code: str) -> None:
        """It is to end: from now on nothing opens by it, whatever comes between."""
        lease = self._state.of(name)
        if not lease.ending and lease.state is not LeaseState.ENDED:
            self._change(name, counts=True, ending=code, since=self._reading().time)
            log.info("lease %s: ends (%s)", name, code)

    def finish(self, name: str, **seen: Any) -> None:
        """Destroys its half and kills its slot; `seen` is what else is kept of the end. Raises HostBroken:
        finish it again."""
        lease = self._state.of(name)
        if lease.kept:
            self._keeper.destroy(lease.kept)
            lease = self._change(name, kept=b"", salt=b"")
        others = [one for one in self.all if one.volume == lease.volume and one.lease != name]
        gone = True
        if self._volumes.exists(lease.volume) and not any(one.picked_up and not _over(one) for one in others):
            self._volumes.kill_slot(lease.volume, Slot.LEASE)
            gone = not self._volumes.has_slot(lease.volume, Slot.LEASE)
        self._change(
            name,
            counts=True,
            state=LeaseState.ENDED,
            code=lease.ending,
            words="",
            slot_gone=gone,
            since=self._reading().time,
            **seen,
        )
        log.info("lease %s: has ended (%s)", name, lease.ending)

    def note(self, name: str, **changes: Any) -> None:
        """Keeps what was seen of it."""
        self._change(name, **changes)

    def pass_time(self) -> None:
        """Keeps how late it is, and what was used."""
        self._state.put(periods.advanced(self._state.kept, self._clock))

    def _try(self, lease: Lease, pin: str, *, tries: int) -> bytes:
        """Counted before it is tried, so that a kill in between gives no try away."""
        counted = self._change(lease.lease, counts=True, tries=lease.tries + 1)
        code = self._stretch.code(pin, lease.salt)
        try:
            return self._keeper.give(lease.kept, code=code)
        except Refused as error:
            if error.code in NOT_OUR_TRY:
                self._change(lease.lease, tries=lease.tries)
            elif counted.tries >= tries:
                self.begin_end(lease.lease, "pin_tries")
                raise Refused(
                    "pin_tries", "The PIN was wrong too often: this usage key has ended."
                ) from error
            raise
        except HostBroken:
            self._change(lease.lease, tries=lease.tries)
            raise

    def _check_keeper(self, key: UsageKey) -> Kind:
        if self._keeper.kind is not Kind.TPM and not key.software:
            words = "This PC has no TPM of its own, and the usage key asks for one. Tell an administrator."
            raise Refused("lease_needs_tpm", words)
        return self._keeper.kind

    def _undo(self, name: str) -> None:
        lease = self._state.of(name)
        try:
            if lease.kept:
                self._keeper.destroy(lease.kept)
            if self._volumes.exists(lease.volume):
                self._volumes.kill_slot(lease.volume, Slot.LEASE)
        except VrasError as error:
            log.warning("lease %s: not undone yet: %s", name, error)  # `mend` does, at the next start
            return
        self._change(name, picking=False, kept=b"", salt=b"", keeper=Kind.NOTHING)

    def _change(self, name: str, *, counts: bool = False, **changes: Any) -> Lease:
        kept = periods.advanced(self._state.kept, self._clock)
        leases = [replace(one, **changes) if one.lease == name else one for one in kept.leases]
        self._state.put(replace(kept, leases=leases), counts=counts)
        return self._state.of(name)

    def _reading(self) -> floor.Reading:
        return floor.read(self._state.kept.floor, self._clock)


def _over(lease: Lease) -> bool:
    return lease.state is LeaseState.ENDED or bool(lease.ending)


def _unusable(code: str) -> Refused:
    return Refused(code, "This usage key opens nothing now.")
