"""A version for 1,000 PCs at once: simulated links, the product's own scheduler, the real tracker.

    python -m benchmarks.crowd [--quick] [--json] [--rounds N] [--jobs N]

Every PC has a link of the same speed and runs `vrasnode.swarm.relay` (benchmarks/swarmsim.py); a round is a
seed. First all take part to the end; then, at half time, a fifth of them is switched off, and a tenth never
sends. Time is that of the last PC that stays, against one that had the server to itself.

The tracker is real (`imaging.swarming`, Redis, the web server) and knows 1,000 members, each of which calls
as a PC does that takes a piece.
"""

import argparse
import http.client
import json
import os
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks import running
from benchmarks.reporting import Report, Series
from benchmarks.swarmsim import crowd
from tests.lab.server import Server
from vrasnode.wire import codec
from vrasnode.wire.swarm import SwarmCall

PCS, PIECES, CALLS = 1000, 1200, 4000
QUICK_PCS, QUICK_PIECES, QUICK_CALLS = 40, 150, 100
ROUNDS = 3
LEAVE, SILENT = 0.2, 0.1
STAY, CHURN = "all stay", "a fifth leaves, a tenth never sends"
BARS = {STAY: (1.20, 1.05), CHURN: (1.40, 1.15)}  # the last PC's time, the server's bytes
CALL_S = 0.0003
COMMANDS = [
    f"python -m benchmarks.swarmsim --pcs {PCS} --pieces {PIECES} --seed N",
    f"python -m benchmarks.swarmsim --pcs {PCS} --pieces {PIECES} --leave {LEAVE} --silent {SILENT} --seed N",
]

_TRACKER = """
import json, os, random, time
from clients import quickstore
from clients.models import Client
from django.utils import timezone
from imaging import swarming, swarmnode
from vrasnode.wire import codec
from vrasnode.wire.swarm import SwarmAnswer, SwarmCall
given = json.loads(GIVEN)
store, chance, pieces = quickstore.client(), random.Random(1), 8000
swarming.place_of = lambda address: "everywhere"  # these PCs have no cables
Client.objects.bulk_create(
    Client(name=f"pc-{n:04}", state="approved", signing_key=os.urandom(91), hpke_key=b"", csr="")
    for n in range(given["pcs"])
)

class Pc:
    revision = 0

    def __init__(self, row):
        self.terms = swarming.terms(row, 1, now=timezone.now(), upload_bytes_s=None)
        headers = [(b"authorization", f"Bearer {self.terms.permission}".encode())]
        self.scope = {"path": self.terms.path, "method": "POST", "headers": headers}
        self.scope["client"] = ("10.9.8.7", 1)

    def call(self, **wish):
        status, body = swarmnode._answer(self.scope, codec.encode(SwarmCall(**wish)))
        assert status == 200, body
        return codec.decode(body, SwarmAnswer)

    def join(self):
        self.call(port=9, pieces=pieces, need=bytes([255]) * (pieces // 8))

    def take(self):
        self.revision = self.call(want=1, revision=self.revision).revision

def measured(act, pcs):
    python, redis = time.process_time(), redis_s()
    for pc in pcs:
        act(pc)
    return [spent / len(pcs) for spent in (time.process_time() - python, redis_s() - redis)]

def redis_s():
    told = store.info("cpu")
    return told["used_cpu_user"] + told["used_cpu_sys"]

pcs = [Pc(row) for row in Client.objects.all()]
found = {"joined": measured(Pc.join, pcs)}
for pc in pcs:
    pc.take()  # whoever is new is told of all beside it, once
found["called"] = measured(Pc.take, chance.choices(pcs, k=given["calls"]))
found["pcs"] = [[pc.terms.path, pc.terms.permission, pc.revision] for pc in pcs[:50]]
print(json.dumps(found))
"""


