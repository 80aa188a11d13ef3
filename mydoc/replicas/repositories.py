"""restic on the server, on the NAS itself: the only module that calls it. It lists the snapshots of a
volume's replica and what is in them, gives out files, and does what nobody may through the gateway.

The password of a repository reaches restic by its stdin, the NAS's credentials by the environment of that
one process; neither is in an argument. Every call ends, by itself or by force, and dies with the process that
made it. What only reads takes no lock, so that no PC waits for it.
"""

import json
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from django.conf import settings
from django.utils.translation import gettext as _

from clients.errors import Refusal
from mydoc.models import Replica
from mydoc.nas import fileserver
from mydoc.nas.settings import NasSettings
from mydoc.replicas import passwords

READ_S = 120.0
ALIVE_S = 20.0
FULL, SLICE = "full", "slice"  # what a PC says that a snapshot is
PIECE_BYTES = 1 << 20
LOCKED_OUT = ("--no-lock",)
# What restic says, and what the NAS makes it say; the first counts.
SAYINGS = (
    (("wrong password or no key",), "wrong_repository_key"),
    (("no matching id found", "no snapshot found"), "no_such_snapshot"),
    (("not found in snapshot",), "no_such_path"),
    (("unable to create lock", "already locked"), "repository_locked"),
    (("unable to open config file", "is there a repository"), "no_repository"),
)
DAMAGED = (
    "ciphertext verification failed",
    "id does not match",
    "invalid data returned",
    "not found in index",
    "unexpected pack size",
    "pack id does not match",
    "contains errors",
    "does not exist",
)


class RepositoryFailed(Refusal):
    """What was asked of a replica could not be done."""

    status = 503


@dataclass(frozen=True)
class Snapshot:
    """One of a repository. `claimed` is what its PC says of the time: it is never believed."""

    id: str
    tags: tuple[str, ...]
    root: bytes  # where the volume lay in its virtual server; paths in the snapshot begin with it
    claimed: str

    @property
    def whole(self) -> bool:
        return FULL in self.tags

    def path_of(self, path: bytes) -> bytes:
        """A path in the volume, as restic wants it."""
        return b"/".join([self.root, path]) if path else self.root


@dataclass(frozen=True)
class Entry:
    """What lies in a folder of a snapshot. A name that is no UTF-8 is altered here: manifests know it."""

    path: bytes  # from the volume's root
    kind: str  # "file", "dir", "symlink", …
    size_bytes: int = 0
    changed: str = ""


@dataclass(frozen=True)
class Repository:
    """A volume's replica on the NAS, and what opens it."""

    place: NasSettings
    name: str  # of its folder
    password: str = field(repr=False)

    @property
    def address(self) -> str:
        """As restic names it."""
        if self.place.is_folder:
            return str(self.place.folder / self.name)
        return f"rclone:{fileserver.root(self.place)}/{self.name}"


@dataclass(frozen=True)
class Said:
    """How a call ended."""

    code: int
    out: str
    complaints: str

    @property
    def damaged(self) -> bool:
        return any(words in self.complaints.lower() for words in DAMAGED)


def of(replica: Replica) -> Repository:
    """Raises Refusal: no_nas, not_unwrapped, no_keys."""
    if settings.NAS is None:
        raise Refusal("no_nas", _("No NAS is named: set OPENVRAS_NAS_URL."), status=503)
    name = str(replica.volume_id)
    return Repository(settings.NAS, name, passwords.repository_password_of(replica))


def program() -> Path:
    """Raises Refusal(no_restic)."""
    found = shutil.which("restic")
    if not found:
        raise Refusal("no_restic", _("The program restic is missing: install restic."), status=503)
    return Path(found)


def snapshots(repository: Repository, *, limit_s: float = READ_S) -> list[Snapshot]:
    """All of them, in no order that means anything. Raises RepositoryFailed."""
    said = run(repository, *LOCKED_OUT, "snapshots", "--json", limit_s=limit_s)
    return [_snapshot(one) for one in json.loads(said.out) or ()]


