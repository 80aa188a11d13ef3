"""What a replica costs beside a plain `restic backup` of the same data through the same gateway, in one run.

`python -m benchmarks.replica [--quick] [--json] [--rounds N]`. Ours is the very program of the virtual server
(`vrasnode.servicevm.guest.copying`: slices, hashes, manifest) on this processor, without a guest. The
gateway is the product's, before a folder of this machine. "alone" is restic with its defaults.
"""

import base64
import hashlib
import json
import os
import random
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from benchmarks import measuring, scratch
from benchmarks.reporting import Report, ratios
from benchmarks.running import EXIT_NOT_RUN, parser, say, tell, versions
from config.demo.processes import Child, wait_for
from config.demo.server import ROOT
from vrasnode.errors import HostBroken, VrasError

ROUNDS = 5
SLICE_BYTES = 256 << 20
USERS = {"ours": "of-ours", "alone": "of-alone"}
OPENS = "opens-the-repository"
UNCHANGED_LIMIT, SENT_LIMIT = 3.0, 1.2
COMMANDS = [
    "python -m vrasnode.servicevm.guest.copying < order.json",
    "restic backup DATA",
]


@dataclass(frozen=True)
class Recipe:
    """How many files of which kind: notes of about 12 KB, documents of about 400 KB, pictures of 8 MB."""

    name: str
    notes: int
    documents: int
    pictures: int


FULL = Recipe("full", 6000, 900, 60)
QUICK = Recipe("quick", 300, 30, 2)


class Desk:
    """The data, the gateway, and both who copy."""

    def __init__(self, directory: Path, port: int) -> None:
        self.data = directory / "data"
        self.nas = directory / "nas"
        self._directory = directory
        self.port = port
        self._chance = random.Random(7)

    def furnish(self, recipe: Recipe) -> None:
        chance = self._chance
        words = ["".join(chance.choices("abcdefghijklmnop", k=chance.randint(2, 10))) for _ in range(3000)]
        for number in range(recipe.notes):
            text = " ".join(chance.choices(words, k=2000))
            self._write(f"Documents/{number % 60:02}/note{number}.txt", text.encode())
        for number in range(recipe.documents):
            data = chance.randbytes(chance.randint(200_000, 600_000))
            self._write(f"Documents/office/{number % 20}/report{number}.docx", data)
        for number in range(recipe.pictures):
            self._write(f"Pictures/{number}.raw", chance.randbytes(8_000_000))

    def change(self, share: float) -> int:
        """Other content in documents that make up this share of all bytes; how many bytes these are."""
        files = self.files()
        wanted, changed = share * sum(path.stat().st_size for path in files), 0
        documents = [path for path in files if path.suffix == ".docx"]
        self._chance.shuffle(documents)
        for path in documents:
            if changed >= wanted:
                break
            size = path.stat().st_size
            path.write_bytes(self._chance.randbytes(size))
            changed += size
        return changed

    def files(self) -> list[Path]:
        found = (path for path in self.data.rglob("*") if ".openvras" not in path.parts)
        return sorted(path for path in found if path.is_file())

    def stored(self, who: str) -> int:
        return sum(measuring.files_below(self.nas / who).values())

    def copy(self, who: str) -> tuple[float, float, int]:
        """Seconds, seconds of processor, and bytes that the NAS has more. Raises HostBroken."""
        before = self.stored(who)
        measuring.settle(self.data)
        seconds, cpu = self._ours() if who == "ours" else self._alone()
        return seconds, cpu, self.stored(who) - before

    def repository(self, who: str) -> str:
        return f"rest:http://{who}:{USERS[who]}@127.0.0.1:{self.port}/{who}/"

    def init(self, who: str) -> None:
        self._run(["restic", "init"], self._environment(who))

    def _ours(self) -> tuple[float, float]:
        order = {
            "root": str(self.data),
            "manifest": str(self._directory / "manifest.gz"),
            "repository": self.repository("ours"),
            "repository_password": OPENS,
            "slice_bytes": SLICE_BYTES,
        }
        program = [sys.executable, "-m", "vrasnode.servicevm.guest.copying"]
        seconds, cpu, said = self._run(program, dict(os.environ), json.dumps(order))
        if json.loads(said.splitlines()[-1])["state"] != "done":
            raise HostBroken("not_copied", said.splitlines()[-1])
        return seconds, cpu

    def _alone(self) -> tuple[float, float]:
        command = ["restic", "backup", "--quiet", "--exclude", str(self.data / ".openvras"), str(self.data)]
        seconds, cpu, _said = self._run(command, self._environment("alone"))
        return seconds, cpu

    def _environment(self, who: str) -> dict[str, str]:
        given = {"RESTIC_REPOSITORY": self.repository(who), "RESTIC_PASSWORD": OPENS}
        return {**os.environ, **given, "RESTIC_CACHE_DIR": str(self._directory / "cache")}

    def _run(self, argv: list[str], env: dict[str, str], stdin: str = "") -> tuple[float, float, str]:
        before, started = os.times(), time.monotonic()
        done = subprocess.run(
            argv, cwd=ROOT, env=env, input=stdin, capture_output=True, text=True, check=False
        )
        seconds, after = time.monotonic() - started, os.times()
        if done.returncode:
            raise HostBroken(
                "command_failed", f"{argv[0]} ended with {done.returncode}: {done.stderr[-500:]}"
            )
        cpu = after.children_user + after.children_system - before.children_user - before.children_system
        return seconds, cpu, done.stdout

    def _write(self, name: str, data: bytes) -> None:
        path = self.data / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def measure(report: Report, desk: Desk, rounds: int, *, say: Callable[[str], None]) -> None:
    """First everything, then rounds without a change and with one hundredth of all bytes changed."""
    for who in USERS:
        desk.init(who)
        seconds, cpu, sent = desk.copy(who)
        say(f"first, {who}: {seconds:.1f} s, {sent / 1e6:.0f} MB")
        for name, value, unit in (("time", seconds, "s"), ("cpu", cpu, "s"), ("sent", sent, "B")):
            report.add(f"first.{who}.{name}", [value], unit)
    found: dict[str, list[float]] = {}
    for number in range(1, rounds + 1):
        _round(desk, found, turn=number)
        ours, alone = (found[f"unchanged.{who}.time"][-1] for who in USERS)
        say(f"round {number}: unchanged {ours:.2f} s, restic alone {alone:.2f} s")
    for name, values in sorted(found.items()):
        report.add(name, values, "s" if name.endswith(("time", "cpu")) else "B")
    times = ratios(found["unchanged.ours.time"], found["unchanged.alone.time"])
    unchanged = report.add("unchanged.time_ratio", times, "x")
    sizes = ratios(found["changed.ours.sent"], found["changed.bytes"])
    grown = report.add("changed.ours.sent_ratio", sizes, "x")
    report.add("changed.alone.sent_ratio", ratios(found["changed.alone.sent"], found["changed.bytes"]), "x")
    report.at_most("without a change, against restic alone", unchanged, UNCHANGED_LIMIT)
    report.at_most("1 % changed: bytes stored against bytes changed", grown, SENT_LIMIT)


