"""Checkout on the PC: volumes open away from the company's LAN by usage keys, and by nothing else there.

The slice says which keys are lent; one that it does not name is ended. Their life is in `leases`;
here it is driven: what the server says is heard, periods are watched, what was opened and locked is noted,
the server is asked what time it is, everything is told. A volume itself is opened and locked by its own crank
(`uservolume`), which asks here whether it may stay open, also while this part is busy.
"""

import logging
import operator
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from vrasnode.checkout import floor, periods
from vrasnode.checkout.asking import Asking
from vrasnode.checkout.chip import Chip
from vrasnode.checkout.keeping import HpkeSealer, PinKeeper, TpmKeeper
from vrasnode.checkout.leases import Leases
from vrasnode.checkout.means import Means
from vrasnode.checkout.state import Lease, State
from vrasnode.checkout.telling import Seen, report_of
from vrasnode.checkout.verifying import belongs
from vrasnode.errors import Refused, VrasError
from vrasnode.mydoc.lent import Standing
from vrasnode.wire import codec
from vrasnode.wire.checkout import CheckoutReport, CheckoutSlice, LeaseState, LeaseWish
from vrasnode.wire.checkout import Keeper as Kind
from vrasnode.wire.clients import ClientSlice
from vrasnode.wire.mydoc import VolumeState
from vrasnode.wire.signatures import Keyring, Signed

log = logging.getLogger("vrasnode.checkout")

SLICE = "checkout"
NOTHING = CheckoutSlice(leases=[])
KEEP_S = 60.0  # between notes of how late it is
HEAR_AGAIN_S = 30.0  # what was refused may have become good
LOAD_AGAIN_S = 15.0
AT_HAND_S = 120.0  # how long an opening is waited for
LOCK_S = 60.0  # for the volume to be locked before its slot is killed in any case
UNKNOWN_S = 60.0  # an agent that cannot read its leases lets nothing stay open
BUSY = {VolumeState.OPENING, VolumeState.OPEN, VolumeState.LOCKING}


@dataclass(frozen=True, repr=False)
class AtHand:
    """An opening that its volume has not taken up yet."""

    opening: str
    secret: bytes
    since: float


