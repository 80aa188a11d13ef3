"""One version being shared by this PC, from its first look at who takes part until nobody lacks anything.

Two threads take pieces from the server as the relay's credit allows, one runs the engine. When this PC has
all that it wants, it goes on giving for as long as others lack something: the agent needs it no more, and a
new distribution, the end of the process or `close` ends it.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from random import Random
from typing import Protocol

from vrasnode.errors import Refused, Unreachable, VrasError
from vrasnode.swarm.ahead import Ahead
from vrasnode.swarm.engine import Engine
from vrasnode.swarm.relay import Relay
from vrasnode.swarm.source import Source
from vrasnode.swarm.trust import Papers
from vrasnode.wire.swarm import MAX_CLAIM, PeerHello, SwarmAnswer, SwarmCall, SwarmTerms

log = logging.getLogger("vrasnode.swarm")

TAKERS = 2
CALL_S = 1.0  # between calls while there is nothing to take
LINGER_CALL_S = 5.0
BETWEEN_CREDITS_S = 0.01
CREDIT_S = 0.25  # between looks whether something may be taken, if the engine does not say so before
CURIOUS_S = 0.1  # at least, between calls to ask who somebody is
AFTER_ALL_S = 30.0  # to go on giving after the last one had everything: late joiners
FETCH_AGAIN_S = 0.5
STILL_S = 20.0  # without a new piece: then it is got without peers


class Tracker(Protocol):
    """The server: a `server.Server`."""

    def swarm(self, terms: SwarmTerms, call: SwarmCall) -> SwarmAnswer:
        """Raises Unreachable, Refused(not_joined, not_shared …)."""


@dataclass(frozen=True, kw_only=True)
class Shared:
    """What is shared: `pieces` by number; `have` and `want` as bitmaps. `fetch` gives pieces from the server,
    frame by frame; `take` holds a frame against its digest and keeps the chunk; `read` reads a chunk back."""

    base: str
    pieces: int
    have: int
    want: int
    max_piece_bytes: int
    directory: Path
    fetch: Callable[[list[int]], Iterator[tuple[int, bytes]]]
    take: Callable[[int, bytes, bool], bool]  # piece, frame, whether a peer sent it
    spoilt: Callable[[int], None]  # the server sent wrong bytes; may raise
    read: Callable[[int], bytes | None]
    release: Callable[[], None]  # nothing is read any more


@dataclass
class Counted:
    """Bytes of frames that came, by where from; peers that were left for wrong bytes."""

    server_bytes: int = 0
    peer_bytes: int = 0
    wrong: set[str] = field(default_factory=set)


class Session:
    """`terms` may be replaced while it runs: a new permission. `sends` says whether this PC may give now."""

    def __init__(
        self,
        shared: Shared,
        terms: SwarmTerms,
        *,
        tracker: Tracker,
        me: str,
        papers: Papers,
        sends: Callable[[], bool],
        now: Callable[[], datetime],
        clock: Callable[[], float] = time.monotonic,
        random: Random | None = None,
    ) -> None:
        """Raises OSError."""
        self.terms = terms
        self._shared = shared
        self._tracker = tracker
        self._sends = sends
        self._clock = clock
        self._server_bytes = 0
        self._closed = threading.Event()
        self._ended = threading.Event()
        self._moved = threading.Condition()
        self._taking = threading.Condition()
        self._credited = threading.Condition()
        self._takes = 0
        self._attached = True
        self._error: VrasError | None = None
        self._joined = False
        self._call_lock = threading.Lock()
        self._called_at = self._credited_at = float("-inf")
        self._revision = 0
        self._again: list[int] = []
        self._ahead = Ahead()
        self._told_wrong: set[str] = set()
        self._told_finished = False
        self._told_sends = True
        self._held_until = float("-inf")  # the server lets it wait for the others
        self._told_whole = False
        self._all_done_at: float | None = None
        self._left = 1
        self._source = Source(shared.directory, read=shared.read, compress=not shared.base)
        self._relay = Relay(
            shared.pieces,
            have=shared.have,
            want=shared.want,
            random=random or Random(),  # noqa: S311  (among equals)
            sends=sends(),
        )
        self._engine = Engine(
            self._relay,
            self._source,
            me=me,
            hello=PeerHello(swarm=terms.path, base=shared.base, pieces=shared.pieces),
            papers=papers,
            take=self._take_from_peer,
            max_piece_bytes=shared.max_piece_bytes,
            upload_bytes_s=terms.upload_bytes_s,
            dscp=terms.dscp,
            clock=clock,
            now=now,
        )
        self._moved_at = clock()
        names = ["swarm", *(f"swarm-take-{number}" for number in range(TAKERS))]
        runs = [self._run, *[self._keep_taking] * TAKERS]
        self._threads = [
            threading.Thread(target=run, name=name, daemon=True)
            for run, name in zip(runs, names, strict=True)
        ]

    @property
    def counted(self) -> Counted:
        return Counted(self._server_bytes, self._engine.peer_bytes, set(self._engine.wrong))

    @property
    def peers(self) -> int:
        return self._engine.peers

    def start(self) -> None:
        """Joins. Raises Unreachable, Refused: then nothing runs."""
        try:
            self._call()
        except VrasError:
            self._release()
            raise
        for thread in self._threads:
            thread.start()

    def wait(self, stop: threading.Event) -> None:
        """Returns when this PC has all that it wants, or `stop` is set.

        Raises what went wrong, and Unreachable(swarm_still) when nothing has come for long.
        """
        while not stop.is_set() and self._relay.lacks:
            if self._error:
                raise self._error
            if self._closed.is_set():
                raise Unreachable("swarm_ended", "Sharing ended before all was here.")
            if self._clock() - self._moved_at > STILL_S:
                raise Unreachable("swarm_still", "Nothing came from peers for a while.")
            with self._moved:
                self._moved.wait(0.1)

    def detach(self) -> None:
        """From now on nothing is written to the image; giving goes on if all is here."""
        with self._taking:
            self._attached = False
            self._taking.wait_for(lambda: not self._takes)
        if self._relay.lacks:
            self.close()

    def close(self) -> None:
        """Ends it. Safe to repeat."""
        self._closed.set()
        self._engine.wake()
        with self._moved:
            self._moved.notify_all()
        if self._threads[0].is_alive() and threading.current_thread() not in self._threads:
            self._ended.wait(5)

    def _run(self) -> None:
        try:
            while not self._closed.is_set():
                self._engine.step()
                self._credit()
                if not self._relay.lacks and not self._told_whole:
                    self._told_whole = True
                    with self._moved:
                        self._moved.notify_all()
        except VrasError as error:
            self._error = error
        finally:
            self._closed.set()
            self._release()
            self._ended.set()

    def _credit(self) -> None:
        """Tells those who take when something may be taken."""
        now = self._clock()
        if now - self._credited_at < BETWEEN_CREDITS_S:
            return
        self._credited_at = now
        with self._engine.lock:
            ahead = len(self._ahead)
            some = (self._left or ahead) and self._relay.lacks and self._relay.credit(now=now, ahead=ahead)
        if some or self._engine.curious or self._engine.wrong != self._told_wrong:
            with self._credited:
                self._credited.notify()

    def _release(self) -> None:
        self._engine.close()
        self._source.close()
        self._shared.release()

    def _keep_taking(self) -> None:
        try:
            while not self._closed.is_set():
                self._take_turn()
        except VrasError as error:
            self._error = error
            if self._relay.lacks:
                self._closed.set()
        finally:
            if self._closed.is_set():
                self._engine.wake()

    def _take_turn(self) -> None:
        """Takes what the credit allows, or waits a little."""
        try:
            pieces = self._again_or_new()
            if pieces:
                self._fetch(pieces)
                return
        except Unreachable as error:
            log.info("shares without the server: %s", error)
            self._closed.wait(FETCH_AGAIN_S)
        with self._credited:
            self._credited.wait(CREDIT_S)

    def _again_or_new(self) -> list[int]:
        with self._call_lock:
            if self._clock() < self._held_until:
                return []
            if self._again:
                pieces, self._again = self._again, []
                return pieces
            now = self._clock()
            with self._engine.lock:
                self._relay.sends = self._sends()
                credit = self._relay.credit(now=now, ahead=len(self._ahead)) if self._relay.lacks else 0
                lost = self._relay.lost(now=now, ahead=self._ahead)
                pieces = [] if lost else self._ahead.take(credit, have=self._relay.have)
                if pieces:
                    self._relay.taken(pieces, now=now)
                    return pieces
            if self._left == 0 and not lost:
                credit = 0
            since = now - self._called_at
            pause = CALL_S if self._relay.lacks else LINGER_CALL_S
            asked = self._engine.curious and since >= CURIOUS_S
            if credit or lost or since >= pause or asked or self._news_for_server():
                return self._call(credit=credit, lost=lost)
            return []

    def _news_for_server(self) -> bool:
        return self._engine.wrong != self._told_wrong or (not self._relay.lacks and not self._told_finished)

    def _call(self, *, credit: int = 0, lost: list[int] | None = None) -> list[int]:
        """Talks to the server; what this PC is to get now of what it was given."""
        wrong, finished = set(self._engine.wrong) - self._told_wrong, not self._relay.lacks
        sends = self._relay.sends
        joined = self._joined and sends == self._told_sends
        need = None if joined else _bitmap(self._relay.lacks, self._relay.pieces)
        call = SwarmCall(
            base=self._shared.base,
            port=self._engine.port,
            pieces=self._relay.pieces,
            need=need,
            want=self._wanted(credit),
            missing=lost or [],
            wrong=sorted(wrong),
            finished=finished,
            revision=self._revision if joined else 0,
            sends=sends,
        )
        self._called_at = self._clock()
        self._engine.curious = False  # whoever comes from now on may be unknown to the answer, too
        try:
            answer = self._tracker.swarm(self.terms, call)
        except Refused as error:
            if error.code == "not_joined":  # the server forgot: its memory is quick, not lasting
                self._joined = False
                return []
            raise
        if answer.hold_s:
            self._hold(answer.hold_s)
            return []
        self._joined, self._left, self._told_sends = True, answer.left, sends
        self._told_wrong |= wrong
        self._told_finished = finished
        return self._hear(answer, credit + len(lost or []))

    def _wanted(self, credit: int) -> int:
        pcs = 1 + len(self._relay.peers)
        room = self._ahead.room(left=self._left, pcs=pcs, now=self._clock())
        return min(max(credit, room), MAX_CLAIM) if credit else 0

    def _hold(self, hold_s: float) -> None:
        """Others found this PC's bytes wrong: it leaves them, and waits until they are done."""
        self._joined = False
        self._moved_at = self._clock()
        self._held_until = self._moved_at + hold_s
        self._engine.meet([], slot=0)

    def _hear(self, answer: SwarmAnswer, credit: int) -> list[int]:
        now = self._clock()
        with self._engine.lock:
            pieces = self._ahead.put(answer.take, credit=credit, now=now)
            self._relay.taken(pieces, now=now)
            self._relay.frontier(answer.frontier, now=now, ahead=len(self._ahead))
        if answer.members is not None:
            self._revision = answer.revision
            self._engine.meet(answer.members, slot=answer.slot)
        if self._relay.lacks or answer.unfinished:
            self._all_done_at = None
        elif self._all_done_at is None:
            self._all_done_at = now
        elif now - self._all_done_at > AFTER_ALL_S:
            self._closed.set()
            self._engine.wake()
        return pieces

    def _fetch(self, pieces: list[int]) -> None:
        here: set[int] = set()
        try:
            for piece in pieces:
                if self._relay.have >> piece & 1:  # from the version before: nobody needs to send it here
                    self._arrived(piece, None)
                    here.add(piece)
            wanted = [piece for piece in pieces if piece not in here]
            for piece, frame in self._shared.fetch(wanted) if wanted else ():
                if not self._take(piece, frame, False):
                    self._shared.spoilt(piece)
                    if self._shared.base:  # the plain frame is got in another way
                        here.add(piece)
                        with self._engine.lock:
                            self._relay.unwant(piece)
                    continue
                with self._moved:
                    self._server_bytes += len(frame)
                self._arrived(piece, frame)
                here.add(piece)
        finally:
            if left := [piece for piece in pieces if piece not in here]:
                self._again += left
                self._closed.wait(FETCH_AGAIN_S)

    def _arrived(self, piece: int, frame: bytes | None) -> None:
        if frame is None:
            with self._engine.lock:
                self._relay.fetched(piece, now=self._clock())
            self._engine.wake()
        else:
            self._moved_at = self._clock()
            self._engine.fetched(piece, frame)

    def _take_from_peer(self, piece: int, frame: bytes) -> bool:
        right = self._take(piece, frame, True)
        if right:
            self._moved_at = self._clock()
        return right

    def _take(self, piece: int, frame: bytes, from_peer: bool) -> bool:
        with self._taking:
            if not self._attached:
                raise Unreachable("stopped", "The transfer was stopped.")
            self._takes += 1
        try:
            return self._shared.take(piece, frame, from_peer)
        finally:
            with self._taking:
                self._takes -= 1
                self._taking.notify_all()


def _bitmap(mask: int, pieces: int) -> bytes:
    return mask.to_bytes(-(-pieces // 8), "little")
