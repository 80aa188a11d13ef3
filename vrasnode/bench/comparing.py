"""A machine held against the bare PC that it runs on: ratios with their spread, and whether they will do.

Pure. A ratio is of medians; its range goes from the machine's slowest round to its fastest, each against the
bare median.
"""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from vrasnode.bench.results import Results
from vrasnode.errors import Refused

HEADER = [
    "measure", "unit", "n_bare", "n_inside", "bare_median", "inside_median", "ratio", "ratio_low",
    "ratio_high", "bare_spread", "inside_spread", "bar", "passed",
]  # fmt: skip


@dataclass(frozen=True)
class Row:
    """One measure. `bar` is the smallest ratio that will do; `spread_*` from smallest to largest value as a
    share of the median: beside one that is larger than the loss allowed, a verdict says little."""

    measure: str
    unit: str
    n_bare: int
    n_inside: int
    bare: float
    inside: float
    low: float
    high: float
    spread_bare: float
    spread_inside: float
    bar: float

    @property
    def ratio(self) -> float:
        return self.inside / self.bare

    @property
    def passed(self) -> bool:
        return self.ratio >= self.bar

    @property
    def noisy(self) -> bool:
        return max(self.spread_bare, self.spread_inside) > 1 - self.bar

    def __str__(self) -> str:
        words = f"{'PASS' if self.passed else 'FAIL'}  {self.measure:<24} {self.ratio:.3f}"
        words += f" ({self.low:.3f} – {self.high:.3f}), at least {self.bar:.2f}"
        words += f", n = {self.n_bare} bare, {self.n_inside} inside"
        return f"{words}, noisy: repeat with more rounds" if self.noisy else words


@dataclass(frozen=True)
class Comparison:
    """`lacking`: measures of the baseline that were not taken inside; they do not pass."""

    rows: Sequence[Row]
    lacking: Sequence[str]

    @property
    def passed(self) -> bool:
        return bool(self.rows) and not self.lacking and all(row.passed for row in self.rows)

    def text(self) -> str:
        lines = ["machine ÷ bare PC, medians (slowest – fastest round of the machine)"]
        lines += [str(row) for row in self.rows]
        lines += [f"FAIL  {measure:<24} was not measured inside" for measure in self.lacking]
        return "\n".join(lines)

    def as_json(self) -> dict[str, Any]:
        rows = [
            {
                "measure": row.measure,
                "ratio": row.ratio,
                "low": row.low,
                "high": row.high,
                "n": row.n_inside,
                "bar": row.bar,
                "passed": row.passed,
                "noisy": row.noisy,
            }
            for row in self.rows
        ]
        return {"passed": self.passed, "rows": rows, "lacking": list(self.lacking)}

    def csv(self) -> str:
        """A header and a line for each row (RFC 4180)."""
        out = io.StringIO()
        writer = csv.writer(out)
        writer.writerow(HEADER)
        for row in self.rows:
            numbers = [row.bare, row.inside, row.ratio, row.low, row.high, row.spread_bare, row.spread_inside]
            shown = [f"{number:.6g}" for number in numbers]
            start = [row.measure, row.unit, row.n_bare, row.n_inside]
            writer.writerow([*start, *shown, f"{row.bar:.2f}", str(row.passed).lower()])
        return out.getvalue()


def compare(bare: Results, inside: Results) -> Comparison:
    """Raises Refused: emulated (nothing can be said), bad_baseline (the wrong way round)."""
    if bare.inside or not inside.inside:
        words = "A machine is compared with its bare PC: a baseline from the PC, --inside in the machine."
        raise Refused("bad_baseline", words)
    refuse_emulated(bare, inside=inside.accelerator)
    rows = [_row(name, bare, inside) for name in bare.series if name in inside.series]
    return Comparison(rows, [name for name in bare.series if name not in inside.series])


def refuse_emulated(bare: Results, *, inside: str) -> None:
    """Raises Refused(emulated) when the PC can only emulate guests, or `inside` says that this one is."""
    if "tcg" in (bare.accelerator, inside):
        where = "this machine is emulated" if inside == "tcg" else "that PC can only emulate guests"
        words = f"No claim about speed is made: {where} (TCG). Measure where KVM runs the client VM."
        raise Refused("emulated", words)


def _row(name: str, bare: Results, inside: Results) -> Row:
    before, now = bare.series[name], inside.series[name]
    return Row(
        measure=name,
        unit=before.unit,
        n_bare=len(before.values),
        n_inside=len(now.values),
        bare=before.median,
        inside=now.median,
        low=min(now.values) / before.median,
        high=max(now.values) / before.median,
        spread_bare=before.spread,
        spread_inside=now.spread,
        bar=1 - min(before.limit, now.limit),
    )
