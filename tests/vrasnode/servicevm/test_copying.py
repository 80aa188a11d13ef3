"""A volume is copied by the very program of the virtual server, the real restic, through the real gateway."""

import ctypes
import gzip
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from config.demo.processes import Child, wait_for
from mydoc.nas import fileserver
from tests.lab.server import ROOT
from tests.mydoc.replicacast import Restic, answers, free_port

pytestmark = pytest.mark.slow
MIB = 1 << 20
SET_CHILD_SUBREAPER = 36  # prctl(2)
ACTS = {"backup", "cat", "unlock", "init"}
FILES, FILE_BYTES, SLICE_BYTES = 24, MIB, 4 * MIB
PASSWORD, OPENS = "of-the-gateway", "of-the-repository"
VOLUME = "6f9619ff-8b86-4d01-b42d-00cf4fc964ff"


@dataclass
class Desk:
    """A volume with files, and the way to its replica."""

    directory: Path
    port: int

    @property
    def data(self) -> Path:
        return self.directory / "data"

    @property
    def repository(self) -> str:
        return f"rest:http://{VOLUME}:{PASSWORD}@127.0.0.1:{self.port}/{VOLUME}/"

    def stored(self) -> int:
        """Bytes of user data that lie on the NAS."""
        return sum(p.stat().st_size for p in self.directory.glob("nas/*/data/*/*") if p.exists())

    def begin(self, **changed: Any) -> "subprocess.Popen[bytes]":
        order = {
            "root": str(self.data),
            "manifest": str(self.directory / "manifest.gz"),
            "repository": self.repository,
            "repository_password": OPENS,
            "slice_bytes": SLICE_BYTES,
            **changed,
        }
        child = subprocess.Popen(
            [sys.executable, "-m", "vrasnode.servicevm.guest.copying"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        assert child.stdin
        child.stdin.write(json.dumps(order).encode())
        child.stdin.close()
        return child

    def copy(self, **changed: Any) -> dict[str, Any]:
        """How it ended."""
        with self.begin(**changed) as child:
            assert child.stdout
            said = child.stdout.read().splitlines()
        last: dict[str, Any] = json.loads(said[-1])
        return last

    def copy_and_kill(self, *, after: int) -> None:
        """kill -9 once so many bytes are stored."""
        with reaping(), self.begin() as child:
            while self.stored() < after and child.poll() is None:
                pass
            assert child.poll() is None, "it was faster than the kill"
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
            with suppress(ChildProcessError):
                while True:
                    os.waitpid(-child.pid, 0)

    def restic(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        return Restic(self.repository, OPENS, self.directory).run(*arguments)


@contextmanager
def reaping() -> Iterator[None]:
    """As init does in the virtual server: a dead restic that nobody reaps seems alive, and keeps its lock.

    Not for longer: machines of other tests would become children of this process, and libvirt waits for dead
    ones.
    """
    prctl = ctypes.CDLL(None).prctl
    prctl(SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    try:
        yield
    finally:
        prctl(SET_CHILD_SUBREAPER, 0, 0, 0, 0)


def furnish(desk: Desk) -> None:
    chance = random.Random(5)
    for number in range(FILES):
        folder = desk.data / f"営業 {number % 5}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number}.bin").write_bytes(chance.randbytes(FILE_BYTES))


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path, free_port())
    furnish(desk)
    who, where = tmp_path / "who", tmp_path / "nas"
    where.mkdir()
    who.write_text(f"{VOLUME}:{PASSWORD}\n")
    argv = [str(fileserver.program()), "serve", "restic", "--addr", f"127.0.0.1:{desk.port}"]
    argv += ["--user", VOLUME, "--pass", PASSWORD, "--append-only", "--private-repos"]
    with Child("rclone", [*argv, "--cache-objects=false", str(where)], log=tmp_path / "rclone.log") as child:
        wait_for("the gateway", lambda: answers(desk.port), children=[child])
        yield desk


def files_of(folder: Path) -> dict[str, str]:
    found = (path for path in folder.rglob("*") if path.is_file() and ".openvras" not in path.parts)
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in found}


def restored(desk: Desk, snapshot: str) -> dict[str, str]:
    """What a plain restic gives back."""
    assert desk.restic("restore", snapshot, "--target", str(desk.directory / "back")).returncode == 0
    return files_of(desk.directory / "back" / desk.data.relative_to("/"))


def manifest_of(desk: Desk) -> list[dict[str, Any]]:
    return [
        json.loads(line)
        for line in gzip.decompress((desk.directory / "manifest.gz").read_bytes()).splitlines()
    ]


def test_what_was_copied_is_restored_by_a_plain_restic_and_stands_in_the_manifest(desk: Desk) -> None:
    done = desk.copy()

    assert done["state"] == "done", done
    assert restored(desk, done["snapshot"]) == files_of(desk.data)
    assert {line["sha256"] for line in manifest_of(desk)} == set(files_of(desk.data).values())
    assert done["files"] == FILES
    packed = (desk.directory / "manifest.gz").read_bytes()
    assert done["manifest"] == hashlib.sha256(packed).hexdigest()


def test_what_did_not_change_is_not_sent_again(desk: Desk) -> None:
    desk.copy()
    before = desk.stored()
    (desk.data / "new.txt").write_text("新しい")

    done = desk.copy()

    assert done["state"] == "done"
    assert desk.stored() - before < MIB
    assert len(manifest_of(desk)) == FILES + 1


@pytest.mark.parametrize(
    "seed", [1, 2, 3, *(pytest.param(seed, marks=pytest.mark.soak) for seed in range(4, 51))]
)
def test_after_a_kill_the_next_run_completes_and_sends_one_slice_again_at_most(desk: Desk, seed: int) -> None:
    point = random.Random(seed).randrange(MIB, (FILES - 6) * FILE_BYTES)
    desk.copy_and_kill(after=point)

    done = desk.copy()

    assert done["state"] == "done", done
    assert desk.stored() <= FILES * FILE_BYTES + SLICE_BYTES + MIB
    assert desk.restic("check", "--read-data").returncode == 0
    assert (
        desk.restic("restore", "latest", "--tag", "full", "--target", str(desk.directory / "back")).returncode
        == 0
    )
    assert files_of(desk.directory / "back" / desk.data.relative_to("/")) == files_of(desk.data)


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"repository": f"rest:http://{VOLUME}:wrong@127.0.0.1:PORT/{VOLUME}/"}, "gateway_refused"),
        ({"repository": "rest:http://127.0.0.1:1/x/"}, "gateway_away"),
    ],
)
def test_why_nothing_is_copied_is_said_without_a_secret(
    desk: Desk, changed: dict[str, str], code: str
) -> None:
    changed = {name: value.replace("PORT", str(desk.port)) for name, value in changed.items()}

    failed = desk.copy(**changed)

    assert (failed["state"], failed["code"]) == ("failed", code), failed
    assert "wrong" not in failed["words"]
    assert OPENS not in failed["words"]


