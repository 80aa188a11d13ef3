"""What a crowd of simulated PCs did: who enrolled, booted or failed, and how long assignments took.

Counted at the PCs' own pointers, not at the server; seconds run from the moment that a PC accepted an
assignment.
"""

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from vrasnode.wire.imaging import DeliveryStage

_ENDS = (DeliveryStage.STAGED, DeliveryStage.BOOTED, DeliveryStage.FAILED)


@dataclass
class Delivered:
    """One assignment on one PC; seconds since it was accepted."""

    accepted_at: float
    seconds: dict[DeliveryStage, float] = field(default_factory=dict)


class Metrics:
    """Safe to use from several threads. `clock` counts seconds and never goes back."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.enrolled = 0
        self._clock = clock
        self._lock = threading.Lock()
        self._deliveries: dict[str, dict[int, Delivered]] = defaultdict(dict)

    def joined(self) -> None:
        """One more PC is a member."""
        with self._lock:
            self.enrolled += 1

    def note(self, pc: str, serial: int, stage: DeliveryStage) -> None:
        """How far an assignment came on a PC; only the first time counts."""
        with self._lock:
            found = self._deliveries[pc].setdefault(serial, Delivered(self._clock()))
            if stage in _ENDS:
                found.seconds.setdefault(stage, round(self._clock() - found.accepted_at, 3))

    def summary(self) -> dict[str, Any]:
        """`booted` and `failed` count PCs by how their last assignment ended; times are of all of them."""
        with self._lock:
            last = [found[max(found)].seconds for found in self._deliveries.values()]
            every = [one.seconds for found in self._deliveries.values() for one in found.values()]
        return {
            "simulated": True,
            "enrolled": self.enrolled,
            "booted": sum(DeliveryStage.BOOTED in one for one in last),
            "failed": sum(DeliveryStage.FAILED in one for one in last),
            "under_way": sum(not one.keys() & {DeliveryStage.BOOTED, DeliveryStage.FAILED} for one in last),
            "staged_s": _spread([one[DeliveryStage.STAGED] for one in every if DeliveryStage.STAGED in one]),
            "booted_s": _spread([one[DeliveryStage.BOOTED] for one in every if DeliveryStage.BOOTED in one]),
        }


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest of `values` that at least `share` of them do not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(0, -int(-share * len(ordered) // 1) - 1)]


def _spread(values: Sequence[float]) -> dict[str, Any]:
    if not values:
        return {"n": 0, "median": None, "p95": None, "max": None}
    return {
        "n": len(values),
        "median": percentile(values, 0.5),
        "p95": percentile(values, 0.95),
        "max": max(values),
    }
