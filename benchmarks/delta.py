"""Delta frames: how many bytes a PC with version 1 needs for version 2, and what making them costs.

`python -m benchmarks.delta [--quick] [--json] [--workload DIR]`. Beside `casync make` (bytes that it adds,
time) and `zstd --patch-from --long=31` over what only one of the versions has: one stream for one pair of
versions, with a window over all of it, so the least that this method of compression can reach.

Ours: the versions are published, the worker makes the frames, a PC in the LAN that runs v1 fetches v2 with
`vrasnode run`; what is counted is what came over its cable. One round: bytes do
not differ from one to the next.
"""

import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks import casync, measuring, running
from benchmarks.casync import Casync
from benchmarks.installation import GROUP, IMAGE, Installation, Pc
from benchmarks.measuring import Cost
from benchmarks.reporting import Report
from benchmarks.running import Bench
from vrasnode.chunks import opening
from vrasnode.chunks.scanning import scan
from vrasnode.errors import HostBroken
from vrasnode.wire.imaging import CHUNK_BYTES

AGAINST_CASYNC, AGAINST_BOUND, READY_AGAINST_CASYNC = 0.75, 1.10, 2.0
PEAK_BYTES = 500e6
LIMIT_S = 1800.0
MOST_PATCHED_BYTES = (2 << 30) - CHUNK_BYTES  # zstd --patch-from takes no more
PATCH = ["zstd", "-q", "-f", "-3", "--long=31"]
COMMANDS = [
    "vrasnode run --state STATE",
    casync.make_command(),
    "zstd -3 --long=31 --patch-from=only-v1 only-v2",
]


def measure(bench: Bench) -> Report:
    """One round. Raises HostBroken."""
    report = Report("delta", str(bench.workload), 1, COMMANDS, bench.judged)
    v1, v2 = bench.workload.v1, bench.workload.v2
    peer = Casync(bench.directory / "casync")
    peer.make("v1", v1)
    before = peer.stored()
    measuring.settle(v2)
    made = peer.make("v2", v2)
    peer_bytes = peer.stored_bytes(except_for=before)
    bench.say(f"casync: {peer_bytes / 1e6:.1f} MB in {made.wall_s:.1f} s")
    patch_bytes, patched = _patch(bench.directory, v1, v2)
    bench.say(f"zstd --patch-from: {patch_bytes / 1e6:.1f} MB in {patched.wall_s:.1f} s")
    with Installation(bench.directory / "ours", bench.lan, delta_bases=1) as ours:
        versions = [ours.publish(image)[1] for image in (v1, v2)]
        deltas = _await_deltas(ours)
        cpu_s, peak = ours.part_cost("deltas")
        ready_s = (_moment(deltas["ready_at"]) - _moment(versions[1]["ready_at"])).total_seconds()
        bench.say(f"ours: {deltas['delta_bytes'] / 1e6:.1f} MB, ready after {ready_s:.1f} s")
        received, staged_s = _update(bench, ours, [version["manifest"] for version in versions])
    report.add("ours.plain", [deltas["plain_bytes"]], "B")
    report.add("ours.delta", [deltas["delta_bytes"]], "B")
    report.add("ours.received", [received], "B")
    report.add("ours.staged", [staged_s], "s")
    report.add("ours.ready", [ready_s], "s")
    report.add("ours.making_cpu", [cpu_s], "s")
    memory = report.add("ours.making_peak_memory", [peak], "B")
    report.add("casync.bytes", [peer_bytes], "B")
    report.add("casync.time", [made.wall_s], "s")
    report.add("patch.bytes", [patch_bytes], "B")
    report.add("patch.time", [patched.wall_s], "s")
    report.add("patch.peak_memory", [patched.peak_bytes], "B")
    against = report.add("ratio.casync", [received / peer_bytes], "x")
    bound = report.add("ratio.patch", [received / patch_bytes], "x")
    ready = report.add("ratio.ready", [ready_s / made.wall_s], "x")
    report.at_most("bytes to a PC with v1 against casync's", against, AGAINST_CASYNC)
    report.at_most("against zstd --patch-from", bound, AGAINST_BOUND)
    report.at_most("ready, against the time of casync make", ready, READY_AGAINST_CASYNC)
    report.at_most("peak memory of the worker that makes them", memory, PEAK_BYTES)
    return report


