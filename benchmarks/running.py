"""What both benchmarks have in common as programs: their options, their output, their end.

Exit codes: 0 done and every bar held · 1 a bar did not hold · 2 wrong usage · 3 it could not be run.
"""

import argparse
import platform
import subprocess
import sys
from collections.abc import Callable
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
            found = workload.get(recipe, options.workload, say=_say)
            directory = undo.enter_context(scratch.directory())
            network = undo.enter_context(Lan())
            report = measure(
                Bench(found, directory, network, options.rounds, judged=not options.quick, say=_say)
            )
    except VrasError as error:
        print(f"{error}", file=sys.stderr)
        return EXIT_NOT_RUN
    print(report.text(versions()))
    if options.json:
        print(report.json(versions()))
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


def _say(words: str) -> None:
    print(words, flush=True)


def _parser(description: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help="a workload that builds in a minute; no bars")
    parser.add_argument("--json", action="store_true", help="the result as one JSON object on the last line")
    parser.add_argument("--rounds", type=_count, default=ROUNDS, metavar="N", help="default: %(default)s")
    parser.add_argument("--workload", type=Path, metavar="DIR", help="where v1.raw and v2t.raw lie, or go")
    return parser


def _count(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError("at least one round")
    return int(text)
