"""This PC's side of the conversation: when to look, to say that it lives, to send reports, to renew.

A part like the others: each step does what is due. The socket only wakes; without it the PC polls. While the
server does not answer, everything waits together and is tried again, more and more seldom.
"""

import logging
import random
import threading
from collections.abc import Callable
from datetime import datetime

import vrasnode
from vrasnode.contact.identity import Identity
from vrasnode.contact.outbox import NOT_WELCOME, Outbox
from vrasnode.contact.server import Server
from vrasnode.contact.slices import Slices
from vrasnode.errors import Refused, Unreachable, VrasError
from vrasnode.wire import codec
from vrasnode.wire.clients import ClientSlice, ClientState, FactsReport, Heartbeat, HostFacts, RenewRequest
from vrasnode.wire.signatures import MAX_SKEW_S

log = logging.getLogger("vrasnode.contact")

FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 30.0
POLL_S = 30.0  # until the server says another
CERTIFICATE_S = 5.0  # between questions whether this PC was approved
RENEWAL_S = 600.0  # between tries
REVOKED_S = 60.0
URGENT_S, URGENT_WAIT_S = 15.0, 4.0  # while user data is open: between heartbeats, and between tries


class Contact:
    """The part. `clock` counts seconds and never goes back, `now` is the time of day, `chance` gives numbers
    from 0 to 1; `wake` is set when a nudge comes. `get_summary` says what the client VM does and runs,
    `get_service` what the virtual server does. `is_urgent`: something here hangs on the server's being heard,
    so it is asked more often; `heard_at` says when that was asked which it answered last, in the seconds of
    `since_start`, which count while the PC sleeps."""

    name = "contact"

    def __init__(
        self,
        *,
        server: Server,
        identity: Identity,
        slices: Slices,
        outbox: Outbox,
        get_summary: Callable[[], tuple[str, str | None]],
        get_service: Callable[[], str] = lambda: "",
        get_facts: Callable[[], HostFacts],
        boot_id: str,
        get_uptime_s: Callable[[], int],
        wake: threading.Event,
        clock: Callable[[], float],
        now: Callable[[], datetime],
        since_start: Callable[[], float] | None = None,
        is_urgent: Callable[[], bool] = lambda: False,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._server = server
        self._since_start = since_start or clock
        self._is_urgent = is_urgent
        self._identity = identity
        self._slices = slices
        self._outbox = outbox
        self._get_summary = get_summary
        self._get_service = get_service
        self._get_facts = get_facts
        self._boot_id = boot_id
        self._get_uptime_s = get_uptime_s
        self._clock = clock
        self._now = now
        self._chance = chance
        self._look = threading.Event()
        self._look.set()
        self._look_word: str | None = None
        self._nudges = Nudges(server, self._look, wake, chance=chance)
        self._poll_s = POLL_S
        self._summary: tuple[str, str | None, str] | None = None
        self._facts_told = False
        self._reachable = True
        self.last_answer: datetime | None = None
        self.heard_at = float("-inf")
        self._wait_s = FIRST_WAIT_S
        start = clock()
        self._not_before = self._look_at = self._beat_at = self._renew_at = self._beaten_at = start

    @property
    def reachable(self) -> bool:
        """Whether the server answered when it was last asked."""
        return self._reachable and self.last_answer is not None

    @property
    def clock_off_s(self) -> int:
        """The server's clock less this PC's, as long as that is more than signatures and logons bear; else 0.
        From any thread."""
        off_s = round(self._server.clock_offset_s)
        return off_s if abs(off_s) > MAX_SKEW_S else 0

    def tell_facts(self) -> None:
        """What the PC says of itself has changed: the next step tells it. From any thread."""
        self._facts_told = False

    def look_soon(self) -> None:
        """The next step asks the server what this PC should be."""
        self._look.set()

    def step(self) -> bool:
        """Does what is due; never more to do at once. Raises Refused for what an administrator has to see."""
        if self._clock() < self._not_before:
            return False
        try:
            if self._identity.approved:
                self._talk()
            else:
                self._ask_for_certificate()
            self._answered()
        except Unreachable as error:
            self._unanswered(error)
        except Refused as error:
            if error.code not in NOT_WELCOME:
                self._not_before = self._clock() + self._jittered(self._poll_s)
                raise
            self._unwelcome(error)
        return False

    def close(self) -> None:
        """Ends the socket. What is in the outbox is on the disk."""
        self._nudges.stop.set()
        self._server.close()

    def _talk(self) -> None:
        self._nudges.start_once()
        if self._identity.wants_renewal(self._now()) and self._clock() >= self._renew_at:
            self._renew()
        hurried = self._is_urgent() and self._clock() >= self._beaten_at + URGENT_S
        if hurried or self._clock() >= self._beat_at or self._look_inside() != self._summary:
            self._beat()
        if not self._nudges.connected and self._clock() >= self._look_at:
            self._look.set()
        if self._look.is_set():
            self._look_now()
        self._outbox.send(self._server.report)
        if not self._facts_told:
            self._facts_told = True  # before they are read: what changes meanwhile is told again
            try:
                self._server.report("clients", codec.encode(FactsReport(facts=self._get_facts())))
            except VrasError:
                self._facts_told = False
                raise

    def _look_now(self) -> None:
        self._look.clear()
        asked_at = self._since_start()
        try:
            found = self._server.desired(self._slices.revision)
            self.heard_at = asked_at
        except VrasError:
            self._look.set()
            raise
        if found:
            changed = self._slices.keep(*found)
            log.info("has a new desired state: %s", ", ".join(sorted(changed)) or "nothing of it is new")
        own = self._slices.get("clients")
        if own:
            self._poll_s = codec.decode(own, ClientSlice).poll_s
        self._look_at = self._clock() + self._jittered(self._poll_s)

    def _beat(self) -> None:
        self._summary = desktop, version, virtual_server = self._look_inside()
        beat = Heartbeat(
            agent_version=vrasnode.__version__,
            boot_id=self._boot_id,
            uptime_s=self._get_uptime_s(),
            desktop=desktop,
            version=version,
            virtual_server=virtual_server,
            clock_off_s=self.clock_off_s,
        )
        asked_at = self._since_start()
        answer = self._server.heartbeat(beat)
        self.heard_at, self._beaten_at = asked_at, self._clock()
        self._beat_at = self._clock() + max(1.0, self._jittered(answer.interval_s))
        if answer.look != self._look_word:
            self._look_word = answer.look
            self._look.set()

    def _look_inside(self) -> tuple[str, str | None, str]:
        return *self._get_summary(), self._get_service()

    def _ask_for_certificate(self) -> None:
        answer, again_s = self._server.certificate()
        state = self._identity.enrolment.state if self._identity.enrolment else None
        self._identity.take(answer)
        if answer.state is not state:
            log.info("is %s by the server", answer.state)
        if not self._identity.approved:
            self._not_before = self._clock() + self._jittered(again_s or CERTIFICATE_S)

    def _renew(self) -> None:
        self._renew_at = self._clock() + RENEWAL_S
        self._identity.take(self._server.renew(RenewRequest(csr=self._identity.certificate_request())))
        log.info("has a new certificate")

    def _answered(self) -> None:
        self.last_answer = self._now()
        self._wait_s = FIRST_WAIT_S
        if not self._reachable:
            self._reachable = True
            log.info("the server answers again")

    def _unanswered(self, error: Unreachable) -> None:
        if self._reachable:
            self._reachable = False
            log.warning("%s", error)
        self._not_before = self._clock() + self._jittered(self._wait_s)
        longest_s = URGENT_WAIT_S if self._is_urgent() else LONGEST_WAIT_S
        self._wait_s = min(2 * self._wait_s, longest_s)

    def _unwelcome(self, error: Refused) -> None:
        """What runs goes on running; the server's word holds for what it gives."""
        enrolment = self._identity.enrolment
        gone = {"pending": ClientState.PENDING, "lost": ClientState.LOST}.get(error.code, ClientState.REVOKED)
        if enrolment and enrolment.state is not gone:
            log.warning("%s", error)
            self._identity.demote(gone)
        self._not_before = self._clock() + self._jittered(REVOKED_S)

    def _jittered(self, seconds: float) -> float:
        return seconds * (0.8 + 0.4 * self._chance())


class Nudges:
    """Holds the server's socket in a thread of its own, and sets `look` and `wake` when it speaks."""

    def __init__(
        self, server: Server, look: threading.Event, wake: threading.Event, *, chance: Callable[[], float]
    ) -> None:
        self.connected = False
        self.stop = threading.Event()
        self._server = server
        self._look = look
        self._wake = wake
        self._chance = chance
        self._thread: threading.Thread | None = None

    def start_once(self) -> None:
        """Begins to listen, if it does not yet."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._listen, name="nudges", daemon=True)
            self._thread.start()

    def _listen(self) -> None:
        wait_s = FIRST_WAIT_S
        while not self.stop.is_set():
            try:
                self._server.listen(self._heard, stop=self.stop)
            except VrasError as error:
                log.debug("%s", error)
            finally:
                wait_s = FIRST_WAIT_S if self.connected else min(2 * wait_s, LONGEST_WAIT_S)
                self.connected = False
            self.stop.wait(wait_s * (0.8 + 0.4 * self._chance()))

    def _heard(self) -> None:
        self.connected = True
        self._look.set()
        self._wake.set()