def _round(desk: Desk, found: dict[str, list[float]], *, turn: int) -> None:
    """Both in turns: who was first is second the next time."""
    order = sorted(USERS, reverse=bool(turn % 2))
    for kind in ("unchanged", "changed"):
        if kind == "changed":
            found.setdefault("changed.bytes", []).append(desk.change(0.01))
        for who in order:
            for name, value in zip(("time", "cpu", "sent"), desk.copy(who), strict=True):
                found.setdefault(f"{kind}.{who}.{name}", []).append(value)


def main() -> int:
    options = parser(__doc__, quick="few files, one round", rounds=ROUNDS).parse_args()
    recipe = QUICK if options.quick else FULL
    rounds = options.rounds or (1 if options.quick else ROUNDS)
    try:
        with ExitStack() as undo:
            directory = undo.enter_context(scratch.directory())
            desk = Desk(directory, _free_port())
            child = undo.enter_context(_gateway(desk, directory))
            wait_for("the gateway", lambda: _answers(desk.port), children=[child])
            desk.furnish(recipe)
            files = desk.files()
            words = f"{len(files)} files, {sum(path.stat().st_size for path in files) / 1e6:.0f} MB"
            loaded = ", ".join(f"{load:.1f}" for load in os.getloadavg())
            note = f"Load before it began, all processors, over 1, 5 and 15 minutes: {loaded}."
            report = Report("replica", words, rounds, COMMANDS, judged=not options.quick, notes=[note])
            measure(report, desk, rounds, say=say)
    except VrasError as error:
        print(error, file=sys.stderr)
        return EXIT_NOT_RUN
    rclone = _version(str(Path(sys.executable).with_name("rclone")), "version")
    found = {**versions(), "restic": _version("restic", "version"), "rclone": rclone}
    return tell(report, found, as_json=options.json)


def _gateway(desk: Desk, directory: Path) -> Child:
    """The product's program with the product's flags, before a folder."""
    desk.nas.mkdir()
    who = directory / "who"
    who.write_text("".join(f"{name}:{{SHA}}{_sha(password)}\n" for name, password in USERS.items()))
    program = str(Path(sys.executable).with_name("rclone"))
    flags = ["--append-only", "--private-repos", "--cache-objects=false", "--htpasswd", str(who)]
    argv = [program, "serve", "restic", "--addr", f"127.0.0.1:{desk.port}", *flags, str(desk.nas)]
    return Child("rclone", argv, log=directory / "rclone.log", env={"RCLONE_CONFIG": "/dev/null"})


def _sha(password: str) -> str:
    return base64.b64encode(hashlib.sha1(password.encode()).digest()).decode()  # noqa: S324


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _version(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[1]


if __name__ == "__main__":
    sys.exit(main())
