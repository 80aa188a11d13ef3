"""The process through which an open volume is read and written: one qemu-storage-daemon for each.

It decrypts the file and serves it as NBD on a unix socket, so the key is in its memory and nowhere in the
virtual server's QEMU; its end takes key and way to the data at once, whatever the machines do. It is nobody's
child and goes on while the agent is restarted. Which process it is, is not noted anywhere: it is the one that
was told to listen at this socket, so a note can neither be stale nor missing.

What it acknowledged is in the file before it says so; killing it loses nothing of that.
"""

import grp
import json
import os
import select
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from vrasnode.errors import HostBroken
from vrasnode.mydoc import luks, secretpipes
from vrasnode.mydoc.secretpipes import handed
from vrasnode.sealing import passphrase

PROGRAM = "qemu-storage-daemon"
NO_CORE = ["prlimit", "--core=0:0"]  # a core file would hold the key
START_S = 30.0
END_S = 10.0
CONNECT_S = 2.0
MACHINES_GROUP = "libvirt-qemu"  # as whom Debian's libvirt runs machines

_WRONG_KEY = "Invalid password"
_LONGEST_PATH = 107  # unix(7): sun_path


def start(file: Path, key: bytes, *, export: str, at: Path, read_only: bool = False) -> None:
    """Serves the volume at the socket `at` under the name `export`; returns once it can be read. `read_only`:
    whoever comes there writes nothing.

    Raises Refused(wrong_key) and HostBroken(storage_daemon_failed)."""
    if len(os.fsencode(at)) > _LONGEST_PATH:
        raise HostBroken("storage_daemon_failed", f"{at} is too long for a socket: use a shorter directory.")
    at.unlink(missing_ok=True)
    with handed(passphrase(key).encode()) as handles:
        command = [
            *NO_CORE,
            PROGRAM,
            *_arguments(file, handles[0], export=export, at=at, read_only=read_only),
        ]
        try:
            done = secretpipes.run(command, handles, timeout_s=START_S)
        except (OSError, subprocess.TimeoutExpired) as error:
            end(at)
            raise _failed(file, str(error)) from error
    if done.returncode:
        raise luks.wrong_key(file) if _WRONG_KEY in done.stderr else _failed(file, done.stderr.strip())
    let_machines_in(at)


def let_machines_in(at: Path) -> None:
    """Lets libvirt's machines use the socket, and nobody else."""
    with suppress(KeyError):
        shutil.chown(at, group=grp.getgrnam(MACHINES_GROUP).gr_gid)
    at.chmod(0o660)


def find(at: Path) -> list[int]:
    """The processes that serve, or begin to serve, at this socket: usually one or none."""
    return [pid for pid in _processes() if _is_daemon(pid, at)]


def listens(at: Path) -> bool:
    """Whether anybody answers at this socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
        line.settimeout(CONNECT_S)
        try:
            line.connect(str(at))
        except OSError:
            return False
    return True


def end(at: Path) -> None:
    """Kills what serves there and returns when it is gone. Raises HostBroken(storage_daemon_stuck)."""
    while pids := find(at):  # one that was about to fork has become another
        for pid in pids:
            _kill(pid, at)
    at.unlink(missing_ok=True)


def _arguments(file: Path, key: int, *, export: str, at: Path, read_only: bool) -> list[str]:
    direct = {"direct": _takes_direct_io(file)}  # else every block would lie in the host's memory too
    blocks: list[dict[str, object]] = [
        {"driver": "file", "node-name": "file", "filename": str(file), "cache": direct},
        {"driver": "luks", "node-name": "data", "file": "file", "key-secret": "key"},
    ]
    if read_only:
        blocks = [{**block, "read-only": True} for block in blocks]
    shown = {"type": "nbd", "id": "data", "node-name": "data", "name": export, "writable": not read_only}
    return [
        "--daemonize",
        *("--object", f"secret,id=key,file=/dev/fd/{key}"),
        *(word for block in blocks for word in ("--blockdev", json.dumps(block))),
        *("--nbd-server", _server(at)),
        *("--export", json.dumps(shown)),
    ]


def _server(at: Path) -> str:
    return json.dumps({"addr": {"type": "unix", "path": str(at)}})


def _takes_direct_io(file: Path) -> bool:
    try:
        os.close(os.open(file, os.O_RDONLY | os.O_DIRECT | os.O_CLOEXEC))
    except OSError:
        return False
    return True


def _processes() -> Iterator[int]:
    return (int(entry.name) for entry in os.scandir("/proc") if entry.name.isdecimal())


def _is_daemon(pid: int, at: Path) -> bool:
    try:
        program = Path(f"/proc/{pid}/exe").readlink().name
        if not program.startswith((PROGRAM, NO_CORE[0])):  # "… (deleted)" once the package was renewed
            return False
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:  # it has ended, or is the kernel's
        return False
    return os.fsencode(_server(at)) in words


def _kill(pid: int, at: Path) -> None:
    """By a handle of the process: its number may be another's by now."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        if not _is_daemon(pid, at):
            return
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(handle, signal.SIGKILL)
        if not select.select([handle], [], [], END_S)[0]:
            words = f"Process {pid}, which holds a volume open, does not end. Switch this PC off."
            raise HostBroken("storage_daemon_stuck", words)
    finally:
        os.close(handle)


def _failed(file: Path, why: str) -> HostBroken:
    return HostBroken("storage_daemon_failed", f"The volume {file} cannot be served: {why}.")
