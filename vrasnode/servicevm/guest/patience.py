"""How long the copying waits for a gateway that gives nothing: seconds, where restic has none or a quarter of
an hour.
"""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

AGAIN, PATIENCE_S = "retrying after", 30.0
STILL_S = 180.0  # without any movement: a connection that died unsaid holds restic for ever
TIMES = ("seconds_elapsed", "seconds_remaining")  # they go on where nothing else does


class Patience:
    """restic tries again for a quarter of an hour when the NAS does not take something, and waits without any
    limit for a gateway that took a request and is gone. Its user waits for the end of the day, and the server
    sees to the NAS: the next run goes on.

    `seconds`: for tries in vain, `still_s`: without any movement."""

    def __init__(self, seconds: float, *, still_s: float, clock: Callable[[], float]) -> None:
        self._seconds = seconds
        self._still_s = still_s
        self._clock = clock
        self._since = self._last = float("-inf")
        self._moved, self._moved_at = True, clock()
        self._mark: object = None
        self.still = False  # whether that is why it was over

    def is_over(self, line: str) -> bool:
        """Whether it has been in vain for so long, by what restic says. One try may take longer than that."""
        now = self._clock()
        if AGAIN not in line:
            mark = _mark(line)
            if mark != self._mark:
                self._mark, self._moved, self._moved_at = mark, True, now
            return False
        if self._moved and now - self._last > self._seconds:
            self._since = now
        self._last, self._moved = now, False
        return now - self._since >= self._seconds

    def left_s(self) -> float:
        """Until it is over because nothing moves; from any thread."""
        left = self._moved_at + self._still_s - self._clock()
        self.still = left <= 0
        return left


@contextmanager
def watched(patience: Patience, end: Callable[[], None]) -> Iterator[None]:
    """Ends what says nothing new any more."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(max(0.0, patience.left_s())):
            if patience.still:
                end()
                return

    threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    finally:
        over.set()


def _mark(line: str) -> object:
    """What a line of progress says, but for the time that passes."""
    try:
        told = json.loads(line)
        return {name: value for name, value in told.items() if name not in TIMES}
    except (ValueError, AttributeError):
        return line