def snapshot(repository: Repository, key: str) -> Snapshot:
    """The one of this id, or of the beginning of it. Raises RepositoryFailed: no_such_snapshot, …"""
    found = [one for one in snapshots(repository) if key and one.id.startswith(key)]
    if len(found) != 1:
        raise _failed("no_such_snapshot", repository)
    return found[0]


def folder(
    repository: Repository, of: Snapshot, path: bytes = b"", *, limit_s: float = READ_S
) -> list[Entry]:
    """What lies in this folder of the volume, not deeper. Raises RepositoryFailed: no_such_path, …"""
    found, top = [], of.path_of(path)
    arguments = [*LOCKED_OUT, "ls", "--json", of.id, os.fsdecode(top)]
    with _opened(repository, arguments, limit_s=limit_s) as out:
        told = [json.loads(line) for line in out]
    nodes = [one for one in told if one.get("struct_type") == "node"]
    if not any(os.fsencode(one["path"]) == top and one["type"] == "dir" for one in nodes) and path:
        raise _failed("no_such_path", repository)
    for one in nodes:
        where = os.fsencode(one["path"])
        if where != top and where.startswith(top + b"/"):
            found.append(
                Entry(where[len(of.root) + 1 :], one["type"], int(one.get("size", 0)), one.get("mtime", ""))
            )
    return sorted(found, key=lambda one: one.path)


@contextmanager
def opened(
    repository: Repository, of: Snapshot, path: bytes, *, limit_s: float = READ_S, archive: str = "tar"
) -> Iterator[IO[bytes]]:
    """A file of a snapshot, to be read as a stream; a folder is an archive (tar, or zip) of all that is in
    it. Whoever stops before its end stops restic. Raises RepositoryFailed, also at the end: what was read
    then is not whole."""
    arguments = [*LOCKED_OUT, "dump", "--archive", archive, of.id, os.fsdecode(of.path_of(path))]
    with _opened(repository, arguments, limit_s=limit_s) as out:
        yield out


def write(
    repository: Repository,
    of: Snapshot,
    path: bytes,
    out: IO[bytes],
    *,
    most_bytes: int,
    limit_s: float = READ_S,
) -> int:
    """Writes a file of a snapshot to `out`; its bytes. Raises RepositoryFailed: too_large, no_such_path, …"""
    written = 0
    with opened(repository, of, path, limit_s=limit_s) as stream:
        while piece := stream.read(PIECE_BYTES):
            written += len(piece)
            if written > most_bytes:
                raise RepositoryFailed(
                    "too_large", _("This is larger than what may be read here."), status=413
                )
            out.write(piece)
    return written


def check(
    repository: Repository,
    *,
    subset: str = "",
    limit_s: float = 3600.0,
    alive: Callable[[], None] | None = None,
) -> Said:
    """restic's own look at it; with a `subset` (`n/t`) it reads what is stored too. Damage is an answer:
    raises RepositoryFailed for all else that goes wrong."""
    given = [f"--read-data-subset={subset}"] if subset else []
    arguments = [*LOCKED_OUT, "check", "--with-cache", *given]
    return run(repository, *arguments, limit_s=limit_s, damage=True, alive=alive)


def run(
    repository: Repository,
    *arguments: str,
    limit_s: float = READ_S,
    damage: bool = False,
    alive: Callable[[], None] | None = None,
) -> Said:
    """Calls restic to its end; `alive` is called now and then meanwhile. Raises RepositoryFailed, unless it
    failed for damage that is an answer."""
    with _started(repository, arguments, limit_s=limit_s) as child:
        while True:
            try:
                out, complaints = child.communicate(timeout=ALIVE_S)
                break
            except subprocess.TimeoutExpired:
                if alive is not None:
                    alive()
    said = Said(child.returncode, out.decode(errors="replace"), complaints.decode(errors="replace"))
    if said.code and not (damage and said.damaged):
        raise _failed(code_of(said.complaints, said.code), repository, said.complaints)
    return said