def _await_deltas(ours: Installation) -> dict[str, Any]:
    deadline = time.monotonic() + LIMIT_S
    while True:
        newest = max(ours.ctl("image", "show", IMAGE)["versions"], key=lambda version: version["number"] or 0)
        found: dict[str, Any] = newest["deltas"][0]
        if found["state"] == "ready":
            return found
        if found["state"] == "failed" or time.monotonic() > deadline:
            raise HostBroken("not_done", f"No delta frames were made: {found}")
        time.sleep(0.5)


def _update(bench: Bench, ours: Installation, digests: list[str]) -> tuple[int, float]:
    """Bytes over the cable of a PC that comes from v1, and seconds from its assignment until v2 is staged."""
    pc = Pc(bench.lan.join("pc"), bench.directory / "state", log=bench.directory / "agent.log")
    pc.enrol(ours, bench.directory / "token")
    ours.ctl("distribute", f"{IMAGE}@1", "--group", GROUP)
    with pc.running():
        pc.await_staged(digests[0])
    pc.switch()
    pc.forget_update()
    ours.ctl("distribute", f"{IMAGE}@1", "--group", GROUP)
    with pc.running():
        pc.await_kept(after=0)
        received = pc.place.received_bytes()
        ours.ctl("distribute", f"{IMAGE}@2", "--group", GROUP)
        ended = pc.await_staged(digests[1])
        received = pc.place.received_bytes() - received
        staged_s = ended - pc.assignment_seen_at()
    if not measuring.same_bytes(pc.new_image, bench.workload.v2):
        raise HostBroken("wrong_image", f"{pc.new_image} is not what was published.")
    return received, staged_s


def _patch(directory: Path, v1: Path, v2: Path) -> tuple[int, Cost]:
    """What zstd needs for the chunks that only v2 has, from those that only v1 has."""
    one, two = (_digests(path) for path in (v1, v2))
    only = []
    for path, mine, theirs in ((v1, one, two), (v2, two, one)):
        target = directory / f"only-{path.name}"
        _write_only(path, target, {number for digest, number in mine.items() if digest not in theirs})
        only.append(target)
    output = directory / "patch.zst"
    cost, _said = measuring.run([*PATCH, f"--patch-from={only[0]}", str(only[1]), "-o", str(output)])
    size = output.stat().st_size
    for path in (*only, output):
        path.unlink()
    return size, cost


def _digests(path: Path) -> dict[bytes, int]:
    """Each chunk's digest, with the first number that has it; free space of v1 is no help to anybody."""
    found: dict[bytes, int] = {}
    with opening.open_image(path) as image:
        free = image.free_space().ranges
        for batch in scan(image.fd, image.size_bytes, chunk_bytes=CHUNK_BYTES):
            for number, digest in zip(batch.numbers, batch.digests, strict=True):
                if not free.cover(number * CHUNK_BYTES, (number + 1) * CHUNK_BYTES):
                    found.setdefault(digest, number)
            batch.release()
    return found


def _write_only(path: Path, target: Path, numbers: set[int]) -> None:
    with path.open("rb") as source, target.open("wb") as output:
        for number in sorted(numbers)[: MOST_PATCHED_BYTES // CHUNK_BYTES]:
            source.seek(number * CHUNK_BYTES)
            output.write(source.read(CHUNK_BYTES))


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


if __name__ == "__main__":
    sys.exit(running.main((__doc__ or "").splitlines()[0], measure))
