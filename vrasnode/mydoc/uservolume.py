"""One user's volume on this PC: made at the first logon, open while it may be, locked otherwise.

    absent ──logon──> making ─┐
    locked ──logon──> opening <┘──> open ──cut──> locking ──> locked
    broken ──logon──>    │  ^         │             ^  └────> broken
                         │  └ virtual server anew ──┤
                         └────── cannot be ─────────┘

A logon counts when the server names it and its nonce is one that this PC gave out. Away from the company's
LAN its user's PIN stands for it, under a usage key (`lent`), which then says how long it stays open; a logon
takes such an opening over. The record says how far
it came (`record`): the next process goes on there, an open volume stays open, a lock that was begun is
made again. How the steps go is in `unlocking` and `locking`, when an open one has to be locked in `cutoff`.

It is a part with a crank and a thread of its own, for a lock must not wait for anybody: so it looks at the
time between any two steps, and never waits while the volume is open.
"""

import logging
from collections.abc import Callable, Sequence

from vrasnode.contact.problems import Denied
from vrasnode.errors import Refused, Unreachable, VrasError
from vrasnode.mydoc import cutoff, locking, standing
from vrasnode.mydoc.cutoff import Cut, Heard
from vrasnode.mydoc.lent import Standing
from vrasnode.mydoc.means import Means
from vrasnode.mydoc.openvolume import LOOK_S, OpenVolume
from vrasnode.mydoc.reading import LOGGED_ON, Readings
from vrasnode.mydoc.record import Ledger, Record
from vrasnode.mydoc.telling import Telling
from vrasnode.mydoc.troubles import DAMAGED, FINAL, PATIENT
from vrasnode.mydoc.unlocking import Shared, Steps, Unlocking
from vrasnode.wire.checkout import SESSION
from vrasnode.wire.mydoc import Custodian, VolumeReport, VolumeState, VolumeWish

log = logging.getLogger("vrasnode.mydoc")

TRIES = 4
FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 15.0
HEARD_EVERY_S = 15.0  # how often it is kept when the server was heard


