"""Workgroup Desktop on the PC: makes the version that the server assigned to one machine ready to start.

assignment -> accepted -> fetching -> staged | failed

It decides what to write into the free slot and tells how far that is; the switch itself is `desktop`'s, or
`virtualserver`'s: each machine has slots, a slice and an object of this class to itself. Every step looks at
the pointer and the slice anew, so it does not matter where an earlier process was killed.
"""

import logging
import threading
from collections.abc import Callable
from datetime import datetime

from vrasnode.chunks import manifest
from vrasnode.chunks.manifest import Manifest
from vrasnode.errors import HostBroken, Refused, Unreachable, VrasError
from vrasnode.imaging.assembling import Progress
from vrasnode.imaging.fetching import Fetcher, Peers, Source
from vrasnode.imaging.slots import Slots
from vrasnode.imaging.staging import Work
from vrasnode.wire import codec
from vrasnode.wire.clients import ClientSlice
from vrasnode.wire.imaging import (
    SLICES,
    Assignment,
    DeliveryReport,
    DeliveryStage,
    Fetch,
    ImagingSlice,
    Machine,
)
from vrasnode.wire.signatures import Keyring, Role

log = logging.getLogger("vrasnode.imaging")

BITE_S = 0.2
REPORT_S = 1.0  # between reports of progress
SIGN_OF_LIFE_S = 30.0  # between reports while nothing moves
AGAIN_S = 30.0  # before an assignment that was refused is looked at again: clocks are set right
FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 60.0


