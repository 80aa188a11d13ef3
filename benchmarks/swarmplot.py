"""Draws what `benchmarks.swarm --json` measured: `python -m benchmarks.swarmplot RUNS.json PLOT.svg`.

For each number of PCs and each way: the median time of the last PC against the bytes at the link's speed.
"""

import argparse
import json
import re
import statistics
from pathlib import Path
from typing import Any

import pygal
from pygal.style import CleanStyle

HEIGHT, WIDTH = 420, 900


def draw(runs: list[dict[str, Any]]) -> bytes:
    """An SVG, without scripts. Where a way was not run at a number of PCs it has no bar."""
    top = max(run["x"] for run in runs)
    points = list(dict.fromkeys((run["pcs"], run["mbit"]) for run in runs))
    chart = pygal.Bar(
        config=pygal.Config(js=[], disable_xml_declaration=False, no_prefix=True),
        style=CleanStyle(background="white", plot_background="white"),
        width=WIDTH,
        height=HEIGHT,
        logarithmic=True,
        range=(0.5, top),
        zero=0.5,
        show_y_guides=True,
        legend_at_bottom=True,
        print_values=True,
        value_formatter=lambda x: f"{x:.2f}",
        title="Time of the last PC ÷ (bytes ÷ link)",
    )
    chart.x_labels = [f"{pcs} PCs, {mbit} Mbit/s" for pcs, mbit in points]
    for method in dict.fromkeys(run["method"] for run in runs):
        chart.add(method, [_median(runs, method, pcs, mbit) for pcs, mbit in points])
    return re.sub(rb"<script.*?</script>", b"", chart.render(), flags=re.DOTALL)


def _median(runs: list[dict[str, Any]], method: str, pcs: int, mbit: int) -> float | None:
    found = [run["x"] for run in runs if (run["method"], run["pcs"], run["mbit"]) == (method, pcs, mbit)]
    return statistics.median(found) if found else None


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("runs", type=Path)
    parser.add_argument("plot", type=Path)
    options = parser.parse_args()
    options.plot.write_bytes(draw(json.loads(options.runs.read_text())))


if __name__ == "__main__":
    main()