@pytest.fixture
def started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[str]]:
    """What restic was started for, one word each, since it was asked last."""
    real, log = shutil.which("restic"), tmp_path / "started"
    program = tmp_path / "programs" / "restic"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\necho "$@" >> {log}\nexec {real} "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")

    def since() -> list[str]:
        lines = log.read_text().splitlines() if log.exists() else []
        log.unlink(missing_ok=True)
        return [next(word for word in line.split() if word in ACTS) for line in lines]

    return since


def test_a_run_after_one_that_ended_well_starts_restic_once(
    desk: Desk, started: Callable[[], list[str]]
) -> None:
    desk.copy()
    started()
    (desk.data / "new.txt").write_text("新しい")

    done = desk.copy()

    assert started() == ["backup"]
    assert done["state"] == "done"
    assert restored(desk, done["snapshot"]) == files_of(desk.data)


@pytest.mark.soak
def test_a_run_after_one_that_was_killed_lifts_its_locks_first(
    desk: Desk, started: Callable[[], list[str]]
) -> None:
    desk.copy_and_kill(after=2 * MIB)
    started()

    desk.copy()

    assert started()[:2] == ["cat", "unlock"]


def test_when_the_snapshot_before_was_deleted_or_the_repository_is_another_everything_is_looked_at_anew(
    desk: Desk, started: Callable[[], list[str]]
) -> None:
    first = desk.copy()["snapshot"]
    next((desk.directory / "nas").rglob(f"snapshots/{first}*")).unlink()  # by the server's retention
    second = desk.copy()
    of_deleted = started()
    shutil.rmtree(desk.directory / "nas" / VOLUME)
    third = desk.copy()
    of_another = started()

    assert of_deleted[-4:] == ["backup", "cat", "unlock", "backup"]
    assert of_another[0] == "backup"
    assert of_another.count("backup") > 2  # in slices, as the first time
    assert "init" in of_another
    assert (second["state"], third["state"]) == ("done", "done"), (second, third)
    assert restored(desk, third["snapshot"]) == files_of(desk.data)
