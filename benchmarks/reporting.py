"""What a benchmark says in the end: medians with their spread, ratios round by round, bars, JSON."""

import json
import platform
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

MB = 1e6


@dataclass(frozen=True)
class Series:
    """One quantity over all rounds. `unit`: "s", "ms" (kept in seconds), "B", "B/s", "/s", "x" (a ratio), ""
    (a count)."""

    values: Sequence[float]
    unit: str

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    def __str__(self) -> str:
        low, high = min(self.values), max(self.values)
        return f"{_shown(self.median, self.unit)} ({_shown(low, self.unit)} – {_shown(high, self.unit)})"

    def as_json(self) -> dict[str, Any]:
        return {"unit": self.unit, "median": self.median, "values": list(self.values)}


@dataclass(frozen=True)
class Bar:
    """What is asked of the median of a series: at least, or at most, `limit`."""

    words: str
    series: Series
    limit: float
    at_least: bool

    @property
    def passed(self) -> bool:
        measured = self.series.median
        return measured >= self.limit if self.at_least else measured <= self.limit

    def __str__(self) -> str:
        wanted = f"{'at least' if self.at_least else 'at most'} {_shown(self.limit, self.series.unit)}"
        return f"{'PASS' if self.passed else 'FAIL'}  {self.words}: {self.series}, {wanted}"


@dataclass
class Report:
    """One benchmark's result. `series` by name; names that begin alike belong together."""

    benchmark: str
    workload: str
    rounds: int
    commands: Sequence[str]
    judged: bool  # the small workload has no bars
    notes: list[str] = field(default_factory=list)
    series: dict[str, Series] = field(default_factory=dict)
    bars: list[Bar] = field(default_factory=list)

    def add(self, name: str, values: Iterable[float], unit: str) -> Series:
        """Keeps a series, one value a round."""
        self.series[name] = found = Series(list(values), unit)
        return found

    def at_least(self, words: str, series: Series, limit: float) -> None:
        self.bars.append(Bar(words, series, limit, at_least=True))

    def at_most(self, words: str, series: Series, limit: float) -> None:
        self.bars.append(Bar(words, series, limit, at_least=False))

    @property
    def passed(self) -> bool:
        return not self.judged or all(bar.passed for bar in self.bars)

    def text(self, versions: Mapping[str, str]) -> str:
        """For people: what was run, every series, every bar."""
        width = max(map(len, self.series), default=0)
        lines = [f"{self.benchmark}: {self.workload}, {self.rounds} rounds", machine()]
        lines.append(", ".join(f"{name} {number}" for name, number in versions.items()))
        lines += [f"  $ {command}" for command in self.commands]
        lines += ["", "median (smallest – largest)"]
        lines += [f"  {name:{width}}  {series}" for name, series in self.series.items()]
        lines += ["", *self.notes]
        if self.judged:
            lines += [f"  {bar}" for bar in self.bars]
        else:
            lines.append("The small workload has no bars.")
        return "\n".join(lines)

    def json(self, versions: Mapping[str, str]) -> str:
        """For programs: one object, on one line."""
        bars = [
            {"what": bar.words, "limit": bar.limit, "measured": bar.series.median, "passed": bar.passed}
            for bar in self.bars
            if self.judged
        ]
        return json.dumps(
            {
                "benchmark": self.benchmark,
                "workload": self.workload,
                "rounds": self.rounds,
                "machine": machine(),
                "versions": dict(versions),
                "commands": list(self.commands),
                "series": {name: series.as_json() for name, series in self.series.items()},
                "bars": bars,
                "passed": self.passed,
            }
        )


def ratios(over: Sequence[float], under: Sequence[float]) -> list[float]:
    """`over` by `under`, each round by itself."""
    return [one / other for one, other in zip(over, under, strict=True)]


def machine() -> str:
    """What it ran on."""
    cpus = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    memory = Path("/proc/meminfo").read_text().split()[1]
    model = cpus[0].partition(":")[2].strip() if cpus else platform.machine()
    return f"{len(cpus)} × {model}, {int(memory) / 2**20:.0f} GiB, Linux {platform.release()}"


def _shown(value: float, unit: str) -> str:
    match unit:
        case "B":
            shown = f"{value / MB:.1f} MB"
        case "s":
            shown = f"{value:.2f} s"
        case "ms":
            shown = f"{value * 1000:.3f} ms"
        case "B/s":
            shown = f"{value / MB:.1f} MB/s"
        case "/s":
            shown = f"{value:.0f}/s"
        case "":
            shown = f"{value:g}"
        case _:
            shown = f"{value:.3g}×"
    return shown
