"""What is measured, by tools that others trust: fio for the disk, iperf3 for the network, sysbench for
processor and memory.

Each measure is one number a round, more is better. What the numbers mean beside another PC's is not judged
here (`comparing`).
"""

import json
import re
import socket
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from vrasnode.errors import HostBroken, Refused
from vrasnode.host import thispc

OWN, SHARED = 0.05, 0.10  # the loss promised at most: what the client VM owns, what it shares
SLACK_S = 60.0
PEER_PORT = 5201  # iperf3's own
_PORTS_TRIED = 5


@dataclass(frozen=True)
class Place:
    """Where it is measured: `disk` is a file of `disk_bytes` on the disk in question; `peer` a host that runs
    `iperf3 -s`, None: this PC itself. Each measure takes about `seconds`."""

    disk: Path
    disk_bytes: int
    seconds: int
    peer: str | None
    cpus: int


@dataclass(frozen=True)
class Measure:
    """`limit` is the loss that was promised at most; `run` returns one value. Raises HostBroken."""

    name: str
    unit: str
    limit: float
    run: Callable[[Place], float]


def measures(*, peer: str | None, passed: Sequence[str] = ()) -> list[Measure]:
    """All of them. `passed`: "disk" and "network", as far as the client VM owns the device itself."""
    disk = OWN if "disk" in passed else SHARED
    network = OWN if "network" in passed else SHARED
    line = "network.lan" if peer else "network.loopback"
    return [
        Measure("disk.read.sequential", "B/s", disk, lambda place: _disk(place, "read", "1m", 4)[0]),
        Measure("disk.write.sequential", "B/s", disk, lambda place: _disk(place, "write", "1m", 4)[0]),
        Measure("disk.read.random_4k", "1/s", disk, lambda place: _disk(place, "randread", "4k", 8)[1]),
        Measure("disk.write.random_4k", "1/s", disk, lambda place: _disk(place, "randwrite", "4k", 8)[1]),
        Measure(f"{line}.send", "B/s", network, lambda place: _network(place, [])),
        Measure(f"{line}.receive", "B/s", network, lambda place: _network(place, ["--reverse"])),
        Measure("cpu.one", "1/s", OWN, lambda place: _cpu(place, 1)),
        Measure("cpu.all", "1/s", OWN, lambda place: _cpu(place, place.cpus)),
        Measure("memory.read", "B/s", OWN, lambda place: _memory(place, "read")),
        Measure("memory.write", "B/s", OWN, lambda place: _memory(place, "write")),
    ]


@contextmanager
def scratch(place: Place) -> Iterator[None]:
    """The disk's file, written once before anything is measured, gone after it.

    Raises Refused(no_direct_io) where the page cache cannot be passed by: memory would be measured.
    """
    if not thispc.takes_direct_io(place.disk.parent):
        words = f"{place.disk.parent} takes no direct I/O. Give --disk, a directory on the disk in question."
        raise Refused("no_direct_io", words)
    try:
        _fio(place, ["--rw=write", "--bs=1m", "--iodepth=4", "--end_fsync=1"])
        yield
    finally:
        place.disk.unlink(missing_ok=True)


def _disk(place: Place, kind: str, block: str, depth: int) -> tuple[float, float]:
    """Bytes and requests per second, past the page cache."""
    timed = ["--time_based", f"--runtime={place.seconds}"]
    found = _fio(place, [f"--rw={kind}", f"--bs={block}", f"--iodepth={depth}", *timed])
    side = found["read" if "read" in kind else "write"]
    return float(side["bw_bytes"]), float(side["iops"])


def _fio(place: Place, arguments: Sequence[str]) -> dict[str, dict[str, float]]:
    file = [f"--filename={place.disk}", f"--size={place.disk_bytes}", "--direct=1", "--ioengine=libaio"]
    out = _tool(["fio", "--name=bench", *file, *arguments, "--output-format=json"], place.seconds)
    job: dict[str, dict[str, float]] = json.loads(out[out.index("{") :])["jobs"][0]
    return job


def _network(place: Place, arguments: Sequence[str]) -> float:
    """Bytes per second that arrived, over one TCP connection."""
    with _peer(place) as (name, port):
        call = ["iperf3", "--client", name, "--port", str(port), "--time", str(place.seconds), "--json"]
        out = _tool([*call, *arguments], place.seconds)
    return float(json.loads(out)["end"]["sum_received"]["bits_per_second"]) / 8


@contextmanager
def _peer(place: Place) -> Iterator[tuple[str, int]]:
    if place.peer:
        yield place.peer, PEER_PORT
        return
    server, port = _listening()
    try:
        yield "127.0.0.1", port
    finally:
        server.kill()
        server.communicate()


def _listening() -> tuple["subprocess.Popen[str]", int]:
    """An iperf3 that serves one client, and its port. It cannot take a free port itself, so another program
    may be quicker."""
    for _ in range(_PORTS_TRIED):
        with socket.create_server(("127.0.0.1", 0)) as free:
            port: int = free.getsockname()[1]
        own = ["--bind", "127.0.0.1", "--port", str(port)]
        server = _start(["iperf3", "--server", "--one-off", "--forceflush", *own])
        if any("listening" in line for line in server.stdout or ()):
            return server, port
        server.wait()
    raise HostBroken("measure_failed", "iperf3 found no free port here. Try again.")


def _cpu(place: Place, threads: int) -> float:
    """Searches for primes per second (sysbench cpu)."""
    out = _tool(["sysbench", "cpu", f"--threads={threads}", f"--time={place.seconds}", "run"], place.seconds)
    return _number(r"events per second:\s*([\d.]+)", out)


def _memory(place: Place, operation: str) -> float:
    """Bytes per second through a buffer of 256 MiB, which no cache holds."""
    size = ["--memory-block-size=256M", "--memory-total-size=1P", f"--memory-oper={operation}"]
    out = _tool(["sysbench", "memory", *size, f"--time={place.seconds}", "run"], place.seconds)
    return _number(r"transferred \(([\d.]+) MiB/sec\)", out) * (1 << 20)


def _number(pattern: str, text: str) -> float:
    found = re.search(pattern, text)
    if found is None:
        raise HostBroken("measure_failed", f"sysbench said nothing of use: {text[-300:].strip()}")
    return float(found[1])


def _tool(argv: Sequence[str], seconds: int) -> str:
    """What a tool wrote. Raises HostBroken(tool_missing, measure_failed)."""
    try:
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds + SLACK_S,
            check=False,
        )
    except FileNotFoundError as error:
        raise _missing(argv[0]) from error
    except subprocess.TimeoutExpired as error:
        raise HostBroken("measure_failed", f"{argv[0]} did not end in {error.timeout:.0f} s.") from error
    if done.returncode:
        said = (done.stderr or done.stdout)[-300:].strip()
        raise HostBroken("measure_failed", f"{argv[0]} ended with {done.returncode}: {said}")
    return done.stdout


def _start(argv: Sequence[str]) -> "subprocess.Popen[str]":
    nowhere = subprocess.DEVNULL
    try:
        return subprocess.Popen(argv, stdin=nowhere, stdout=subprocess.PIPE, stderr=nowhere, text=True)
    except FileNotFoundError as error:
        raise _missing(argv[0]) from error


def _missing(tool: str) -> HostBroken:
    return HostBroken("tool_missing", f"{tool} is missing. Install it: apt install {tool}.")
