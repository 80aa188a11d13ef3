"""What a piece of work costs: time, processor time, memory; and the same start for everyone who is measured.

Processes are looked at from outside (wait4(2), proc(5)), so ours and the peer's are measured alike.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from vrasnode.chunks.scanning import extents
from vrasnode.errors import HostBroken
from vrasnode.host import disk

READ_BYTES = 4 << 20
_LAUNCHER = [sys.executable, "-I", "-S", str(Path(__file__).with_name("launcher.py"))]
_TICKS_S: int = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Cost:
    """What one run took. `cpu_s` is user and system time, its children's too; `peak_bytes` the largest
    resident set of one process."""

    wall_s: float
    cpu_s: float
    peak_bytes: int = 0


def run(argv: Sequence[str | Path], *, env: Mapping[str, str] | None = None) -> tuple[Cost, str]:
    """Runs a command to its end; its cost and what it wrote to standard output.

    Raises HostBroken(command_failed) with the end of what it said.
    """
    with (
        tempfile.TemporaryFile() as said,
        tempfile.TemporaryFile() as output,
        tempfile.TemporaryFile() as told,
    ):
        done = subprocess.run(
            [*_LAUNCHER, str(told.fileno()), *argv],
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=said,
            pass_fds=[told.fileno()],
            check=False,
        )
        if done.returncode:
            words = f"`{' '.join(map(str, argv[:6]))} …` ended with {done.returncode}: {_whole(said)[-1000:]}"
            raise HostBroken("command_failed", words.strip())
        return Cost(**json.loads(_whole(told))), _whole(output)


def cpu_s(pids: Iterable[int]) -> float:
    """Processor seconds that these processes took so far, with those of their children that ended.

    Raises HostBroken(process_gone).
    """
    return sum(_cpu_ticks(pid) for pid in pids) / _TICKS_S


def peak_bytes(pid: int) -> int:
    """The largest resident set that a process ever had. Raises HostBroken(process_gone)."""
    for line in _proc(pid, "status").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) << 10
    raise HostBroken("process_gone", f"Process {pid} has ended.")


def settle(*inputs: Path) -> None:
    """The same start for everyone: nothing left to be written by others, `inputs` read once (directories
    with all they hold), so that they lie in the page cache as far as it reaches."""
    os.sync()
    buffer = memoryview(bytearray(READ_BYTES))
    for path in inputs:
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file():
                _read(file, buffer)


def files_below(directory: Path) -> dict[Path, int]:
    """Every file below a directory with its size in bytes."""
    return {path: path.stat().st_size for path in directory.rglob("*") if path.is_file()}


def same_bytes(one: Path, other: Path) -> bool:
    """Whether two images hold the same bytes; holes are zeros, and are not read where both have them."""
    size = one.stat().st_size
    if size != other.stat().st_size:
        return False
    mine, theirs = memoryview(bytearray(READ_BYTES)), memoryview(bytearray(READ_BYTES))
    with one.open("rb") as first, other.open("rb") as second:
        blocks = {
            block
            for file in (first, second)
            for start, end in extents(file.fileno(), size)
            for block in range(start // READ_BYTES, -(-end // READ_BYTES))
        }
        for block in sorted(blocks):
            length = min(READ_BYTES, size - block * READ_BYTES)
            for file, buffer in ((first, mine), (second, theirs)):
                disk.read_exactly(file.fileno(), buffer[:length], start=block * READ_BYTES)
            if mine[:length] != theirs[:length]:
                return False
    return True


def _read(path: Path, buffer: memoryview) -> None:
    with path.open("rb", buffering=0) as file:
        for start, end in extents(file.fileno(), path.stat().st_size):
            for at in range(start, end, READ_BYTES):
                os.preadv(file.fileno(), [buffer[: min(READ_BYTES, end - at)]], at)


def _cpu_ticks(pid: int) -> int:
    fields = _proc(pid, "stat").rpartition(")")[2].split()
    return sum(map(int, fields[11:15]))  # utime, stime, cutime, cstime


def _proc(pid: int, name: str) -> str:
    try:
        return Path(f"/proc/{pid}/{name}").read_text()
    except (FileNotFoundError, ProcessLookupError) as error:
        raise HostBroken("process_gone", f"Process {pid} has ended. See its log.") from error


def _whole(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode(errors="replace")