class Checkout:
    """The part, and what opens volumes (`lent.Lent`). `report` takes reports, `wake` wakes the agent."""

    name = SLICE

    def __init__(
        self,
        directory: Path,
        *,
        means: Means,
        get_slice: Callable[[str], bytes | None],
        report: Callable[[CheckoutReport], None],
        wake: Callable[[], None],
    ) -> None:
        self._directory = directory
        self._means = means
        self._get_slice = get_slice
        self._report = report
        self._wake = wake
        self._acting = threading.Lock()
        self._began_at = means.clock.since_start()
        self._state: State | None = None
        self._leases: Leases | None = None
        self._keeper = Kind.NOTHING
        self._slices: tuple[bytes | None, bytes | None] | None = None
        self._keyring = Keyring(means.root_key, [])
        self._said = NOTHING
        self._refused: dict[str, VrasError] = {}
        self._gone: dict[str, str] = {}  # ended by the server; nothing is known of them here
        self._at_hand: dict[str, AtHand] = {}  # by volume
        self._asking = Asking(
            means.server,
            client_id=means.here.client_id,
            clock=means.clock,
            heard_at=means.heard_at,
            wake=wake,
        )
        self._told: CheckoutReport | None = None
        self._load_at = self._hear_at = self._keep_at = float("-inf")

    # What volumes ask: from any thread, and nothing here waits.

    def wanted(self, volume: str) -> str:
        at_hand = self._at_hand.get(volume)
        if at_hand is None or self._means.clock.since_start() > at_hand.since + AT_HAND_S:
            return ""
        return at_hand.opening

    def key(self, opening: str) -> bytes:
        found = next((one for one in list(self._at_hand.values()) if one.opening == opening), None)
        if found is None or self.must_lock(opening):
            raise Refused("pin_needed", "Enter the PIN again to open the documents.")
        return found.secret

    def folders(self, opening: str) -> list[bytes]:
        lease = self._of(opening)
        return [] if lease is None else Seen(lease).key.folders

    def must_lock(self, opening: str) -> str:
        if self._state is None:
            late = self._means.clock.since_start() > self._began_at + UNKNOWN_S
            return "lease_gone" if late else ""
        lease, kept = self._of(opening), self._state.kept
        if lease is None or lease.state is LeaseState.ENDED or f"{lease.lease}/{lease.opening}" != opening:
            return "lease_gone"
        return lease.ending or periods.trouble(lease, kept, floor.read(kept.floor, self._means.clock))

    # What the user does, on the local page's threads.

    def seen(self) -> list[Seen]:
        """All leases that have not ended, for people, the newest first."""
        state = self._state
        if state is None:
            return []
        reading = floor.read(state.kept.floor, self._means.clock)
        alive = [one for one in state.kept.leases if one.state is not LeaseState.ENDED]
        alive.sort(key=lambda one: -one.serial)
        return [
            Seen(
                one,
                trouble=one.ending or periods.trouble(one, state.kept, reading),
                left=periods.left(one, reading),
                standing=self._means.get_mydoc().standing(one.volume),
                warn_s=self._said.warn_s,
                keeper=one.keeper or self._keeper,
            )
            for one in alive
        ]

    def pick_up(self, lease: str, pin: str) -> None:
        """Raises Refused, Unreachable and HostBroken, with words for its user."""
        with self._acting:
            found = self._known(lease)
            if not self._means.get_mydoc().standing(found.volume).on_lan:
                words = "Log on on the company's LAN first: a PIN is chosen while the documents are open."
                raise Refused("not_on_lan", words)
            lan_key = self._means.get_mydoc().lan_key(found.volume)
            self._ready().pick_up(lease, pin, lan_key=lan_key, keyring=self._keyring)
        self._wake()

    def open(self, lease: str, pin: str) -> None:
        """The volume opens soon. Raises as `pick_up`."""
        with self._acting:
            found = self._known(lease)
            if self._means.get_mydoc().standing(found.volume).state in BUSY:
                raise Refused("open_already", "The documents are open, or on their way.")
            try:
                opening, secret = self._ready().give(lease, pin, keyring=self._keyring)
            finally:
                self._wake()
            at_hand = AtHand(opening, secret, since=self._means.clock.since_start())
            self._at_hand = {**self._at_hand, found.volume: at_hand}
        self._means.get_mydoc().wake(found.volume)

    def give_back(self, lease: str) -> None:
        """It is returned now: locked at once, its slot killed."""
        with self._acting:
            found = self._known(lease)
            self._ready().begin_end(lease, "returned")
        self._means.get_mydoc().wake(found.volume)
        self._wake()

    # The crank.

    def step(self) -> bool:
        """Never more to do at once. Raises Refused(bad_message) for a slice that cannot be read: what it said
        before holds."""
        if not self._acting.acquire(blocking=False):
            return False  # its user is at it
        try:
            if self._load():
                self._turn()
        finally:
            self._acting.release()
        return False

    def close(self) -> None:
        """What is open stays open: whoever comes next judges it by what is kept."""
        if self._state is not None and any(one.picked_up for one in self._state.kept.leases):
            self._ready().pass_time()

    def _load(self) -> bool:
        means, now = self._means, self._means.clock.since_start()
        if self._state is not None or now < self._load_at:
            return self._state is not None
        self._load_at = now + LOAD_AGAIN_S
        chip = Chip(means.tpm) if means.tpm.present() else None
        sealer = means.tpm if chip else HpkeSealer(means.identity)
        state = State(self._directory, sealer=sealer, counter=chip)
        keeper = means.keeper or (TpmKeeper(chip) if chip else PinKeeper(means.identity))
        leases = Leases(
            state,
            keeper=keeper,
            identity=means.identity,
            here=means.here,
            volumes=means.volumes,
            clock=means.clock,
            stretch=means.stretch,
        )
        leases.mend(means.volumes.all())
        self._state, self._leases, self._keeper = state, leases, keeper.kind
        return True

    def _turn(self) -> None:
        self._take_time()
        trouble: VrasError | None = None
        try:
            self._hear()
        except Refused as error:
            trouble = error
        self._watch()
        self._finish()
        self._keep_time()
        self._ask_time()
        self._tell()
        if trouble:
            raise trouble

    def _hear(self) -> None:
        slices, now = (self._get_slice(SLICE), self._get_slice("clients")), self._means.clock.since_start()
        is_known = self._slices is not None and all(map(operator.is_, slices, self._slices))
        if is_known and not (self._refused and now >= self._hear_at):
            return
        self._slices, self._hear_at = slices, now + HEAR_AGAIN_S
        if slices[0] is None:
            return
        self._said = codec.decode(slices[0], CheckoutSlice)
        keyring = codec.decode(slices[1], ClientSlice).keyring if slices[1] else []
        self._keyring = Keyring(self._means.root_key, keyring)
        named = {wish.lease: wish for wish in self._said.leases}
        for lease in self._ready().all:
            wish = named.get(lease.lease)
            if wish is None or wish.key is None or wish.ended:
                self._ready().begin_end(lease.lease, wish.ended if wish and wish.ended else "withdrawn")
        known = {lease.lease for lease in self._ready().all}
        self._gone = {
            wish.lease: wish.ended or "withdrawn"
            for wish in self._said.leases
            if wish.lease not in known and (wish.ended or wish.key is None)
        }
        self._refused = {}
        for wish in self._said.leases:
            if wish.key is not None and not wish.ended:
                self._offer(wish, wish.key)

    def _offer(self, wish: LeaseWish, signed: Signed) -> None:
        try:
            key = self._ready().check(signed, self._keyring)
            if key.lease != wish.lease:
                raise Refused("bad_key", "The usage key is of another lease.")
            belongs(key, owner=self._means.get_mydoc().owner(key.volume))
            self._ready().offer(signed, key)
        except VrasError as error:
            log.warning("lease %s is refused: %s", wish.lease, error)
            self._refused[wish.lease] = error

    def _watch(self) -> None:
        """Ends what is over, and notes what was opened and locked."""
        state, unwelcome = self._loaded(), self._means.unwelcome()
        reading = floor.read(state.kept.floor, self._means.clock)
        for lease in state.kept.leases:
            if lease.away:
                self._copy(lease, lease.away)
            if lease.state is LeaseState.ENDED:
                continue
            why = unwelcome or periods.trouble(lease, state.kept, reading)
            if unwelcome or why in periods.FINAL:
                self._ready().begin_end(lease.lease, why)
            if lease.picked_up:
                self._look(
                    state.of(lease.lease), self._means.get_mydoc().standing(lease.volume), reading.time
                )

    def _look(self, lease: Lease, standing: Standing, now: datetime) -> None:
        opening = f"{lease.lease}/{lease.opening}"
        is_open = standing.opening == opening and standing.state is VolumeState.OPEN and not standing.on_lan
        if is_open and lease.state is not LeaseState.OPEN:
            self._drop(lease.volume)
            first = lease.opened or now
            self._ready().note(lease.lease, state=LeaseState.OPEN, opened=first, code="", words="", since=now)
        proof = {"proof": standing.proof} if standing.opening == opening else {}
        if lease.state is LeaseState.OPEN and not is_open and standing.state not in BUSY - {VolumeState.OPEN}:
            self._ready().note(lease.lease, state=LeaseState.CLOSED, since=now, away=now, **proof)
        if standing.opening == opening and standing.state not in BUSY and standing.code:
            self._drop(lease.volume)
            if standing.code != lease.code:
                self._ready().note(lease.lease, code=standing.code, words=standing.words)

    def _copy(self, lease: Lease, away: datetime) -> None:
        """Back on the LAN, what was written away from it is copied before the schedule says so."""
        copying, standing = self._means.get_copying(), self._means.get_mydoc().standing(lease.volume)
        if copying.copied_since(lease.volume, away):
            self._ready().note(lease.lease, away=None)
        elif standing.on_lan and standing.state is VolumeState.OPEN and not copying.waits_for(lease.volume):
            copying.begin(lease.volume)

    def _finish(self) -> None:
        for lease in self._ready().all:
            if not lease.ending or lease.state is LeaseState.ENDED:
                continue
            self._drop(lease.volume)
            standing = self._means.get_mydoc().standing(lease.volume)
            opens = standing.opening == f"{lease.lease}/{lease.opening}" and not standing.on_lan
            if opens and standing.state in BUSY and self._is_soon(lease):
                self._means.get_mydoc().wake(lease.volume)
                continue
            seen: dict[str, Any] = {"proof": standing.proof} if opens else {}
            if lease.state is LeaseState.OPEN:
                seen["away"] = floor.read(self._loaded().kept.floor, self._means.clock).time
            self._ready().finish(lease.lease, **seen)

    def _is_soon(self, lease: Lease) -> bool:
        now = floor.read(self._loaded().kept.floor, self._means.clock).time
        return lease.since is None or (now - lease.since).total_seconds() < LOCK_S

    def _keep_time(self) -> None:
        now = self._means.clock.since_start()
        if now >= self._keep_at and any(one.state is not LeaseState.ENDED for one in self._ready().all):
            self._keep_at = now + KEEP_S
            self._ready().pass_time()

    def _ask_time(self) -> None:
        kept = self._loaded().kept
        if self._said.leases or kept.distrust:
            self._asking.ask(trouble=kept.distrust or floor.read(kept.floor, self._means.clock).code)

    def _take_time(self) -> None:
        said = self._asking.take(self._keyring)
        if said is not None:
            state, clock = self._loaded(), self._means.clock
            kept = periods.advanced(state.kept, clock)
            heard = floor.heard(kept.floor, clock, said)
            state.put(replace(kept, floor=heard, distrust=""), counts=bool(kept.distrust))

    def _tell(self) -> None:
        state = self._loaded()
        reading = floor.read(state.kept.floor, self._means.clock)
        found = report_of(
            state.kept, reading, refused=self._refused, gone=self._gone, named=set(self._named())
        )
        if found != self._told and (found.leases or found.clock or self._told is not None):
            self._told = found
            self._report(found)

    def _named(self) -> list[str]:
        return [wish.lease for wish in self._said.leases]

    def _drop(self, volume: str) -> None:
        self._at_hand = {other: kept for other, kept in self._at_hand.items() if other != volume}

    def _of(self, opening: str) -> Lease | None:
        name = opening.rpartition("/")[0]
        return self._state.find(lambda one: one.lease == name) if self._state else None

    def _known(self, name: str) -> Lease:
        found = self._state.find(lambda one: one.lease == name) if self._state else None
        if found is None or found.state is LeaseState.ENDED or found.ending:
            raise Refused("lease_gone", "This usage key has ended.")
        return found

    def _loaded(self) -> State:
        if self._state is None:
            raise Refused("lease_gone", "The usage keys of this PC are not read yet. Try again in a moment.")
        return self._state

    def _ready(self) -> Leases:
        if self._leases is None:
            raise Refused("lease_gone", "The usage keys of this PC are not read yet. Try again in a moment.")
        return self._leases
