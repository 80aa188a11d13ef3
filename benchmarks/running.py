"""What both benchmarks have in common as programs: their options, their output, their end.

Exit codes: 0 done and every bar held · 1 a bar did not hold · 2 wrong usage · 3 it could not be run.
"""

import argparse
import platform
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from benchmarks import scratch, workload
from benchmarks.reporting import Report
from benchmarks.workload import FULL, QUICK, Workload
from config.demo import lan
from config.demo.lan import Lan
from vrasnode.errors import VrasError

ROUNDS = 3
EXIT_BAR, EXIT_NOT_RUN = 1, 3


@dataclass(frozen=True)
class Bench:
    """Where and on what one run works. `say` tells people how far it is."""

    workload: Workload
    directory: Path
    lan: Lan
    rounds: int
    judged: bool
    say: Callable[[str], None]


def main(description: str, measure: Callable[[Bench], Report]) -> int:
    """Parses the command line, runs `measure` in a place of its own, prints the report."""
    options = _parser(description).parse_args()
    recipe = QUICK if options.quick else FULL
    try:
        with ExitStack() as undo:
            lan.sweep_stale()
            found = workload.get(recipe, options.workload, say=say)
            directory = undo.enter_context(scratch.directory())
            network = undo.enter_context(Lan())
            report = measure(
                Bench(found, directory, network, options.rounds or ROUNDS, judged=not options.quick, say=say)
            )
    except VrasError as error:
        print(f"{error}", file=sys.stderr)
        return EXIT_NOT_RUN
    return tell(report, versions(), as_json=options.json)


def tell(report: Report, parts: Mapping[str, str], *, as_json: bool) -> int:
    """Prints what was measured with which versions of what took part; the exit code."""
    print(report.text(parts))
    if as_json:
        print(report.json(parts))
    return 0 if report.passed else EXIT_BAR


def versions() -> dict[str, str]:
    """What took part."""
    return {
        "openvras": version("openvras"),
        "casync": _debian_version("casync"),
        "python": platform.python_version(),
        "zstandard": version("zstandard"),
        "blake3": version("blake3"),
    }


def _debian_version(package: str) -> str:
    asked = ["dpkg-query", "-W", "-f", "${Version}", package]
    return subprocess.run(asked, check=True, capture_output=True, text=True).stdout


def say(words: str) -> None:
    """How far it is."""
    print(words, flush=True)


def parser(description: str | None, *, quick: str, rounds: int) -> argparse.ArgumentParser:
    """The options that all have. `quick` says what is less then; `--rounds` is None where it is not given."""
    made = argparse.ArgumentParser(description=(description or "").splitlines()[0])
    made.add_argument("--quick", action="store_true", help=f"{quick}; no bars")
    made.add_argument("--json", action="store_true", help="the result as one JSON object on the last line")
    made.add_argument("--rounds", type=_count, metavar="N", help=f"default: {rounds}")
    return made


def _parser(description: str) -> argparse.ArgumentParser:
    made = parser(description, quick="a workload that builds in a minute", rounds=ROUNDS)
    made.add_argument("--workload", type=Path, metavar="DIR", help="where v1.raw and v2t.raw lie, or go")
    return made


def _count(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError("at least one round")
    return int(text)
