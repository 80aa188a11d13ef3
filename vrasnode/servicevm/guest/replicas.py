"""Replicas of open volumes: each is made by a program of its own (`copying`), which dies with the volume.

`replica_begin` may be asked again for the same run: it goes on. `replica_manifest` is there once it is done.
"""

import json
import os
import re
import signal
import subprocess
import sys
import threading
from base64 import b64encode
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vrasnode.servicevm.guest.answering import Ops, Refusal
from vrasnode.servicevm.guest.volumes import Volumes

PROGRAM = (sys.executable, "-S", "-s", "-B", "-m", "vrasnode.servicevm.guest.copying")
MAX_PIECE_BYTES = 512 << 10
END_S = 5.0
CUT_OFF = {"state": "cut_off", "code": "cut_off", "words": "It was ended before it was done."}

_RUN = re.compile(r"[0-9a-f-]{36}")
_ADDRESS = re.compile(r"(https?)://([^/@\s]+)/([^@\s]*)")


@dataclass
class Job:
    """One run, and what it said last."""

    serial: str
    child: "subprocess.Popen[bytes]"
    manifest: Path
    said: Mapping[str, Any] = field(default_factory=lambda: {"state": "running"})

    @property
    def under_way(self) -> bool:
        return self.said.get("state") == "running"


class Replicas:
    """`run` is where manifests lie until the control base has fetched them, and nobody else reads."""

    def __init__(self, volumes: Volumes, *, run: Path, program: Sequence[str] = PROGRAM) -> None:
        self._volumes = volumes
        self._run = run
        self._program = program
        self._lock = threading.Lock()
        self._jobs: dict[str, Job] = {}

    def add_to(self, ops: Ops) -> None:
        """Adds what can be asked."""
        ops.add("replica_begin", self.begin)
        ops.add("replica_status", self.status)
        ops.add("replica_stop", self.stop)
        ops.add("replica_manifest", self.manifest)

    def begin(
        self,
        serial: str,
        *,
        run: str,
        repository: str,
        user: str,
        password: str,
        repository_password: str,
        slice_bytes: int,
        authority: str = "",
        read_only: bool = False,
    ) -> Mapping[str, Any]:
        """Begins to copy. `repository` is an address without credentials; `read_only`: nothing is written
        into the volume, not even what was copied. The control base wants one run at a time: another one that
        it has lost sight of is ended, what was sent stays. Raises Refusal: volume_closed, bad_args."""
        place = self._volumes.require(serial)
        found = _ADDRESS.fullmatch(repository) if isinstance(repository, str) else None
        if not isinstance(run, str) or not _RUN.fullmatch(run) or found is None:
            raise Refusal("bad_args", "This is no run, or no address.")
        with self._lock:
            known = self._jobs.get(run)
            if known is not None and known.under_way:
                return known.said
            for job in self._jobs.values():
                if job.child.poll() is None:
                    _end(job)
            self._forget_all()
            self._run.mkdir(mode=0o700, exist_ok=True)
            manifest = self._run / f"{run}.gz"
            order = {
                "root": str(place),
                "manifest": str(manifest),
                "repository": f"rest:{found[1]}://{user}:{password}@{found[2]}/{found[3]}",
                "repository_password": repository_password,
                "slice_bytes": slice_bytes,
                "authority": authority,
                "scratch": str(self._run / "scratch" / serial) if read_only is True else "",
            }
            job = Job(serial, self._start(order), manifest)
            self._jobs[run] = job
        threading.Thread(target=_listen, args=[job], daemon=True).start()
        return job.said

    def status(self, run: str) -> Mapping[str, Any]:
        """Raises Refusal(no_such_run)."""
        return self._job(run).said

    def stop(self, run: str) -> Mapping[str, Any]:
        """Ends it; what was sent stays. Raises Refusal(no_such_run)."""
        _end(self._job(run))
        return {}

    def manifest(self, run: str, offset: int, length: int) -> Mapping[str, Any]:
        """A piece of it, empty behind its end. Raises Refusal: no_such_run, not_done, bad_args."""
        job = self._job(run)
        if job.said.get("state") != "done":
            raise Refusal("not_done", "It is not done.")
        if not isinstance(offset, int) or not isinstance(length, int) or offset < 0 or length < 1:
            raise Refusal("bad_args", "This is no piece of a file.")
        with job.manifest.open("rb") as file:
            file.seek(offset)
            data = file.read(min(length, MAX_PIECE_BYTES))
        return {"data": b64encode(data).decode(), "size_bytes": job.manifest.stat().st_size}

    def end(self, serial: str) -> int:
        """The volume has to go: nothing copies it any more; how many that were."""
        with self._lock:
            jobs = [job for job in self._jobs.values() if job.serial == serial and job.child.poll() is None]
        for job in jobs:
            _end(job)
        return len(jobs)

    def _start(self, order: Mapping[str, Any]) -> "subprocess.Popen[bytes]":
        child = subprocess.Popen(
            self._program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
        )
        if child.stdin is not None:
            with suppress(BrokenPipeError), child.stdin:
                child.stdin.write(json.dumps(order).encode())
        return child

    def _forget_all(self) -> None:
        for job in self._jobs.values():
            job.manifest.unlink(missing_ok=True)
        self._jobs = {}

    def _job(self, run: object) -> Job:
        with self._lock:
            found = self._jobs.get(run) if isinstance(run, str) else None
        if found is None:
            raise Refusal("no_such_run", "No such run is known here.")
        return found


def _listen(job: Job) -> None:
    """Until it has ended; what ends without a last word was cut off."""
    for line in job.child.stdout or ():
        with suppress(ValueError):
            job.said = json.loads(line)
    job.child.wait()
    if job.under_way:
        job.said = CUT_OFF


def _end(job: Job) -> None:
    """With all that it began: none of them is a session of its own."""
    with suppress(ProcessLookupError):
        os.killpg(job.child.pid, signal.SIGKILL)
    with suppress(subprocess.TimeoutExpired):
        job.child.wait(END_S)
