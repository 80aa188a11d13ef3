"""Processes of this machine, as /proc shows them: who belongs together, and who holds what open."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

PROC = Path("/proc")
GONE_S = 5.0
LOOK_S = 0.01


def of_session(session: int, *, proc: Path = PROC) -> list[int]:
    """All that a process began that made a session of its own (proc(5), stat: field 6)."""
    return [pid for pid in _all(proc) if _field(proc, pid, 6) == str(session)]


def holders(place: Path, *, proc: Path = PROC) -> list[int]:
    """Who has a file or folder below `place` open, or is in it. Not this process."""
    return [pid for pid in _all(proc) if pid != os.getpid() and any(_holds(proc / str(pid), place))]


def kill(pids: list[int], *, proc: Path = PROC, gone_s: float = GONE_S) -> int:
    """Kills them all and returns how many, once they hold nothing any more (or `gone_s` later)."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + gone_s
    while any(_field(proc, pid, 3) not in ("", "Z", "X") for pid in pids) and time.monotonic() < deadline:
        time.sleep(LOOK_S)
    return len(pids)


def _all(proc: Path) -> list[int]:
    return [int(entry.name) for entry in proc.iterdir() if entry.name.isdecimal()]


def _field(proc: Path, pid: int, number: int) -> str:
    """A field of stat, counted from 1 as in proc(5); nothing when the process has gone. Its second, the
    program's name, may hold anything, so it is counted from behind that."""
    try:
        stat = (proc / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return ""
    return stat.rpartition(")")[2].split()[number - 3]


def _holds(process: Path, place: Path) -> Iterator[bool]:
    for link in (process / "cwd", process / "root", *_links(process / "fd")):
        with suppress(OSError):
            target = link.readlink()
            yield target == place or place in target.parents


def _links(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []
