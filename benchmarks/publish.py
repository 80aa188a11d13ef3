"""Publishing version 2 of a master image where version 1 is, beside `casync make`.

`python -m benchmarks.publish [--quick] [--json] [--rounds N] [--workload DIR]`. Every round begins with a
server that holds exactly v1 and a store of the peer that holds exactly v1: ours, peer, ours again unchanged,
peer again unchanged. One such round goes first and is not counted (not with `--quick`). Ours is `vrasctl
image publish` until the version is ready; its processor time is that of the client and of all processes of
the server.
"""

import sys
from dataclasses import dataclass, field
from typing import Any

from benchmarks import casync, measuring, running
from benchmarks.casync import Casync
from benchmarks.installation import Installation
from benchmarks.measuring import Cost
from benchmarks.reporting import Report, ratios
from benchmarks.running import Bench

FASTER, LESS_CPU, MORE_BYTES, UNCHANGED_FASTER = 10, 6, 1.10, 15
PEAK_BYTES = 300e6
BESIDE_HASHES_BYTES = 128 << 10  # requests that carry no list of hashes, their answers, TCP's own packets

COMMANDS = ["vrasctl image publish v2t.raw --name office-desktop", casync.make_command()]


@dataclass(frozen=True)
class Published:
    """One publication by us. `grown_bytes`: what the store's files grew by; `sent_bytes`: what left the
    administrator's PC over its cable."""

    client: Cost
    server_cpu_s: float
    grown_bytes: int
    sent_bytes: int
    version: dict[str, Any]

    @property
    def cpu_s(self) -> float:
        return self.client.cpu_s + self.server_cpu_s


@dataclass
class Rounds:
    """What was measured, a value a round."""

    ours: list[Published] = field(default_factory=list)
    again: list[Published] = field(default_factory=list)
    peer: list[Cost] = field(default_factory=list)
    peer_grown: list[int] = field(default_factory=list)
    peer_again: list[Cost] = field(default_factory=list)


def measure(bench: Bench) -> Report:
    """Runs all rounds. Raises HostBroken."""
    peer = Casync(bench.directory / "casync")
    report = Report("publish", str(bench.workload), bench.rounds, COMMANDS, bench.judged)
    with Installation(bench.directory / "ours", bench.lan) as ours:
        _first_version(bench, ours, peer, report)
        ours.keep()
        kept = peer.stored()
        counted = Rounds()
        for number in range(0 if bench.judged else 1, bench.rounds + 1):
            # The first round after so much was written is slower and uneven, for both: it warms up.
            rounds = counted if number else Rounds()
            ours.restore()
            peer.forget_all_but(kept)
            _round(bench, ours, peer, rounds)
            name = f"round {number}" if number else "warming up, not counted"
            ours_s, peer_s = rounds.ours[-1].client.wall_s, rounds.peer[-1].wall_s
            bench.say(f"{name}: ours {ours_s:.2f} s, casync {peer_s:.2f} s")
    _tell(report, counted)
    return report


def _first_version(bench: Bench, ours: Installation, peer: Casync, report: Report) -> None:
    """v1 from nothing: reported, not judged."""
    image = bench.workload.v1
    published = _publish(ours, image)
    measuring.settle(image)
    made = peer.make("v1", image)
    bench.say(f"v1 from nothing: ours {published.client.wall_s:.1f} s, casync {made.wall_s:.1f} s")
    report.add("v1.ours.time", [published.client.wall_s], "s")
    report.add("v1.ours.cpu", [published.cpu_s], "s")
    report.add("v1.ours.stored", [published.grown_bytes], "B")
    report.add("v1.casync.time", [made.wall_s], "s")
    report.add("v1.casync.cpu", [made.cpu_s], "s")
    report.add("v1.casync.stored", [peer.stored_bytes(except_for=set())], "B")


def _round(bench: Bench, ours: Installation, peer: Casync, rounds: Rounds) -> None:
    image = bench.workload.v2
    rounds.ours.append(_publish(ours, image))
    before = peer.stored()
    measuring.settle(image)
    rounds.peer.append(peer.make("v2", image))
    rounds.peer_grown.append(peer.stored_bytes(except_for=before))
    rounds.again.append(_publish(ours, image))
    measuring.settle(image)
    rounds.peer_again.append(peer.make("v2", image))


def _publish(ours: Installation, image: Any) -> Published:
    measuring.settle(image)
    stored = measuring.files_below(ours.store)
    sent, cpu_s = ours.administrator.sent_bytes(), ours.cpu_s()
    client, version = ours.publish(image)
    server_cpu_s = ours.cpu_s() - cpu_s
    grown = sum(measuring.files_below(ours.store).values()) - sum(stored.values())
    return Published(client, server_cpu_s, grown, ours.administrator.sent_bytes() - sent, version)


def _tell(report: Report, rounds: Rounds) -> None:
    ours, peer = rounds.ours, rounds.peer
    time = report.add("v2.ours.time", [one.client.wall_s for one in ours], "s")
    cpu = report.add("v2.ours.cpu", [one.cpu_s for one in ours], "s")
    report.add("v2.ours.cpu_client", [one.client.cpu_s for one in ours], "s")
    report.add("v2.ours.cpu_server", [one.server_cpu_s for one in ours], "s")
    grown = report.add("v2.ours.stored", [one.grown_bytes for one in ours], "B")
    report.add("v2.ours.sent", [one.sent_bytes for one in ours], "B")
    peak = report.add("v2.ours.peak_memory", [one.client.peak_bytes for one in ours], "B")
    peer_time = report.add("v2.casync.time", [one.wall_s for one in peer], "s")
    peer_cpu = report.add("v2.casync.cpu", [one.cpu_s for one in peer], "s")
    peer_grown = report.add("v2.casync.stored", rounds.peer_grown, "B")
    report.add("v2.casync.peak_memory", [one.peak_bytes for one in peer], "B")
    faster = report.add("v2.time_ratio", ratios(peer_time.values, time.values), "x")
    less_cpu = report.add("v2.cpu_ratio", ratios(peer_cpu.values, cpu.values), "x")
    more = report.add("v2.bytes_ratio", ratios(grown.values, peer_grown.values), "x")
    report.at_least("v2 is published faster than by casync", faster, FASTER)
    report.at_least("with less CPU, client and server together", less_cpu, LESS_CPU)
    report.at_most("new bytes against casync's", more, MORE_BYTES)
    report.at_most("the publisher's peak memory", peak, PEAK_BYTES)
    _tell_unchanged(report, rounds)


def _tell_unchanged(report: Report, rounds: Rounds) -> None:
    again = rounds.again
    time = report.add("unchanged.ours.time", [one.client.wall_s for one in again], "s")
    report.add("unchanged.ours.cpu", [one.cpu_s for one in again], "s")
    sent = report.add("unchanged.ours.sent", [one.sent_bytes for one in again], "B")
    grown = report.add("unchanged.ours.stored", [one.grown_bytes for one in again], "B")
    peer = report.add("unchanged.casync.time", [one.wall_s for one in rounds.peer_again], "s")
    faster = report.add("unchanged.time_ratio", ratios(peer.values, time.values), "x")
    chunks = again[-1].version
    hashes = 36 * -(-chunks["data_bytes"] // (256 << 10))  # a number and a digest each
    report.at_least("an unchanged image again is faster", faster, UNCHANGED_FASTER)
    report.at_most("sends its list of hashes once, and no bytes", sent, hashes + BESIDE_HASHES_BYTES)
    report.at_most("and stores nothing", grown, 0)


if __name__ == "__main__":
    sys.exit(running.main((__doc__ or "").splitlines()[0], measure))
