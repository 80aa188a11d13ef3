"""Replicas of user data: begins what is due, and says how far it has come.

The part never waits: one run at a time, in a thread of its own (`running`), the copying itself inside the
virtual server. What it needs comes from the server sealed for this run, goes to the virtual server, and is
written nowhere. What is due, in this order: what the end of the PC's day waits for; what the server's slice
names; what somebody asked for on this PC; what was cut off. A volume that is locked is opened, read-only, for
nothing but a run that was cut off, and if the server permits it.

For others on this PC, offline too: `copied_since` says whether all that lay in a volume at some moment has
been copied; `begin` asks for a run now (after an offsite period, say, before anything else is done with it).
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from datetime import datetime

from vrasnode.aside import aside
from vrasnode.contact.outbox import Outbox
from vrasnode.copies.log import CopiedLog
from vrasnode.copies.running import CopyRun, Due, Reader, Server
from vrasnode.errors import Refused, Unreachable, VrasError
from vrasnode.mydoc.housing import Housing
from vrasnode.mydoc.naming import is_volume
from vrasnode.wire import codec
from vrasnode.wire.replication import (
    Occasion,
    ReplicationReport,
    ReplicationSlice,
    ReplicationWish,
    RunReport,
    RunState,
)

log = logging.getLogger("vrasnode.replication")

SLICE = "replication"
NOTHING = ReplicationSlice(volumes=[])
TELL_S = 10.0  # between words of a run that is under way
AGAIN_S = 60.0  # when the server gives no key now
HURRIED_AGAIN_S = 5.0  # the same, while somebody waits
BUSY = "gateway_busy"


class Replication:
    """The part. `is_ready`: whether the virtual server is there; `wake` wakes the agent, from any thread;
    `clock` counts seconds and never goes back."""

    name = SLICE

    def __init__(
        self,
        *,
        server: Server,
        housing: Housing,
        reader: Reader,
        is_ready: Callable[[], bool],
        copied: CopiedLog,
        get_slice: Callable[[str], bytes | None],
        outbox: Outbox,
        wake: Callable[[], None],
        now: Callable[[], datetime],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._server = server
        self._housing = housing
        self._reader = reader
        self._is_ready = is_ready
        self._copied = copied
        self._get_slice = get_slice
        self._outbox = outbox
        self._wake = wake
        self._clock = clock
        self._now = now
        self._slice: bytes | None = None
        self._said = NOTHING
        self._ended: set[str] = set()
        self._asked: dict[str, Occasion] = {}  # on this PC
        self._not_before = clock()
        self._tell_at = clock()
        self._progress: RunReport | None = None
        self._last: dict[str, RunReport] = {}
        self._due: Due | None = None
        self._job: Future[RunReport | None] | None = None
        self._stop = threading.Event()
        self._leave = threading.Event()
        self._why = ""
        self._left = False

    @property
    def said(self) -> ReplicationSlice:
        """The server's last word on replicas."""
        return self._said

    @property
    def progress(self) -> RunReport | None:
        """Of the run that is under way. From any thread."""
        return self._progress

    @property
    def enabled(self) -> bool:
        """Whether there is somewhere to copy to."""
        return bool(self._said.gateway)

    def last(self, volume: str) -> RunReport | None:
        """How the last run of this volume ended, as far as this process knows. From any thread."""
        return self._last.get(volume)

    def copied_at(self, volume: str) -> datetime | None:
        """All that was written before is in the last copy that ended well. From any thread."""
        return self._copied.of(volume).copied_at

    def copied_since(self, volume: str, since: datetime) -> bool:
        """Whether all that lay in the volume at `since` has been copied: a run that was begun then or later
        has ended well. Known by this PC alone, so offline too. From any thread; compare with the time of the
        server (`Contact`), as runs do."""
        return self._copied.copied_since(volume, since)

    def begin(self, volume: str, occasion: Occasion = Occasion.BY_HAND) -> bool:
        """Asks for a run now, if the volume is one that is copied; it begins when the volume is open and no
        other run is under way. From any thread; look at `waits_for`, then at `copied_since`."""
        if not self.enabled or volume not in {wish.volume for wish in self._said.volumes}:
            return False
        self._asked.setdefault(volume, occasion)
        self._not_before = min(self._not_before, self._clock())
        self._wake()
        return True

    def waits_for(self, volume: str) -> bool:
        """Whether a run that was asked for here has not ended yet. From any thread."""
        return volume in self._asked

    def leave(self, why: str) -> None:
        """The PC is about to go off: what is under way is cut off, for this reason (a code), and goes
        on after the next start; nothing else is begun before that. From any thread."""
        self._left, self._asked = True, {}
        if self._job is not None:
            self._why = why
            self._leave.set()

    @property
    def under_way(self) -> bool:
        """From any thread."""
        return self._job is not None

    def step(self) -> bool:
        """Raises Refused(bad_message) for a slice that cannot be read: what it said before holds."""
        data = self._get_slice(SLICE)
        if data is not None and data is not self._slice:
            self._slice = data
            self._said = codec.decode(data, ReplicationSlice)
            self._ended &= {wish.run for wish in self._said.volumes}
        if self._job is not None:
            self._look_at(self._job)
        elif self._clock() >= self._not_before and not self._left and self._is_ready():
            self._begin()
        return False

    def close(self) -> None:
        """What is under way in the virtual server goes on; whoever comes next finds it."""
        self._stop.set()

    def _begin(self) -> None:
        due = next(self._what_is_due(), None)
        if due is None:
            return
        self._leave.clear()
        self._due = due
        run = CopyRun(
            due=due,
            said=self._said,
            server=self._server,
            housing=self._housing,
            reader=self._reader,
            stop=self._stop,
            leave=self._leave,
            why=lambda: self._why,
            begun=lambda name: self._copied.begin(due.volume, name, at=self._now()),
            progress=self._note,
            now=self._now,
        )
        self._job = aside(run.copy, name="replication", done=self._wake)

    def _what_is_due(self) -> Iterator[Due]:
        wishes = {wish.volume: wish for wish in self._said.volumes if is_volume(wish.volume)}
        if not self.enabled:
            return
        for volume, occasion in list(self._asked.items()):
            if volume in wishes and self._reader.is_open(volume):
                yield _due(wishes[volume], occasion)
        for wish in wishes.values():
            if wish.run and wish.run not in self._ended and self._is_time_for(wish):
                if self._reader.is_open(wish.volume):
                    yield _due(wish, wish.occasion)
                elif self._may_be_read(wish):
                    yield _due(wish, wish.occasion, locked=True)
        for volume, run in self._copied.unfinished.items():
            if volume in wishes and not wishes[volume].run and run not in self._ended:
                if self._reader.is_open(volume):
                    yield _due(wishes[volume], Occasion.RESUME)
                elif self._reader.is_locked(volume):
                    yield _due(wishes[volume], Occasion.RESUME, locked=True)

    def _is_time_for(self, wish: ReplicationWish) -> bool:
        return wish.not_before is None or wish.not_before <= self._now()

    def _may_be_read(self, wish: ReplicationWish) -> bool:
        """A run that was cut off, of a volume that nobody uses."""
        cut_off = wish.occasion is Occasion.RESUME or self._copied.of(wish.volume).unfinished == wish.run
        return cut_off and self._reader.is_locked(wish.volume)

    def _look_at(self, job: "Future[RunReport | None]") -> None:
        if not job.done():
            if self._progress is not None and self._clock() >= self._tell_at:
                self._tell_at = self._clock() + TELL_S
                self._tell(self._progress, keep=False)
            return
        due, self._job, self._progress = self._due, None, None
        if due is None:
            raise ValueError("a run of nothing")
        try:
            ended = job.result()
        except VrasError as error:
            self._not_begun(due, error)
            return
        if ended is not None:
            self._over(ended)

    def _not_begun(self, due: Due, error: VrasError) -> None:
        log.info("no key to copy %s: %s", due.volume, error)
        waited_for = due.volume in self._asked
        if isinstance(error, Refused) and error.code != BUSY and not isinstance(error, Unreachable):
            self._asked.pop(due.volume, None)
            if error.code == "no_such_run":
                self._copied.end(due.volume, well=False)
        soon = waited_for or error.code == "volume_open"  # its lock is on its way to the server
        self._not_before = self._clock() + (HURRIED_AGAIN_S if soon else AGAIN_S)

    def _over(self, ended: RunReport) -> None:
        self._ended.add(ended.run)
        self._asked.pop(ended.volume, None)
        self._last = {**self._last, ended.volume: ended}
        if ended.state is RunState.CUT_OFF:
            self._not_before = self._clock() + AGAIN_S
        else:
            self._copied.end(ended.volume, well=ended.state is RunState.DONE)
        self._tell(ended, keep=True)

    def _note(self, report: RunReport) -> None:
        self._progress = report
        self._wake()

    def _tell(self, run: RunReport, *, keep: bool) -> None:
        self._outbox.put(SLICE, run.run, ReplicationReport(runs=[run]), keep=keep)


def _due(wish: ReplicationWish, occasion: Occasion, *, locked: bool = False) -> Due:
    return Due(wish.volume, wish.run, occasion, wish.slice_bytes, locked)
