"""One crank for many agents: a few threads give each agent its turn when it is due or woken.

What an agent does in a turn is its own; here is only when. An agent that has more to do at once comes again
behind the others, so none of them holds the threads for longer than one turn.
"""

import heapq
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count

from vrasnode.agent import TICK_S, Agent

_turning = threading.local()


class Wake(threading.Event):
    """An agent's wake that is felt by the crank as well."""

    def __init__(self) -> None:
        super().__init__()
        self.felt: Callable[[], None] = lambda: None

    def set(self) -> None:
        super().set()
        self.felt()


class Crank:
    """Turns agents, each with its Wake, until `stop`. `clock` counts seconds and never goes back."""

    def __init__(self, *, threads: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._threads = threads
        self._clock = clock
        self._lock = threading.Condition()
        self._order = count()
        self._due: list[tuple[float, int, _Turned]] = []
        self._stopped = False

    def run(self, agents: Sequence[tuple[str, Agent, Wake]]) -> None:
        """Returns after `stop`, when every part of every agent has let go."""
        for place, (name, agent, wake) in enumerate(agents):
            turned = _Turned(name, agent, wake)
            wake.felt = self._feeler(turned)
            with self._lock:
                # Spread over one tick, as PCs that were switched on at different times are.
                self._put(turned, self._clock() + TICK_S * place / len(agents))
        with ThreadPoolExecutor(self._threads, "crank") as pool:
            working = [pool.submit(self._work) for _ in range(self._threads)]
            closing = [pool.submit(_close, agent) for _, agent, _ in agents]
        for ended in (*working, *closing):
            ended.result()

    def stop(self) -> None:
        """No agent gets another turn. May be called from a signal handler's thread."""
        with self._lock:
            self._stopped = True
            self._lock.notify_all()

    def _work(self) -> None:
        while turned := self._next():
            with _named(turned.name):
                turned.wake.clear()
                more = turned.agent.turn()
            with self._lock:
                turned.busy = False
                at_once = more or turned.wake.is_set()
                self._put(turned, self._clock() + (0.0 if at_once else TICK_S))

    def _next(self) -> "_Turned | None":
        """The agent that is due first, as soon as it is. None: stopped."""
        with self._lock:
            while not self._stopped:
                if self._due and self._due[0][0] <= self._clock():
                    at, _, turned = heapq.heappop(self._due)
                    if turned.at != at or turned.busy:
                        continue  # it was woken meanwhile
                    turned.busy = True
                    return turned
                self._lock.wait(self._due[0][0] - self._clock() if self._due else None)
        return None

    def _put(self, turned: "_Turned", at: float) -> None:
        turned.at = at
        heapq.heappush(self._due, (at, next(self._order), turned))
        self._lock.notify()

    def _feeler(self, turned: "_Turned") -> Callable[[], None]:
        def feel() -> None:
            with self._lock:
                if not turned.busy and turned.at > self._clock():
                    self._put(turned, self._clock())

        return feel


class _Turned:
    """An agent in the crank. `busy`: a thread turns it now; `at`: when its next turn is due."""

    def __init__(self, name: str, agent: Agent, wake: Wake) -> None:
        self.name = name
        self.agent = agent
        self.wake = wake
        self.busy = False
        self.at = 0.0


class PcNames(logging.Filter):
    """Lets log lines say whose they are: `record.pc` is the PC that this thread turns."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.pc = getattr(_turning, "name", "simulation")
        return True


@contextmanager
def _named(name: str) -> Iterator[None]:
    _turning.name = name
    try:
        yield
    finally:
        del _turning.name


def _close(agent: Agent) -> None:
    for part in agent.parts:
        part.close()
