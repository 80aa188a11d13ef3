"""How soon user data opens after a logon and how soon it is shut when the server knows that it must be.

`python -m benchmarks.cutoff [--quick] [--json] [--rounds N]`. Two places, told apart: guests are emulated.

- `pc.*`: the volume's own world on this machine's processor, no guest: a PC with KVM has that as well;
- `walk.*`: the whole way on real parts: a logon by Kerberos inside the client VM until its user reads; an
  administrator's word at the server until the volume's data path is gone, and until a read in the client VM
  fails. The guests' part of these is emulation.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from benchmarks.reporting import Report, Series
from benchmarks.running import EXIT_NOT_RUN, parser, say, tell, versions
from config.demo import documents, lan, pcs
from config.demo.bootimage import default_cache
from config.demo.directory import Directory
from config.demo.office import DemoPc, Office
from vrasnode.errors import HostBroken, VrasError
from vrasnode.mydoc.volumes import Volumes

ROUNDS = 20
PC_ROUNDS = 50  # these are cheap
WITHIN_S = 2.0  # from the server's knowing to no read
LIMIT_S = 120.0
LOOK_S = 0.005
SIZE_BYTES = 64 << 20
USER = "alice"
COMMANDS = [
    "openvras-logon (in the client VM)",
    "POST /api/v1/openings/ID/close/",
    "qemu-io -r -f raw nbd+unix:///VOLUME?socket=SOCKET -c 'read 0 4k'",
]
NOTE = (
    "pc.*: without a guest, on this processor. walk.*: client VM and virtual server are emulated (TCG), so\n"
    "what they take there says nothing about a PC with KVM. walk.cut.data_path waits for no client VM."
)


def measure_pc(report: Report, directory: Path, rounds: int) -> None:
    """The volume's world alone."""
    volumes, volume, key = Volumes(directory), str(uuid.uuid4()), os.urandom(32)
    opened, cut, proven = [], [], []
    started = time.monotonic()
    volumes.create(volume, lan_key=key, recovery_key=os.urandom(32), limit_bytes=SIZE_BYTES)
    created = time.monotonic() - started
    for _round in range(rounds):
        started = time.monotonic()
        address = f"nbd+unix:///{volume}?socket={volumes.serve(volume, key)}"
        if not _reads(address):
            raise HostBroken("not_open", "The open volume cannot be read.")
        opened.append(time.monotonic() - started)
        started = time.monotonic()
        volumes.stop(volume)
        cut.append(time.monotonic() - started)
        if _reads(address) or not volumes.prove_locked(volume):
            raise HostBroken("not_locked", "The locked volume can be read.")
        proven.append(time.monotonic() - started)
    report.add("pc.create", [created], "s")
    report.add("pc.open_and_read", opened, "s")
    report.add("pc.cut", cut, "s")
    _p95(report, "pc.cut")
    report.add("pc.cut_and_proof", proven, "s")


def measure_walk(report: Report, office: Office, rounds: int, *, say: Callable[[str], None]) -> None:
    """The whole way, on one PC."""
    pc = office.pcs[0]
    opened, path, told, failed = [], [], [], []
    for number in range(rounds + 1):
        started = time.monotonic()
        pc.log_on(USER, Directory.password_of(USER))
        _until(lambda: pc.as_user(USER, "ls Documents/").exit_code == 0)
        unlocked = time.monotonic() - started
        (opening,) = office.rest("GET", "/api/v1/openings/?state=open")["results"]
        started = time.monotonic()
        office.rest("POST", f"/api/v1/openings/{opening['id']}/close/", {"reason": "benchmark"})
        known = time.monotonic()
        _until(lambda: not _daemons(pc))
        gone = time.monotonic()
        _until(lambda: pc.as_user(USER, "ls Documents/").exit_code != 0)
        unread = time.monotonic()
        _until(partial(_is_locked, office, opening["volume"]))
        say(f"round {number}: open after {unlocked:.1f} s, data path gone {gone - known:.2f} s")
        if not number:
            report.add("walk.first_logon", [unlocked], "s")  # the volume is made
            continue
        opened.append(unlocked)
        path.append(gone - started)
        failed.append(unread - started)
        told.append(time.monotonic() - started)
    report.add("walk.logon_to_read", opened, "s")
    _p95(report, "walk.logon_to_read")
    report.add("walk.cut.data_path", path, "s")
    tail = _p95(report, "walk.cut.data_path")
    report.add("walk.cut.read_fails_inside", failed, "s")
    _p95(report, "walk.cut.read_fails_inside")
    report.add("walk.cut.proof_at_the_server", told, "s")
    report.at_most("the server knows → no data path, p95", tail, WITHIN_S)


def main() -> int:
    options = parser(__doc__, quick="one round", rounds=ROUNDS).parse_args()
    rounds = options.rounds or (1 if options.quick else ROUNDS)
    words = "one user on one PC" + (", quick" if options.quick else "")
    report = Report("cutoff", words, rounds, COMMANDS, judged=not options.quick, notes=[NOTE])
    try:
        with ExitStack() as undo:
            for sweep in (pcs.sweep_stale, lan.sweep_stale):
                sweep()
            place = Path(undo.enter_context(tempfile.TemporaryDirectory(prefix="openvras-bench-")))
            measure_pc(report, place / "volumes", rounds if options.quick else PC_ROUNDS)
            cache = default_cache()
            images = documents.build(cache, say=say)
            office = undo.enter_context(
                Office(place / "office", port=0, count=1, cache=cache, say=say, full=True)
            )
            office.furnish()
            documents.equip(office, images)
            measure_walk(report, office, rounds, say=say)
    except VrasError as error:
        print(error, file=sys.stderr)
        return EXIT_NOT_RUN
    return tell(report, versions(), as_json=options.json)


def _p95(report: Report, name: str) -> Series:
    """Added beside it; of fewer than 20 rounds the largest."""
    values = report.series[name].values
    found = statistics.quantiles(values, n=20)[-1] if len(values) >= ROUNDS else max(values)
    return report.add(f"{name}.p95", [found], "s")


def _reads(address: str) -> bool:
    command = ["qemu-io", "-r", "-f", "raw", address, "-c", "read 0 4k"]
    return subprocess.run(command, capture_output=True, timeout=LIMIT_S, check=False).returncode == 0


def _is_locked(office: Office, volume: str) -> bool:
    return bool(office.rest("GET", f"/api/v1/volumes/{volume}/")["state"] == "locked")


def _daemons(pc: DemoPc) -> list[int]:
    """What serves open volumes on this PC."""
    return [pid for pid in pc.lab.place.processes() if _program(pid) == "qemu-storage-daemon"]


def _program(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0].decode().rpartition("/")[2]
    except OSError:
        return ""


def _until(so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not so():
        if time.monotonic() > deadline:
            raise HostBroken("too_slow", f"It did not happen within {LIMIT_S:.0f} s.")
        time.sleep(LOOK_S)


if __name__ == "__main__":
    sys.exit(main())
