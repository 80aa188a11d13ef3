"""One PC of many is slow, dies, sends wrong bytes, is away for 30 s, or comes late: what the others notice.

Each run with a fault stands between two without: what the machine does besides changes slowly, and the
ratio is of a run and the mean of its neighbours.
"""

import json
import os
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from subprocess import Popen
from typing import Any, Protocol

from config.demo.lan import LanPc
from tests.lab.server import Server

FAULTS = ("slow", "dies", "lies", "leaves", "late")
MOMENT = 0.4  # of the time that one PC alone needs
AWAY_S = 30
SLOWER = 10

_REPORTED = """
from clients.models import Event
print(Event.objects.filter(verb="client.sent_wrong_bytes").count())
"""


class Place(Protocol):
    """The `swarm.Bench`, as much of it as a fault needs. The last of `pcs` is whom it happens to."""

    mbit: int
    pcs: list[LanPc]
    server: Server

    def shape(self, pc: LanPc, number: int, mbit: float) -> None: ...
    def forget(self) -> None: ...
    def nodes(self, *, swarm: bool, fault: str = "") -> dict[str, Any]: ...


@contextmanager
def happening(
    fault: str, bench: Place, began: float, ideal_s: float, running: dict[int, "Popen[str]"]
) -> Iterator[None]:
    """While the others are waited for; afterwards the last PC can finish, too."""
    last = len(bench.pcs) - 1
    if fault in ("dies", "leaves", "late"):
        time.sleep(max(0, began + MOMENT * ideal_s - time.monotonic()))
    if fault == "dies":
        killed = running.pop(last)
        killed.kill()
        killed.communicate()
    elif fault == "leaves":
        bench.pcs[last].cut()
    elif fault == "late":
        stdin = running[last].stdin
        assert stdin is not None
        stdin.write("go\n")
        stdin.flush()
    yield
    if fault == "leaves":
        time.sleep(max(0, began + MOMENT * ideal_s + AWAY_S - time.monotonic()))
        bench.pcs[last].mend()
    elif fault == "slow":
        bench.shape(bench.pcs[last], last + 2, bench.mbit)


def runs(bench: Place, wish: str, *, rounds: int) -> list[dict[str, Any]]:
    """So many of each fault that is wished for, each with the ratio to its neighbours."""
    wanted = FAULTS if wish == "all" else tuple(wish.split(","))
    if unknown := set(wanted) - set(FAULTS):
        sys.exit(f"There is no fault {', '.join(sorted(unknown))}. There are: {', '.join(FAULTS)}.")
    found = []
    before = _one(bench, "")
    for _ in range(rounds):
        for fault in wanted:
            reported = int(bench.server.shell(_REPORTED))
            run = _one(bench, fault)
            after = _one(bench, "")
            run["ratio"] = run["others"] / statistics.mean((before["others"], after["others"]))
            run["reports"] = int(bench.server.shell(_REPORTED)) - reported
            before = after
            found.append(run)
            print(f"{fault}: {run['ratio']:.3f}", file=sys.stderr, flush=True)
    return found


def _one(bench: Place, fault: str) -> dict[str, Any]:
    bench.forget()
    load = os.getloadavg()[0]
    run = {**bench.nodes(swarm=True, fault=fault), "fault": fault, "load": load}
    print(json.dumps(run), file=sys.stderr, flush=True)
    return run


def table(found: list[dict[str, Any]]) -> str:
    """For docs/benchmarks.md: medians, and every ratio."""
    lines = [
        "| the last PC | the others, with ÷ without | each | egress ÷ bytes | it finished after | load |",
        "| --- " * 6 + "|",
    ]
    for fault in dict.fromkeys(run["fault"] for run in found):
        mine = [run for run in found if run["fault"] == fault]
        each = ", ".join(f"{run['ratio']:.3f}" for run in mine)
        ended = [run["last_s"] for run in mine if "last_s" in run]
        ratio, egress, load = (
            statistics.median(run[key] for run in mine) for key in ("ratio", "egress", "load")
        )
        finished = f"{statistics.median(ended):.1f} s" if ended else "never"
        if fault == "lies":
            finished += f"; reported by {min(run['reports'] for run in mine)} at least"
        lines.append(f"| {fault} | {ratio:.3f} | {each} | {egress:.3f} | {finished} | {load:.1f} |")
    return "\n".join(lines)