def tracker(pcs: int, calls: int) -> dict[str, float]:
    """Seconds of a processor for a call, by who spends them."""
    with tempfile.TemporaryDirectory(prefix="crowd-bench-") as directory, Server(Path(directory)) as server:
        script = _TRACKER.replace("GIVEN", repr(json.dumps({"pcs": pcs, "calls": calls})))
        found = json.loads(server.shell(script).splitlines()[-1])
        line = http.client.HTTPConnection(server.url.removeprefix("http://"))
        for measured in (False, True):  # the first ones load what is loaded once
            began = _cpu_s(server.web.pid)
            for number in range(calls if measured else len(found["pcs"])):
                path, permission, revision = found["pcs"][number % len(found["pcs"])]
                body = codec.encode(SwarmCall(want=1, revision=revision))
                line.request("POST", path, body, {"Authorization": f"Bearer {permission}"})
                answer = line.getresponse()
                answer.read()
                assert answer.status == 200
        web = (_cpu_s(server.web.pid) - began) / calls
        line.close()
    spent = {f"{name}.{part}": found[name][at] for name in ("joined", "called") for at, part in _PARTS}
    return {**spent, "called.web": web}


_PARTS = ((0, "python"), (1, "redis"))


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(options: argparse.Namespace) -> Report:
    pcs, pieces = (QUICK_PCS, QUICK_PIECES) if options.quick else (PCS, PIECES)
    words = f"{pcs} PCs, {pieces} pieces, each link one piece at a time"
    report = Report("crowd", words, options.rounds, COMMANDS, judged=not options.quick)
    shares = {STAY: (0.0, 0.0), CHURN: (LEAVE, SILENT)}
    with ProcessPoolExecutor(options.jobs) as pool:
        sought = {
            name: [
                pool.submit(crowd, pcs, pieces, leave=leave, silent=silent, seed=seed)
                for seed in range(1, options.rounds + 1)
            ]
            for name, (leave, silent) in shares.items()
        }
        for name, futures in sought.items():
            rounds = []
            for future in futures:
                rounds.append(future.result())
                print(f"{name}: {json.dumps(rounds[-1])}", file=sys.stderr, flush=True)
            _add(report, name, rounds)
    spent = tracker(pcs, QUICK_CALLS if options.quick else CALLS)
    for part, seconds in spent.items():
        report.add(f"tracker.{part}", [seconds], "ms")
    call = Series([spent["called.python"] + spent["called.redis"]], "ms")
    report.at_most("the tracker's processor time for a call, Python and Redis", call, CALL_S)
    return report


def _add(report: Report, name: str, rounds: list[dict[str, Any]]) -> None:
    """One crowd's rounds, and what is asked of the worst of them."""
    key = "stay" if name == STAY else "churn"
    for what in ("last", "median", "egress"):
        report.add(f"{key}.{what}", [one[what] for one in rounds], "x")
    report.add(f"{key}.stuck", [one["stuck"] for one in rounds], "")
    report.add(f"{key}.simulating_cpu", [one["cpu_s"] for one in rounds], "s")
    time_bar, egress_bar = BARS[name]
    for words, what, bar in (
        ("the last PC, worst seed", "last", time_bar),
        ("the server's bytes, worst seed", "egress", egress_bar),
        ("PCs that got stuck, worst seed", "stuck", 0),
    ):
        found = report.series[f"{key}.{what}"]
        report.at_most(f"{name}: {words}", Series([max(found.values)], found.unit), bar)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="40 PCs; no bars")
    parser.add_argument("--json", action="store_true", help="the result as one JSON object on the last line")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="seeds; default: %(default)s")
    parser.add_argument("--jobs", type=int, default=1, help="simulations side by side")
    options = parser.parse_args()
    report = measure(options)
    print(report.text(running.versions()))
    if options.json:
        print(report.json(running.versions()))
    return 0 if report.passed else running.EXIT_BAR


if __name__ == "__main__":
    sys.exit(main())
