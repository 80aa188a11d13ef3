"""Updating a PC that has version 1 to version 2, beside `casync extract --seed`.

`python -m benchmarks.update [--quick] [--json] [--rounds N] [--workload DIR]`. Once on a file system whose
files can share blocks (XFS) and once on one whose files cannot (ext4); every round begins with a PC that has
v1 alone: ours, peer. Ours is `vrasnode run`, from the moment it has the signed assignment until the version
is staged: fetched over the LAN, checked, written, synced. The peer reads its chunks from this machine's disk.
"""

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import casync, measuring, running, scratch
from benchmarks.casync import Casync
from benchmarks.installation import GROUP, IMAGE, Installation, Pc
from benchmarks.measuring import Cost
from benchmarks.reporting import Report, Series, ratios
from benchmarks.running import Bench
from vrasnode.errors import HostBroken

FASTER = {"xfs": 20, "ext4": 6}
WORDS = {"xfs": "with reflink (XFS)", "ext4": "without reflink (ext4)"}
MORE_BYTES = 1.02
PEAK_BYTES = 200e6
SPARE_BYTES = 1 << 30

COMMANDS = ["vrasnode run --state STATE", casync.extract_command()]


@dataclass(frozen=True)
class Updated:
    """One update by us. `received_bytes`: what came over the PC's cable, all of it."""

    cost: Cost
    received_bytes: int


@dataclass
class Rounds:
    """What was measured on one file system, a value a round."""

    ours: list[Updated] = field(default_factory=list)
    peer: list[Cost] = field(default_factory=list)


def measure(bench: Bench) -> Report:
    """Runs all rounds on both file systems. Raises HostBroken."""
    report = Report("update", str(bench.workload), bench.rounds, COMMANDS, bench.judged)
    with Installation(bench.directory / "ours", bench.lan) as ours:
        versions = [ours.publish(image)[1] for image in (bench.workload.v1, bench.workload.v2)]
        peer = Casync(bench.directory / "casync")
        peer.make("v2", bench.workload.v2)
        packed = report.add("v2.new_packed", [versions[1]["new_bytes"]], "B")
        for kind in FASTER:
            with scratch.file_system(kind, bench.directory, size_bytes=_room(bench)) as mounted:
                comparison = _Comparison(bench, ours, peer, versions, mounted)
                rounds = comparison.run(kind)
            _tell(report, kind, rounds, packed)
    return report


class _Comparison:
    """One PC, on one file system."""

    def __init__(
        self, bench: Bench, ours: Installation, peer: Casync, versions: list[dict[str, Any]], mounted: Path
    ) -> None:
        self._bench = bench
        self._ours = ours
        self._peer = peer
        self._digests = [version["manifest"] for version in versions]
        self._output = mounted / "casync.raw"
        self._serial = 0
        place = bench.lan.join(f"pc-{mounted.name}")
        self._pc = Pc(place, mounted / "state", log=bench.directory / f"agent-{mounted.name}.log")

    def run(self, kind: str) -> Rounds:
        counted = Rounds()
        self._install_v1(kind)
        for number in range(0 if self._bench.judged else 1, self._bench.rounds + 1):
            # As in `publish`: the first round after so much was written warms up, for both.
            rounds = counted if number else Rounds()
            rounds.ours.append(self._update())
            self._check(self._pc.new_image)
            self._pc.forget_update()
            rounds.peer.append(self._extract())
            self._check(self._output)
            self._output.unlink()
            ours_s, peer_s = rounds.ours[-1].cost.wall_s, rounds.peer[-1].wall_s
            name = f"round {number}" if number else "warming up, not counted"
            self._bench.say(f"{kind}, {name}: ours {ours_s:.2f} s, casync {peer_s:.2f} s")
        return counted

    def _install_v1(self, kind: str) -> None:
        pc, token = self._pc, self._bench.directory / "token"
        pc.enrol(self._ours, token)
        self._ours.ctl("distribute", f"{IMAGE}@1", "--group", GROUP)
        with pc.running():
            pc.await_staged(self._digests[0])
        pc.switch()
        pc.forget_update()

    def _update(self) -> Updated:
        pc = self._pc
        self._ours.ctl("distribute", f"{IMAGE}@1", "--group", GROUP)
        with pc.running():
            self._serial = pc.await_kept(after=self._serial)
            measuring.settle(pc.image, self._ours.store / "packs")
            received, cpu_s = pc.place.received_bytes(), pc.cpu_s()
            self._ours.ctl("distribute", f"{IMAGE}@2", "--group", GROUP)
            ended = pc.await_staged(self._digests[1])
            cost = Cost(ended - pc.assignment_seen_at(), pc.cpu_s() - cpu_s, pc.peak_bytes())
            received = pc.place.received_bytes() - received
        return Updated(cost, received)

    def _extract(self) -> Cost:
        measuring.settle(self._pc.image, self._peer.directory)
        return self._peer.extract("v2", self._output, seed=self._pc.image)

    def _check(self, made: Path) -> None:
        if not measuring.same_bytes(made, self._bench.workload.v2):
            raise HostBroken("wrong_image", f"{made} is not what was published.")


def _room(bench: Bench) -> int:
    """v1, our v2 and the peer's, and some more."""
    one, two = (path.stat().st_blocks * 512 for path in (bench.workload.v1, bench.workload.v2))
    return one + 2 * two + max(SPARE_BYTES, one // 4)


def _tell(report: Report, kind: str, rounds: Rounds, packed: Series) -> None:
    ours, peer, where = rounds.ours, rounds.peer, WORDS[kind]
    time = report.add(f"{kind}.ours.time", [one.cost.wall_s for one in ours], "s")
    cpu = report.add(f"{kind}.ours.cpu", [one.cost.cpu_s for one in ours], "s")
    received = report.add(f"{kind}.ours.received", [one.received_bytes for one in ours], "B")
    peak = report.add(f"{kind}.ours.peak_memory", [one.cost.peak_bytes for one in ours], "B")
    peer_time = report.add(f"{kind}.casync.time", [one.wall_s for one in peer], "s")
    peer_cpu = report.add(f"{kind}.casync.cpu", [one.cpu_s for one in peer], "s")
    report.add(f"{kind}.casync.peak_memory", [one.peak_bytes for one in peer], "B")
    faster = report.add(f"{kind}.time_ratio", ratios(peer_time.values, time.values), "x")
    report.add(f"{kind}.cpu_ratio", ratios(peer_cpu.values, cpu.values), "x")
    more = report.add(f"{kind}.bytes_ratio", [one / packed.median for one in received.values], "x")
    report.at_least(f"updated faster than by casync, {where}", faster, FASTER[kind])
    report.at_most(f"bytes over the PC's cable against the new packed bytes, {where}", more, MORE_BYTES)
    report.at_most(f"the agent's peak memory, {where}", peak, PEAK_BYTES)


if __name__ == "__main__":
    sys.exit(running.main((__doc__ or "").splitlines()[0], measure))
