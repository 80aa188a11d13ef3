"""The NAS is full, away, read-only, or wants another password: it is said, nothing is lost, and it goes on.

Faults are made for real: a small disk, a file server (Samba) that ends, forbids or does not know its account.
"""

import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from config.demo.processes import Child, wait_for
from mydoc.nas import fileserver
from mydoc.nas.settings import NasSettings
from tests.mydoc.fileserver import file_server
from tests.mydoc.replicacast import answers, free_port
from tests.vrasnode.servicevm.test_copying import MIB, PASSWORD, VOLUME, Desk, files_of, furnish, restored
from vrasnode.errors import HostBroken

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("settings")]
PATIENCE_S = 3


@contextmanager
def gateway(desk: Desk, place: NasSettings) -> Iterator[Child]:
    """The product's program before this NAS."""
    flags = ["--append-only", "--private-repos", "--cache-objects=false"]
    argv = [str(fileserver.program()), "serve", "restic", "--addr", f"127.0.0.1:{desk.port}", *flags]
    argv += ["--user", VOLUME, "--pass", PASSWORD, fileserver.root(place)]
    log = desk.directory / "rclone.log"
    with Child("rclone", argv, env=fileserver.environment(place), log=log) as child:
        wait_for("the gateway", lambda: answers(desk.port), children=[child])
        yield child


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    desk = Desk(tmp_path, free_port())
    furnish(desk)
    return desk


def bytes_in(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def is_whole_in(desk: Desk, snapshot: str) -> bool:
    checked = desk.restic("check", "--read-data").returncode == 0
    return checked and restored(desk, snapshot) == files_of(desk.data)


def test_a_full_nas_is_said_soon_loses_nothing_and_the_next_run_goes_on_once_there_is_room(
    desk: Desk,
) -> None:
    place = desk.directory / "nas"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=9m", "nas", str(place)], check=True)
    try:
        with gateway(desk, NasSettings(url=f"file://{place}")):
            failed = desk.copy(patience_s=PATIENCE_S)  # restic alone goes on for a quarter of an hour
            assert failed["state"] == "failed"
            assert failed["code"] in ("nas_failed", "nas_full")

            subprocess.run(["mount", "-o", "remount,size=200m", str(place)], check=True)
            done = desk.copy(patience_s=PATIENCE_S)

            assert done["state"] == "done", done
            assert is_whole_in(desk, done["snapshot"])
            assert desk.stored() <= 24 * MIB + 8 * MIB
    finally:
        subprocess.run(["umount", str(place)], check=True)


def test_a_volume_that_is_full_itself_is_not_taken_for_a_full_nas(desk: Desk) -> None:
    (desk.directory / "nas").mkdir()
    full = desk.data / "full"
    full.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "volume", str(full)], check=True)
    try:
        with suppress(OSError):
            (full / "all there is room for").write_bytes(b"x" * 3 * MIB)
        with gateway(desk, NasSettings(url=f"file://{desk.directory}/nas")):
            failed = desk.copy(root=str(full))

        assert (failed["state"], failed["code"]) == ("failed", "volume_full"), failed
    finally:
        subprocess.run(["umount", str(full)], check=True)


@pytest.mark.soak
def test_a_nas_that_is_read_only_is_said_and_the_next_run_goes_on(desk: Desk) -> None:
    here = desk.directory / "server"
    here.mkdir()
    with file_server(here) as place:
        with gateway(desk, place):
            assert desk.copy(patience_s=PATIENCE_S)["state"] == "done"
        (desk.data / "new").write_bytes(b"new" * MIB)
        with gateway(desk, replace(place, url=place.url.replace("backup", "archive"))):
            failed = desk.copy(patience_s=PATIENCE_S)
        with gateway(desk, place):
            done = desk.copy(patience_s=PATIENCE_S)

            assert (failed["state"], done["state"]) == ("failed", "done"), (failed, done)
            assert failed["code"] == "nas_failed", failed
            assert is_whole_in(desk, done["snapshot"])