class UserVolume:
    """The part. `is_alone`: whether no other volume of the PC is open; `share_for` names its share; `changed`
    is called when there is something to report, `wake` when there is something to do, from any thread."""

    def __init__(
        self,
        volume: str,
        *,
        ledger: Ledger,
        means: Means,
        is_alone: Callable[[], bool],
        share_for: Callable[[str], str],
        changed: Callable[[], None],
        wake: Callable[[], None],
    ) -> None:
        self.name = f"volume {volume[:8]}"
        self.volume = volume
        self._ledger = ledger
        self._means = means
        self._is_alone = is_alone
        self._share_for = share_for
        self._changed = changed
        self._wake = wake
        self._wish: VolumeWish | None = None
        self._heard = False  # whether anything was told yet: silence at the start says nothing
        self._custodians: list[Custodian] = []
        self._trouble: VrasError | None = None
        self._refused = ""  # a logon that was not accepted
        self._server_at = ledger.record.heard_at
        self._opening: Steps[Shared] | None = None
        self._open: OpenVolume | None = None
        self._telling = Telling(means.housing, server=means.server, wake=wake, clock=means.clock)
        self._not_before = self._look_at = float("-inf")
        self._tries = 0
        self._told: VolumeReport | None = None
        self.readings = Readings(volume, means=means, wake=wake)

    @property
    def record(self) -> Record:
        return self._ledger.record

    @property
    def state(self) -> VolumeState:
        """How it stands now."""
        return standing.state_of(self.record, exists=lambda: self._means.volumes.exists(self.volume))

    @property
    def owner(self) -> str:
        return self._wish.owner if self._wish else ""

    def report(self) -> VolumeReport:
        """The same for the server, and for people. May be called from any thread."""
        record, state = self.record, self.state
        return standing.report(
            self.volume, record, state, opened=self._open, trouble=self._trouble, refused=self._refused
        )

    @property
    def standing(self) -> Standing:
        """How it stands, for whoever lends usage keys. From any thread."""
        return standing.lent(self.record, self.state, trouble=self._trouble)

    def tell(self, wish: VolumeWish | None, custodians: Sequence[Custodian] = ()) -> None:
        """What the server says now; None: nothing any more. From any thread."""
        self._custodians = list(custodians)
        if wish != self._wish or not self._heard:
            self._wish, self._heard = wish, True
            self._wake()

    def step(self) -> bool:
        """One bite; whether there is more to do at once."""
        self._telling.step_closed()
        more = self._step()
        if (told := self.report()) != self._told:
            self._told = told
            self._changed()
        return more

    def close(self) -> None:
        """What is open stays open."""
        if self._opening:
            self._opening.close()
            self._opening = None

    @property
    def may_be_read(self) -> bool:
        """Whether it is locked, whole, and nobody is about to open it. From any thread."""
        return self.state is VolumeState.LOCKED and not self.record.held and not self._is_wanted()

    def _step(self) -> bool:
        if self.record.locking:
            return self._lock()
        if self.record.reading:
            return self._read()
        if not self.record.session:
            return self._look_at_wish() or self._begin_reading()
        self._take_new_logon()
        cut = self._must_lock()
        if cut:
            return self._begin_lock(cut)
        return self._watch() if self.record.program else self._go_on()

    def _look_at_wish(self) -> bool:
        wish = self._wish
        opening = self._means.lent.wanted(self.volume) if wish is not None else ""
        if opening and self._take_opening(opening):
            return True
        if wish is None or wish.session in ("", self.record.ended, self._refused):
            return False
        refusal = self._refusal(wish)
        if refusal is not None:
            self._refused, self._trouble = wish.session, refusal
            log.warning("%s is not opened: %s", self.volume, refusal)
            return False
        self._accept(wish.session)
        log.info("%s: %s has logged on", self.volume, wish.owner_name)
        return True

    def _is_wanted(self) -> bool:
        """Whether somebody is about to use it, by a logon or a usage key."""
        session, opening = self._wish.session if self._wish else "", self._means.lent.wanted(self.volume)
        over = ("", self.record.ended, self._refused)
        return session not in over or f"{SESSION}{opening}" not in (SESSION, self.record.ended)

    def _begin_reading(self) -> bool:
        allowed = self.state is VolumeState.LOCKED and self._means.blocked is None
        reading = self.readings.take(allowed=allowed)
        if reading is None:
            return False
        self._ledger.keep(reading=reading.run, boot_id=self._means.boot_id, since=self._means.now())
        log.info("%s: opened to be read for its replica", self.volume)
        return True

    def _read(self) -> bool:
        """While a replica reads it; nothing goes on of an agent that was killed meanwhile."""
        reading = self.readings.now
        if reading is None or self.record.boot_id != self._means.boot_id:
            return self._begin_lock(Cut.MACHINE_OFF)
        if not self._means.is_welcome() or (self._heard and self._wish is None):
            return self._begin_lock(Cut.SERVER_SAID)
        reason = LOGGED_ON if self._is_wanted() else reading.must_end()
        return self._begin_lock(reason) if reason else reading.step()

    def _take_opening(self, opening: str) -> bool:
        """Its user has entered the PIN. A volume that the server could not recover is not used."""
        if self.record.ended == f"{SESSION}{opening}" or not self.record.deposited:
            return False
        if self._means.blocked is not None or not self._means.volumes.exists(self.volume):
            return False
        self._accept(f"{SESSION}{opening}", lease=opening)
        log.info("%s: is opened under usage key %s", self.volume, opening)
        return True

    def _accept(self, session: str, *, lease: str = "") -> None:
        self._server_at = self._means.heard_at()
        self._ledger.keep(
            session=session,
            lease=lease,
            boot_id=self._means.boot_id,
            heard_at=max(0.0, self._server_at),
            keyed="",
            program="",
            broken=False,
            code="",
            words="",
            since=self._means.now(),
        )
        self._trouble, self._tries, self._not_before, self._refused = None, 0, float("-inf"), ""

    def _refusal(self, wish: VolumeWish) -> VrasError | None:
        """Why this logon opens nothing. The nonce comes last, for it is good once."""
        if self._means.blocked is not None:
            return Refused(*self._means.blocked)
        if not self._means.knows(wish.nonce):
            return Refused("unknown_logon", "This logon did not happen at this PC just now. Log on again.")
        return None

    def _take_new_logon(self) -> None:
        """The same user has logged on again: the volume stays open, for the new logon, and the client VM is
        told anew where it is."""
        wish = self._wish
        if wish is None or wish.session in ("", self.record.session, self.record.ended, self._refused):
            return
        if self.record.boot_id != self._means.boot_id:
            return  # what was open is locked first
        if not self._means.knows(wish.nonce):
            self._refused = wish.session
            return
        self._stop_opening()
        self._accept(wish.session)
        log.info("%s: %s has logged on", self.volume, wish.owner_name)

    def _must_lock(self) -> str | None:
        """Judged by what was known the last time; only then is taken what is new: a PC that wakes after its
        time has to lock, though the server may have been heard again in the same moment."""
        # In this order, for another thread tells: what was heard is there once something was.
        heard, wish = self._heard, self._wish
        means, now = self._means, self._means.clock()
        if self.record.lease:
            why = means.lent.must_lock(self.record.lease) if means.is_welcome() else Cut.SERVER_SAID
            return why if self.record.boot_id == means.boot_id else Cut.MACHINE_OFF
        spoken = Heard(
            named=means.is_welcome()
            and (not heard or (wish is not None and wish.session == self.record.session)),
            same_boot=self.record.boot_id == means.boot_id,
            server_at=self._server_at,
            controller_at=means.controller_at(),
        )
        cut = cutoff.must_lock(spoken, now=now)
        if cut is None and cutoff.in_doubt(spoken, now=now):
            means.in_doubt()
        self._server_at = max(self._server_at, means.heard_at())
        if cut is None and self._server_at - self.record.heard_at >= HEARD_EVERY_S:
            self._ledger.note(heard_at=self._server_at)
        return cut

    def _go_on(self) -> bool:
        """Makes and opens it, by one step."""
        wish = self._wish
        if wish is None or self._means.clock() < self._not_before:
            return False
        if self._opening is None:
            self._opening = self._steps(wish)
        try:
            return next(self._opening)
        except StopIteration as ended:
            self._opening, self._trouble, self._tries = None, None, 0
            self._telling.begin(ended.value)
            log.info("%s: open", self.volume)
            return True
        except VrasError as error:
            self._opening = None
            return self._failed(error)

    def _steps(self, wish: VolumeWish) -> Steps[Shared]:
        means = self._means
        unlocking = Unlocking(
            volumes=means.volumes,
            halves=means.halves,
            keys=means.keys,
            housing=means.housing,
            client=means.client,
            wake=self._wake,
            clock=means.clock,
            lent=means.lent,
        )
        yield from unlocking.make(self._ledger, wish, self._custodians)
        yield True
        share = self.record.share or self._share_for(self.volume)
        return (yield from unlocking.open(self._ledger, wish, share=share))

    def _failed(self, error: VrasError) -> bool:
        """It cannot be opened: now, or by this logon."""
        if self._trouble is None or error.code != self._trouble.code:
            log.warning("%s: %s", self.volume, error)
        self._trouble = error
        self._tries += 1
        if isinstance(error, Denied):
            return self._begin_lock(error.code, error=error)
        patient = isinstance(error, Unreachable) or error.code in PATIENT
        if error.code in FINAL:
            # That a usage key's slot is gone says nothing of the volume.
            broken = error.code in DAMAGED and not (self.record.lease and error.code == "wrong_key")
            return self._begin_lock(error.code, error=error, broken=broken)
        if not patient and self._tries >= TRIES:
            return self._begin_lock(error.code, error=error, broken=True)
        wait_s = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2 ** min(self._tries - 1, 10))
        self._not_before = self._means.clock() + wait_s
        return False

    def _watch(self) -> bool:
        """Of an open volume."""
        wish, means = self._wish, self._means
        if wish is None:
            return False
        if self._open is None:
            self._open = OpenVolume(
                self.volume,
                program=self.record.program,
                housing=means.housing,
                wake=self._wake,
                clock=means.clock,
            )
        self._open.step(wish)
        lost = self._open.lost
        if not lost and not self.record.told and self._telling.shared is None:
            lost = "The client VM was not told before the agent ended."
        if not lost and means.clock() >= self._look_at:
            self._look_at = means.clock() + LOOK_S
            lost = "" if means.volumes.serving(self.volume) else "The volume's daemon has ended."
        if lost:
            log.warning("%s is opened again: %s", self.volume, lost)
            self._stop_opening()
            self._ledger.keep(program="")
            return True
        self._tell_client(wish)
        return False

    def _tell_client(self, wish: VolumeWish) -> None:
        """Until it knows where its documents are."""
        try:
            if self._telling.step(_account(wish)):
                self._trouble = None
                self._ledger.keep(told=True)
        except VrasError as error:
            self._trouble = error

    def _begin_lock(self, reason: str, *, error: VrasError | None = None, broken: bool = False) -> bool:
        self._ledger.note(
            locking=str(reason),
            broken=broken,
            code=error.code if error else "",
            words=error.words if error else "",
        )
        self._trouble, self._not_before = None, float("-inf")
        return True

    def _lock(self) -> bool:
        means, shared = self._means, self.record.share
        self.readings.end()
        if means.clock() < self._not_before:
            return False
        self._stop_opening()
        try:
            locking.lock_kept(
                self.volume,
                self._ledger,
                volumes=means.volumes,
                housing=means.housing,
                is_alone=self._is_alone,
                clock=means.clock,
                now=means.now,
            )
        except VrasError as error:
            if self._trouble is None or self._trouble.code != error.code:
                log.warning("%s is not locked yet: %s", self.volume, error)
            self._trouble, self._not_before = error, means.clock() + FIRST_WAIT_S
            return False
        self._trouble = None
        if shared:
            self._telling.say_closed(_account(self._wish) if self._wish else "")
        return True

    def _stop_opening(self) -> None:
        """What an earlier logon, or another run of the virtual server, had begun."""
        self.close()
        self._open = None
        self._telling.stop()


def _account(wish: VolumeWish) -> str:
    return wish.account or wish.owner_name