class Imaging:
    """The part, for one `machine`. `clock` counts seconds and never goes back; `now` is the time of day that
    signatures are held against. `get_slice` gives the last slice of an app; `report` takes reports and
    whether to keep them over a kill; `look` asks for a look at the server soon."""

    new_work: type[Work] = Work

    def __init__(
        self,
        *,
        slots: Slots,
        source: Source,
        client_id: str,
        root_key: bytes,
        get_slice: Callable[[str], bytes | None],
        report: Callable[[DeliveryReport, bool], None],
        look: Callable[[], None],
        clock: Callable[[], float],
        now: Callable[[], datetime],
        threads: int,
        clones: bool,
        machine: Machine = Machine.CLIENT_VM,
        peers: Peers | None = None,
    ) -> None:
        self.name = "imaging" if machine is Machine.CLIENT_VM else f"imaging of the {machine}"
        self._machine = machine
        self._slots = slots
        self._source = source
        self._client_id = client_id
        self._root_key = root_key
        self._get_slice = get_slice
        self._report = report
        self._look = look
        self._clock = clock
        self._now = now
        self._threads = threads
        self._clones = clones
        self._peers = peers
        self._seen: tuple[bytes | None, bytes | None] = (None, None)
        self._read_again_at: float | None = None
        self._assignment: Assignment | None = None
        self._fetch: Fetch | None = None
        self._refused: int | None = None  # the last serial that was reported as refused
        self._work: Work | None = None
        self._wait_s = FIRST_WAIT_S
        self._not_before = clock()

    def step(self) -> bool:
        """One bite: reads the slice when it is new, then works on what it says. Whether there is more."""
        self._read_slice()
        assignment, fetch = self._assignment, self._fetch
        if assignment is None or fetch is None or not self._wanted(assignment):
            self._drop_work()
            return False
        if self._now() >= assignment.expires:
            self._seen = (None, None)  # looked at again, and refused
        if self._clock() < self._not_before or self._proving():
            return False
        return self._bite(assignment, fetch)

    def close(self) -> None:
        """Ends what is under way; the next process goes on with it."""
        self._drop_work()
        if self._peers:
            self._peers.close()

    def _read_slice(self) -> None:
        found = self._get_slice(SLICES[self._machine]), self._get_slice("clients")
        due = self._read_again_at is not None and self._clock() >= self._read_again_at
        if found == self._seen and not due:
            return
        self._seen = found
        self._read_again_at = self._clock() + AGAIN_S
        self._assignment = self._fetch = None
        if found[0] is not None and found[1] is not None:
            wish = codec.decode(found[0], ImagingSlice)
            if wish.withdrawn and self._slots.withdraw(wish.withdrawn):
                log.info("serial %d was called off before it was started", wish.withdrawn)
            own = codec.decode(found[1], ClientSlice)
            self._consider(wish, Keyring(self._root_key, own.keyring))
        self._read_again_at = None

    def _consider(self, wish: ImagingSlice, keyring: Keyring) -> None:
        """Takes an assignment over. Raises Refused for one that this PC must not follow."""
        if wish.assignment is None:
            return
        assignment = keyring.open(wish.assignment, Role.ASSIGNMENT, Assignment, at=self._now())
        try:
            self._check(assignment)
        except Refused as error:
            if self._refused != assignment.serial:
                self._refused = assignment.serial
                self._tell(assignment.serial, DeliveryStage.FAILED, error=error)
            raise
        boot = self._slots.boot
        if assignment.serial > boot.serial:
            self._drop_work()
            self._slots.accept(assignment)
            log.info("accepted %s (serial %d)", _title(assignment), assignment.serial)
        self._assignment, self._fetch = assignment, wish.fetch
        current = self._slots.boot.current
        if current and current.manifest == assignment.manifest and current.serial < assignment.serial:
            self._slots.keep(assignment)
            log.info("kept %s, which is there already", _title(assignment))

    def _check(self, assignment: Assignment) -> None:
        boot = self._slots.boot
        if assignment.client_id != self._client_id:
            raise Refused("not_ours", "The server sent an assignment that was made for another PC.")
        if assignment.machine is not self._machine:
            words = f"The server sent the {self._machine} an assignment made for the {assignment.machine}."
            raise Refused("wrong_machine", words)
        if assignment.serial < boot.serial:
            words = (
                f"Serial {assignment.serial} is older than {boot.serial}, which this PC has. Distribute anew."
            )
            raise Refused("lower_serial", words)
        if assignment.serial == boot.serial and assignment.manifest != boot.manifest:
            words = f"Serial {assignment.serial} named another version before. Distribute anew."
            raise Refused("serial_reused", words)
        if self._now() >= assignment.expires and self._wanted(assignment):
            words = f"The assignment expired on {assignment.expires:%F %R %Z}. Distribute anew."
            raise Refused("assignment_expired", words)

    def _wanted(self, assignment: Assignment) -> bool:
        """Whether there is anything left to do for it in the slots."""
        boot = self._slots.boot
        settled = {version.serial for version in (boot.current, boot.next) if version}
        if boot.failed:
            settled.add(boot.failed.serial)
        return assignment.serial not in settled

    def _proving(self) -> bool:
        """Whether the version before may still be needed: then its slot is not written."""
        boot = self._slots.boot
        return bool(boot.previous and boot.current and not boot.current.proven)

    def _bite(self, assignment: Assignment, fetch: Fetch) -> bool:
        try:
            if self._work is None:
                self._work = self._begin(assignment, fetch)
            self._work.fetcher.fetch = fetch
            more = self._work.bite(BITE_S)
            self._tell_progress(self._work)
            if self._work.ready:
                self._finish(self._work)
        except Unreachable as error:
            self._drop_work()
            self._pause(error)
            return False
        except (Refused, HostBroken) as error:
            self._give_up(assignment, error)
            return False
        return more

    def _begin(self, assignment: Assignment, fetch: Fetch) -> Work:
        stop = threading.Event()
        return self.new_work(
            assignment,
            slots=self._slots,
            fetcher=Fetcher(self._source, fetch, clock=self._clock, stop=stop, peers=self._peers),
            read=self._read_manifest,
            stop=stop,
            clock=self._clock,
            threads=self._threads,
            clones=self._clones,
        )

    def _read_manifest(self, data: bytes, assignment: Assignment) -> Manifest:
        """The manifest that the assignment names, signed by a publisher whom the installation vouches for."""
        own = codec.decode(self._seen[1] or b"", ClientSlice)
        found = manifest.read(data, Keyring(self._root_key, own.keyring), at=self._now())
        if found.digest != assignment.manifest or found.header.image != assignment.image:
            raise Refused("wrong_manifest", f"The server's manifest is not that of {_title(assignment)}.")
        return found

    def _finish(self, work: Work) -> None:
        self._wait_s = FIRST_WAIT_S
        self._tell(work.assignment.serial, DeliveryStage.STAGED, progress=work.progress)
        work.stage()  # after it was told: a kill in between lets it be told again, not forgotten
        log.info(
            "staged %s (%.1f MB fetched, %.1f s)",
            _title(work.assignment),
            work.progress.done_bytes / 1e6,
            self._clock() - work.begun,
        )
        self._work = None

    def _pause(self, error: Unreachable) -> None:
        log.info("waits %.0f s: %s", self._wait_s, error)
        if error.code == "fetch_gone":
            self._look()
        self._not_before = self._clock() + self._wait_s
        self._wait_s = min(2 * self._wait_s, LONGEST_WAIT_S)

    def _give_up(self, assignment: Assignment, error: VrasError) -> None:
        """What runs goes on running. Only a new serial is tried again."""
        progress = self._work.progress if self._work else Progress()
        slot = self._work.slot if self._work else None
        self._drop_work()
        if error.code == "disk_full" and slot:
            self._slots.drop_part(slot)  # the running machine needs the room more
        self._tell(assignment.serial, DeliveryStage.FAILED, progress=progress, error=error)
        self._slots.fail(assignment.serial, error)
        log.warning("gave up %s: %s", _title(assignment), error)

    def _drop_work(self) -> None:
        if self._work:
            self._work.close()
            self._work = None

    def _tell_progress(self, work: Work) -> None:
        if work.trouble and work.trouble is not work.told_trouble:
            work.told_trouble = work.trouble
            log.info("waits for the server: %s", work.trouble)
            if work.trouble.code == "fetch_gone":
                self._look()
        shown = (work.progress.done_bytes, work.progress.total_bytes, work.progress.refetched_chunks)
        since = self._clock() - work.told_at
        if (shown != work.told and since >= REPORT_S) or since >= SIGN_OF_LIFE_S:
            work.told, work.told_at = shown, self._clock()
            self._tell(work.assignment.serial, DeliveryStage.FETCHING, progress=work.progress)

    def _tell(
        self,
        serial: int,
        stage: DeliveryStage,
        *,
        progress: Progress | None = None,
        error: VrasError | None = None,
    ) -> None:
        progress = progress or Progress()
        message = DeliveryReport(
            serial=serial,
            stage=stage,
            done_bytes=progress.done_bytes,
            total_bytes=progress.total_bytes,
            peer_bytes=progress.peer_bytes,
            refetched_chunks=progress.refetched_chunks + self._slots.boot.spoiled,
            delta_bytes=progress.delta_bytes,
            broken_deltas=progress.broken_deltas,
            code=error.code if error else "",
            words=error.words if error else "",
        )
        self._report(message, stage is not DeliveryStage.FETCHING)


def _title(assignment: Assignment) -> str:
    return f"{assignment.image} v{assignment.number}"
