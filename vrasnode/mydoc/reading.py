"""A locked volume that is opened for a replica and nothing else: read-only, not shared, for a bounded time.

It is locked again, with its proof, when the copy is over, when somebody logs on, when its time is over, or
when the company's LAN is left: that is done by whoever has the volume (`uservolume`), in the usual order.
"""

import logging
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass

from vrasnode.errors import Unreachable, VrasError
from vrasnode.machines.controlchannel import Answer
from vrasnode.mydoc import cutoff
from vrasnode.mydoc.means import Means
from vrasnode.mydoc.naming import serial_of
from vrasnode.mydoc.unlocking import Steps
from vrasnode.sealing import lan_key

log = logging.getLogger("vrasnode.mydoc")

PING_S, OPEN_S = 30.0, 90.0
COPIED, LOGGED_ON, TIME_OVER, FAILED = "replica_ended", "logged_on", "replica_took_too_long", "not_readable"


@dataclass(frozen=True)
class Order:
    """For which run, by which half of the key, and until when (of `clock`). Holds a secret: never shown."""

    run: str
    server_half: bytes
    until: float

    def __repr__(self) -> str:
        return f"Order({self.run!r})"


class Reading:
    """One such time. `ready` once it can be read; `trouble` says why it cannot."""

    def __init__(self, volume: str, order: Order, *, means: Means, wake: Callable[[], None]) -> None:
        self.run = order.run
        self.ready = False
        self.over = False  # the copy needs it no more
        self.trouble: VrasError | None = None
        self._volume = volume
        self._order = order
        self._means = means
        self._wake = wake
        self._server_at = means.clock()
        self._steps: Steps[None] | None = self._open()

    def must_end(self) -> str:
        """Why it is to be locked again; "": not yet. As with an open volume it is judged by what was known
        the last time, before what is new is taken."""
        now = self._means.clock()
        left = now >= self._server_at + cutoff.LINK_S
        self._server_at = max(self._server_at, self._means.heard_at())
        if self.over:
            return COPIED
        if self.trouble is not None:
            return FAILED
        if now >= self._order.until:
            return TIME_OVER
        return cutoff.Cut.LEFT_THE_LAN.value if left else ""

    def step(self) -> bool:
        """Opens it, by one step; whether there is more to do at once."""
        if self._steps is None:
            return False
        try:
            return next(self._steps)
        except StopIteration:
            self._steps, self.ready = None, True
        except VrasError as error:
            log.warning("%s cannot be read for its replica: %s", self._volume, error)
            self._steps, self.trouble = None, error
        return True

    def close(self) -> None:
        if self._steps is not None:
            self._steps.close()
            self._steps = None

    def _open(self) -> Steps[None]:
        means, volume, serial = self._means, self._volume, serial_of(self._volume)
        try:
            key = lan_key(self._order.server_half, means.halves.make(volume), volume=volume)
        except ValueError as error:
            raise Unreachable("bad_half", f"The server's half of the key is none: {error}.") from error
        yield from self._wait(means.housing.begin("ping"), PING_S)
        socket = means.volumes.serve(volume, key, read_only=True)
        yield True
        means.housing.plug(volume, socket, read_only=True)
        asked = means.housing.begin(
            "volume_open", serial=serial, size_bytes=means.volumes.size(volume), read_only=True
        )
        yield from self._wait(asked, OPEN_S)

    def _wait(self, asked: "Future[Answer]", limit_s: float) -> Steps[None]:
        asked.add_done_callback(lambda _: self._wake())
        deadline = self._means.clock() + limit_s
        while not asked.done():
            if self._means.clock() > deadline:
                asked.cancel()
                raise Unreachable("service_silent", "The virtual server did not open the volume.")
            yield False
        asked.result()


class Readings:
    """The orders of one volume, and what has become of the last one; from any thread, but for what says that
    it is the volume's own."""

    def __init__(self, volume: str, *, means: Means, wake: Callable[[], None]) -> None:
        self._volume = volume
        self._means = means
        self._wake = wake
        self._order: Order | None = None
        self._now: Reading | None = None

    def ask(self, order: Order) -> None:
        """Opens it for a run of its replica, if it is locked."""
        self._order = order
        self._wake()

    def is_readable(self, run: str) -> bool:
        """Raises what went wrong, or Unreachable(volume_locked) when it is over."""
        order, reading = self._order, self._now
        if reading is not None and reading.run == run:
            if reading.trouble is not None:
                raise reading.trouble
            return reading.ready
        if order is not None and order.run == run:
            return False
        raise Unreachable("volume_locked", "The volume is locked.")

    def finish(self, run: str) -> None:
        """The copy needs it no more."""
        order, reading = self._order, self._now
        if order is not None and order.run == run:
            self._order = None
        if reading is not None and reading.run == run:
            reading.over = True
            self._wake()

    def take(self, *, allowed: bool) -> Reading | None:
        """What is to be opened now, by the volume's own thread; an order that is not allowed is over."""
        order = self._order
        if order is None:
            return None
        # In this order, for others look from other threads: never neither of both.
        self._now = Reading(self._volume, order, means=self._means, wake=self._wake) if allowed else None
        self._order = None
        return self._now

    @property
    def now(self) -> Reading | None:
        return self._now

    def end(self) -> None:
        """It is being locked, by the volume's own thread: nobody reads it any more."""
        reading, self._now = self._now, None
        if reading is not None:
            reading.close()
