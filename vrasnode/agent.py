"""The crank: gives each part its bite, again and again.

One broken part does not stop the others. An error that a person can act on is logged when it comes and when
it is over; anything else is a bug of ours and is logged with its stack, each time it changes.
"""

import logging
import threading
from collections.abc import Sequence
from typing import Protocol

from vrasnode.errors import VrasError

log = logging.getLogger("vrasnode.agent")

TICK_S = 1.0


class Part(Protocol):
    name: str

    def step(self) -> bool:
        """One bite; whether there is more to do at once."""

    def close(self) -> None:
        """Lets go of what is under way."""


class Agent:
    """Turns until `stop` is set. With nothing to do it sleeps until `wake` is set, or for a tick."""

    def __init__(
        self, parts: Sequence[Part], *, wake: threading.Event, stop: threading.Event, tick_s: float = TICK_S
    ) -> None:
        self.parts = parts
        self._wake = wake
        self._stop = stop
        self._tick_s = tick_s
        self._troubles: dict[str, str] = {}

    def run(self) -> None:
        """Until stopped. The machines run on."""
        try:
            while not self._stop.is_set():
                self._wake.clear()
                if not self.turn():
                    self._wake.wait(self._tick_s)
        finally:
            for part in self.parts:
                part.close()

    def turn(self) -> bool:
        """A bite for every part; whether any has more."""
        steps = [self._step(part) for part in self.parts]  # all of them, then ask
        return any(steps)

    def _step(self, part: Part) -> bool:
        try:
            more = part.step()
        except VrasError as error:
            if self._is_new(part, error.code):
                log.warning("%s: %s", part.name, error)
            return False
        except Exception as error:  # the one broad except: a bug in one part must not stop the others
            if self._is_new(part, repr(error)):
                log.exception("%s: a bug of ours", part.name)
            return False
        if self._troubles.pop(part.name, None):
            log.info("%s: goes on", part.name)
        return more

    def _is_new(self, part: Part, trouble: str) -> bool:
        known = self._troubles.get(part.name)
        self._troubles[part.name] = trouble
        return known != trouble
