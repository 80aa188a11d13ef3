"""What is usual: how soon one hears of what the server gave out, how often pieces come. Pure."""

from bisect import bisect_right
from collections import deque
from collections.abc import Iterable

NOTED_S, NOTES = 0.2, 64
SAMPLES, LEAST_SAMPLES = 31, 5
STARVED_S, STARVED_GAPS = 0.05, 5  # gaps between pieces without one


class Given:
    """The server gives pieces out in their order: all below the frontier have gone to somebody."""

    def __init__(self) -> None:
        self._notes: deque[tuple[float, int]] = deque([(float("-inf"), 0)], maxlen=NOTES)
        self._waits: deque[float] = deque(maxlen=SAMPLES)
        self._missed: set[int] = set()

    def note(self, frontier: int, *, now: float) -> None:
        """The server says so."""
        if frontier > self._notes[-1][1] and now - self._notes[-1][0] >= NOTED_S:
            self._notes.append((now, frontier))

    def missed(self, pieces: Iterable[int]) -> None:
        """These were nowhere for so long that they say nothing of what is usual."""
        self._missed.update(pieces)

    def heard(self, piece: int, *, now: float) -> None:
        """Somebody near has this piece, as far as is known here the first."""
        if piece in self._missed:
            return
        edge = bisect_right(self._notes, piece, key=lambda note: note[1])
        given_at = self._notes[edge][0] if edge < len(self._notes) else now
        self._waits.append(now - given_at)

    def usual_s(self, otherwise: float) -> float:
        """How soon what is given out is heard of; while little is known, what is given."""
        return median(self._waits, otherwise)

    def below(self, moment: float) -> int:
        """Pieces below this had been given out at that moment."""
        edge = bisect_right(self._notes, moment, key=lambda note: note[0])
        return self._notes[edge - 1][1] if edge else 0


class Arrivals:
    """When pieces came here."""

    def __init__(self) -> None:
        self._moments: deque[float] = deque(maxlen=SAMPLES)

    def note(self, now: float) -> None:
        """One more."""
        self._moments.append(now)

    @property
    def gap_s(self) -> float:
        """Between two that came lately."""
        if len(self._moments) < 2:
            return 0.0
        return (self._moments[-1] - self._moments[0]) / (len(self._moments) - 1)

    def steady(self, now: float) -> bool:
        """Whether pieces come as usual."""
        return len(self._moments) > 1 and not self.overdue(now)

    def overdue(self, now: float) -> bool:
        """Whether nothing has come for longer than usual."""
        if len(self._moments) < 2:
            return False
        return now - self._moments[-1] > max(STARVED_S, STARVED_GAPS * self.gap_s)


def median(samples: Iterable[float], otherwise: float) -> float:
    """The middle one; while there are few, what is given."""
    found = sorted(samples)
    return found[len(found) // 2] if len(found) >= LEAST_SAMPLES else otherwise
