"""`vrasnode bench`: measures this PC bare, or the machine on it, and says what the difference is.

Exit codes: 0 measured, or every ratio will do · 1 one will not; 3 with `emulated`: nothing can be said here.
"""

import argparse
import json
import os
import platform
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from vrasnode.bench import comparing, emulation, measures, plotting, results
from vrasnode.bench.comparing import Comparison
from vrasnode.bench.measures import Measure, Place
from vrasnode.bench.results import MIN_ROUNDS, Results, Series
from vrasnode.errors import Refused
from vrasnode.host import disk, thispc

EXIT_SLOWER = 1
_SHARED = ["disk", "network"]


def add_to(commands: Any) -> None:
    """Adds the command to the program."""
    benching = commands.add_parser("bench", help="measure this PC, and what its client VM loses")
    benching.set_defaults(run=run)
    what = benching.add_mutually_exclusive_group(required=True)
    what.add_argument("--baseline", type=Path, metavar="FILE", help="measure this PC bare and keep it there")
    what.add_argument("--compare", type=Path, metavar="FILE", help="hold a machine against that baseline")
    benching.add_argument("--inside", action="store_true", help="with --compare: measure this machine")
    benching.add_argument("--results", type=Path, metavar="FILE", help="with --compare: measured before")
    benching.add_argument("--keep", type=Path, metavar="FILE", help="with --inside: keep what was measured")
    benching.add_argument("--csv", type=Path, metavar="FILE", help="the ratios as a table")
    benching.add_argument("--plot", type=Path, metavar="FILE", help="the ratios as a picture (SVG)")
    benching.add_argument("--json", action="store_true", help="the outcome as one JSON object")
    benching.add_argument("--rounds", type=int, default=5, metavar="N", help="values of each measure")
    benching.add_argument("--seconds", type=int, default=3, metavar="S", help="for each value")
    benching.add_argument("--disk", type=Path, default=Path(), metavar="DIR", help="on the disk to measure")
    benching.add_argument("--disk-mib", type=int, default=1024, metavar="N", help="size of the file there")
    benching.add_argument("--peer", metavar="HOST", help="a PC in the LAN that runs `iperf3 -s`")
    benching.add_argument(
        "--passed", action="append", default=[], choices=_SHARED, help="the client VM owns it: 5 %% not 10 %%"
    )


def run(options: argparse.Namespace) -> int:
    """Measures, or compares."""
    if options.rounds < MIN_ROUNDS or options.seconds < 1 or options.disk_mib < 1:
        raise Refused("bad_bench", f"At least {MIN_ROUNDS} rounds, a second and a MiB are needed.")
    if options.baseline:
        found = measure_here(options, inside=False)
        results.keep(found, options.baseline)
        print(_json(found) if options.json else _text(found))
        return 0
    if options.inside == bool(options.results):
        raise Refused("bad_bench", "With --compare goes --inside, or --results FILE that --keep wrote.")
    bare = results.read(options.compare)
    comparing.refuse_emulated(bare, inside=emulation.accelerator_inside() if options.inside else "")
    found = measure_here(options, inside=True) if options.inside else results.read(options.results)
    if options.inside and options.keep:
        results.keep(found, options.keep)
    return _tell(comparing.compare(bare, found), bare, options)


def measure_here(options: argparse.Namespace, *, inside: bool) -> Results:
    """All measures, round by round. Raises HostBroken and Refused."""
    place = Place(
        disk=options.disk.resolve() / ".vrasnode-bench",
        disk_bytes=options.disk_mib << 20,
        seconds=options.seconds,
        peer=options.peer,
        cpus=len(os.sched_getaffinity(0)),
    )
    wanted = measures.measures(peer=options.peer, passed=options.passed)
    values = take(wanted, place, rounds=options.rounds, say=_say)
    series = {one.name: Series(unit=one.unit, limit=one.limit, values=values[one.name]) for one in wanted}
    accelerator = emulation.accelerator_inside() if inside else str(thispc.probe_accelerator())
    found = Results(
        machine=_machine(),
        host_name=platform.node(),
        inside=inside,
        accelerator=accelerator,
        kernel=platform.release(),
        processor=_processor(),
        at=datetime.now(UTC),
        rounds=options.rounds,
        series=series,
    )
    return results.checked(found, name="What was measured")


def take(
    wanted: Sequence[Measure], place: Place, *, rounds: int, say: Callable[[str], None]
) -> dict[str, list[float]]:
    """One value of each measure a round, so that what changes slowly touches all alike."""
    values: dict[str, list[float]] = {one.name: [] for one in wanted}
    with measures.scratch(place):
        for number in range(1, rounds + 1):
            say(f"round {number} of {rounds} …")
            for one in wanted:
                values[one.name].append(one.run(place))
    return values


def _tell(comparison: Comparison, bare: Results, options: argparse.Namespace) -> int:
    if options.csv:
        disk.write_file(options.csv, comparison.csv().encode(), mode=0o644)
    if options.plot:
        title = f"Client VM beside its bare PC: {bare.processor}"
        disk.write_file(options.plot, plotting.svg(comparison, title=title).encode(), mode=0o644)
    if options.json:
        print(json.dumps(comparison.as_json(), sort_keys=True))
    else:
        print(comparison.text())
    return 0 if comparison.passed else EXIT_SLOWER


def _text(found: Results) -> str:
    lines = [f"{found.processor}, Linux {found.kernel}, guests by {found.accelerator or 'nothing known'}"]
    lines += [
        f"{name:<24} {series.median:>14.4g} {series.unit}  spread {100 * series.spread:.1f} %,"
        f" n = {len(series.values)}"
        for name, series in found.series.items()
    ]
    if found.accelerator == "tcg":
        lines.append("Guests are emulated here (TCG): no claim about client VMs will be made from this.")
    return "\n".join(lines)


def _json(found: Results) -> str:
    medians = {name: series.median for name, series in found.series.items()}
    return json.dumps({"accelerator": found.accelerator, "rounds": found.rounds, "medians": medians})


def _machine() -> str:
    """The firmware's UUID, which a re-installation does not change; only root may read it."""
    try:
        return Path("/sys/class/dmi/id/product_uuid").read_text().strip().lower()
    except OSError:
        return ""


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{len(models)} × {models[0]}" if models else platform.machine()


def _say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)