@pytest.mark.soak
@pytest.mark.parametrize("fault", ["away", "wrong password"])
def test_a_gateway_that_does_not_reach_its_nas_serves_nobody_and_that_is_said(desk: Desk, fault: str) -> None:
    here = desk.directory / "server"
    here.mkdir()
    with file_server(here) as place:
        elsewhere = place.url.replace(str(place.port), str(free_port()))
        changed = {"url": elsewhere} if fault == "away" else {"password": "not-this-one"}
        with pytest.raises(HostBroken, match="child_died"), gateway(desk, replace(place, **changed)):
            pytest.fail("it serves")
        failed = desk.copy(patience_s=PATIENCE_S)
        with gateway(desk, place):
            done = desk.copy()

            assert (failed["state"], failed["code"]) == ("failed", "gateway_away"), failed
            assert done["state"] == "done", done
            assert is_whole_in(desk, done["snapshot"])


def test_a_gateway_that_goes_away_in_the_middle_is_said_and_the_next_run_goes_on(desk: Desk) -> None:
    place = NasSettings(url=f"file://{desk.directory}/nas")
    (desk.directory / "nas").mkdir()
    with ExitStack() as running:
        running.enter_context(gateway(desk, place))
        with desk.begin(patience_s=PATIENCE_S) as child:
            wait_for("some bytes", lambda: desk.stored() > 2 * MIB, children=[])
            running.close()
            assert child.stdout is not None
            said = json.loads(child.stdout.read().splitlines()[-1])
    with gateway(desk, place):
        done = desk.copy()

        assert (said["state"], said["code"]) == ("failed", "gateway_away"), said
        assert done["state"] == "done", done
        assert is_whole_in(desk, done["snapshot"])


@pytest.mark.soak
def test_a_nas_that_goes_away_in_the_middle_behind_a_gateway_that_stays_is_said_and_the_next_run_goes_on(
    desk: Desk,
) -> None:
    here = desk.directory / "server"
    here.mkdir()
    share = here / "share"
    with (
        ExitStack() as nas,
        gateway(desk, nas.enter_context(file_server(here))),
        desk.begin(patience_s=PATIENCE_S, still_s=10) as child,
    ):
        wait_for("some bytes", lambda: bytes_in(share) > 2 * MIB, children=[])
        nas.close()
        assert child.stdout is not None
        said = json.loads(child.stdout.read().splitlines()[-1])
    with gateway(desk, NasSettings(url=f"file://{share}/replicas")):
        done = desk.copy()

        assert (said["state"], said["code"]) in {("failed", "nas_failed"), ("failed", "gateway_away")}, said
        assert done["state"] == "done", done
        assert is_whole_in(desk, done["snapshot"])


@pytest.mark.soak
def test_a_gateway_that_takes_what_is_asked_and_never_answers_is_given_up_in_seconds(desk: Desk) -> None:
    with socket.create_server(("127.0.0.1", desk.port)):
        failed = desk.copy(still_s=PATIENCE_S)

    assert (failed["state"], failed["code"]) == ("failed", "gateway_away"), failed


def test_a_gateway_that_falls_silent_in_the_middle_is_given_up_and_the_next_run_goes_on(desk: Desk) -> None:
    place = NasSettings(url=f"file://{desk.directory}/nas")
    (desk.directory / "nas").mkdir()
    with gateway(desk, place) as serving:
        with desk.begin(still_s=PATIENCE_S) as child:
            wait_for("some bytes", lambda: desk.stored() > 2 * MIB, children=[])
            os.kill(serving.pid, signal.SIGSTOP)
            try:
                assert child.stdout is not None
                said = json.loads(child.stdout.read().splitlines()[-1])
            finally:
                os.kill(serving.pid, signal.SIGCONT)
        done = desk.copy()

    assert (said["state"], said["code"]) == ("failed", "gateway_away"), said
    assert done["state"] == "done", done