def code_of(complaints: str, ended: int = 1) -> str:
    """What a complaint means."""
    if ended == -signal.SIGKILL:
        return "slow"
    low = complaints.lower()
    found = next((code for words, code in SAYINGS if any(word in low for word in words)), "")
    if found:
        return found
    if any(words in low for words in DAMAGED):
        return "damaged"
    return fileserver.code_of(complaints)


@contextmanager
def _opened(repository: Repository, arguments: Sequence[str], *, limit_s: float) -> Iterator[IO[bytes]]:
    with _started(repository, arguments, limit_s=limit_s) as child:
        if child.stdout is None or child.stderr is None:
            raise AssertionError("restic was started without pipes")
        heard: list[bytes] = []
        listening = threading.Thread(target=_listen, args=[child.stderr, heard], daemon=True)
        listening.start()
        yield child.stdout
        if child.stdout.read(1):
            return  # it is not wanted to its end
        child.wait()
        listening.join()
        if child.returncode:
            complaints = b"".join(heard).decode(errors="replace")
            raise _failed(code_of(complaints, child.returncode), repository, complaints)


@contextmanager
def _started(
    repository: Repository, arguments: Sequence[str], *, limit_s: float
) -> "Iterator[subprocess.Popen[bytes]]":
    """Whatever happens, nothing of it runs on afterwards."""
    cache = settings.DATA / "restic-cache"
    cache.mkdir(mode=0o700, parents=True, exist_ok=True)
    given = [str(program()), "--cache-dir", str(cache), "--cleanup-cache", "--repo", repository.address]
    given += ["--password-file", "/dev/stdin"]  # asked without it, restic says so in the midst of the data
    if not repository.place.is_folder:
        given += ["-o", f"rclone.program='{fileserver.program()}'"]
    setpriv = shutil.which("setpriv")
    ends_with_us = [setpriv, "--pdeathsig", "KILL", "--"] if setpriv else []
    child = subprocess.Popen(
        [*ends_with_us, *given, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=fileserver.environment(repository.place) | {"RESTIC_PROGRESS_FPS": "0.01"},
        start_new_session=True,
    )
    end = threading.Timer(limit_s, _kill, args=[child])
    end.start()
    try:
        if child.stdin is not None:
            with suppress(BrokenPipeError), child.stdin:
                child.stdin.write(repository.password.encode() + b"\n")
            child.stdin = None
        yield child
    finally:
        end.cancel()
        _kill(child)
        for pipe in (child.stdout, child.stderr):
            if pipe is not None:
                pipe.close()


def _kill(child: "subprocess.Popen[bytes]") -> None:
    """With rclone, which it began."""
    if child.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def _listen(pipe: IO[bytes], heard: list[bytes]) -> None:
    """The last of it is enough."""
    with suppress(ValueError, OSError):  # closed: nobody wants to hear it any more
        for line in pipe:
            heard.append(line)
            del heard[:-200]


def _snapshot(told: dict[str, Any]) -> Snapshot:
    paths = told.get("paths") or ["/"]
    return Snapshot(
        id=str(told["id"]),
        tags=tuple(told.get("tags") or ()),
        root=os.fsencode(str(paths[0])).rstrip(b"/"),
        claimed=str(told.get("time", "")),
    )


def _failed(code: str, repository: Repository, complaints: str = "") -> RepositoryFailed:
    words = {
        "wrong_repository_key": _("The key of this replica does not open it: somebody else made it."),
        "no_such_snapshot": _("The replica of that time is not there any more."),
        "no_such_path": _("This is not in the replica of that time."),
        "repository_locked": _("The replica is being written. Try again in some minutes."),
        "no_repository": _("There is no replica on the NAS yet."),
        "damaged": _("The replica is damaged there: other times of it may be whole."),
        "slow": _("The NAS takes too long. Try again, or look at the NAS."),
        "away": _("The NAS does not answer: look at its page."),
        "credential": _("The NAS does not let the server in: look at its page."),
        "no_room": _("The NAS is full: make room there."),
        "read_only": _("The NAS cannot be written: it is read-only."),
    }.get(code, _("The NAS does not do what it should: look at the server's log."))
    return RepositoryFailed(code, words, status=404 if code.startswith("no_such") else 503)
