"""What was measured, as a file: one series a measure, with what it was measured on."""

import statistics
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from vrasnode.errors import HostBroken, Refused
from vrasnode.host import disk
from vrasnode.wire import codec
from vrasnode.wire.codec import Message

MIN_ROUNDS = 3


class Series(Message, frozen=True):
    """One measure, a value a round; more is better. `limit` is the loss that was promised at most (0.05)."""

    unit: str
    limit: float
    values: list[float]

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def spread(self) -> float:
        """From the smallest to the largest value, as a share of the median."""
        return (max(self.values) - min(self.values)) / self.median


class Results(Message, frozen=True):
    """One PC, or the machine on it, measured. `machine` is the firmware's UUID; `accelerator` what can run a
    guest there, and inside one what runs it: "kvm", "tcg" or, unknown, ""."""

    machine: str
    host_name: str
    inside: bool
    accelerator: str
    kernel: str
    processor: str
    at: datetime
    rounds: int
    series: dict[str, Series]


def keep(results: Results, path: Path) -> None:
    """Writes the file whole or not at all. Raises HostBroken."""
    disk.write_file(path, codec.encode(results) + b"\n", mode=0o644)


def read(path: Path) -> Results:
    """Raises HostBroken(no_baseline) and Refused(bad_baseline)."""
    data = disk.read_file(path)
    if data is None:
        words = f"{path} is not there. Measure this PC bare first: vrasnode bench --baseline {path}."
        raise HostBroken("no_baseline", words)
    try:
        found = codec.decode(data, Results)
    except Refused as error:
        raise Refused("bad_baseline", f"{path} is no result of `vrasnode bench`: {error.words}") from error
    return checked(found, name=str(path))


def checked(found: Results, *, name: str) -> Results:
    """The same. Raises Refused(bad_baseline) for series that nothing can be concluded from."""
    for measure, series in found.series.items():
        if not _sound(series.values):
            words = f"{name}: {measure} has no {MIN_ROUNDS} values above zero. Measure again."
            raise Refused("bad_baseline", words)
    return found


def _sound(values: Sequence[float]) -> bool:
    return len(values) >= MIN_ROUNDS and all(0 < value < float("inf") for value in values)
