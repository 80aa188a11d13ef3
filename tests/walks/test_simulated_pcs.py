"""Fifty simulated PCs in one process and a real server: a trial before any hardware is bought."""

import json
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import urllib3

from tests.lab.server import Server
from tests.vrasctl.conftest import Administrator, administrator_of, boot_sector

pytestmark = pytest.mark.slow

PCS = 50
STICK_PORT = "1-3.1"  # of the simulated desktop's USB stick
ENDS = {"booted", "failed", "superseded"}


class Trial:
    """A server with a group, an image of two versions, and the process that simulates the PCs."""

    def __init__(self, server: Server, directory: Path, *, group: str) -> None:
        self.server = server
        self.directory = directory
        self.group = group
        self.administrator: Administrator = administrator_of(server, directory)
        self.administrator.must("group", "create", group)
        self.administrator.must("image", "create", group)
        for number in (1, 2):
            path = directory / f"v{number}.raw"
            path.write_bytes(image(number))
            self.administrator.must("image", "publish", str(path), "--name", group)

    def tokens(self, count: int) -> Path:
        """A file with a token for each PC."""
        wish = {"group": self.group, "approved": True}
        token = self.server.new_token()
        made = [
            self.server.rest("POST", "/api/v1/enrolment-tokens/", wish, token=token) for _ in range(count)
        ]
        file = self.directory / "tokens"
        file.write_text("\n".join(one["token"] for one in made))
        return file

    def start(self, *more: str) -> "subprocess.Popen[str]":
        """Starts `vrasnode simulate`; the caller ends it."""
        command = ["simulate", "--server", self.server.url, "--state", str(self.directory / "pcs"), "--json"]
        return subprocess.Popen(
            [sys.executable, "-m", "vrasnode", *command, "--prefix", self.group, *more],
            stdout=subprocess.PIPE,
            text=True,
        )

    def settle(self, *arguments: str, within_s: float = 180) -> list[dict[str, Any]]:
        """Distributes, or rolls back; the deliveries once each has come to an end."""
        started = self.administrator.json(*arguments, "--group", self.group, "--now")
        deadline = time.monotonic() + within_s
        while True:
            found = self.deliveries(started["id"])
            if all(one["state"] in ENDS for one in found):
                return found
            states = Counter(one["state"] for one in found)
            assert time.monotonic() < deadline, f"still under way: {states}"
            time.sleep(0.2)

    def deliveries(self, distribution: int) -> list[dict[str, Any]]:
        token = self.server.new_token()
        path = f"/api/v1/deliveries/?distribution={distribution}&limit=500"
        found: list[dict[str, Any]] = self.server.rest("GET", path, token=token)["results"]
        return found

    def allow(self, rules: list[dict[str, str]]) -> None:
        """Replaces the group's device policy."""
        headers = {"Authorization": f"Bearer {self.server.new_token()}", "If-Match": "*"}
        url = f"{self.server.url}/api/v1/groups/{self.group}/device-policy/"
        answer = urllib3.request("PUT", url, json={"rules": rules}, headers=headers, timeout=30)
        assert answer.status == 200, answer.data

    def has_stick(self, name: str) -> bool:
        """Whether the PC told that its stick is in the client VM."""
        pc = self.administrator.json("pc", "show", name)["id"]
        path = f"/api/v1/clients/{pc}/devices/"
        found = self.server.rest("GET", path, token=self.server.new_token())["devices"]
        return any(one["key"] == STICK_PORT and one["present"] for one in found)

    def wait(self, what: str, so: Callable[[], bool], *, within_s: float = 180) -> None:
        deadline = time.monotonic() + within_s
        while not so():
            assert time.monotonic() < deadline, f"{what}: not within {within_s} s"
            time.sleep(0.1)

    def await_members(self, process: "subprocess.Popen[str]", count: int, *, within_s: float = 180) -> None:
        """Returns when so many PCs of the group have told that they are there."""
        deadline = time.monotonic() + within_s
        while True:
            pcs = self.administrator.json("pc", "list", "--group", self.group)
            if sum(one["state"] == "approved" and one["present"] for one in pcs) == count:
                return
            assert process.poll() is None
            assert time.monotonic() < deadline, f"{len(pcs)} PCs after {within_s} s"
            time.sleep(0.2)


def image(number: int) -> bytes:
    """4 MiB: sixteen chunks, of which versions share all but two."""
    chunks = [random.Random(place).randbytes(256 << 10) for place in range(16)]
    for place in (3, 9):
        chunks[place] = random.Random(100 * number + place).randbytes(256 << 10)
    disk = b"".join(chunks)
    return boot_sector(sectors=len(disk) // 512 - 1) + disk[512:]


def end(process: "subprocess.Popen[str]") -> dict[str, Any]:
    """Ctrl-C; what it says in the end."""
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0, out
    found: dict[str, Any] = json.loads(out.splitlines()[-1])
    return found


@pytest.fixture
def ending() -> Iterator[list["subprocess.Popen[str]"]]:
    """Processes put in here are gone after the test, however that ends."""
    started: list[subprocess.Popen[str]] = []
    yield started
    for process in started:
        process.kill()
        process.wait()


def test_fifty_simulated_pcs_get_a_version_go_back_and_say_how_long_it_took(
    server: Server, tmp_path: Path, ending: list["subprocess.Popen[str]"]
) -> None:
    trial = Trial(server, tmp_path, group="trial")
    process = trial.start("--pcs", str(PCS), "--token-file", str(trial.tokens(PCS)), "--boot-s", "1")
    ending.append(process)
    trial.await_members(process, PCS)

    first = trial.settle("distribute", "trial@1")
    second = trial.settle("distribute", "trial@2")
    back = trial.settle("rollback", "--to", "1")
    pc = trial.administrator.json("pc", "show", "trial-007")
    found = end(process)

    for deliveries in (first, second, back):
        assert Counter(one["state"] for one in deliveries) == {"booted": PCS}
    assert pc["facts"]["simulated"] is True
    assert (found["pcs"], found["enrolled"], found["booted"], found["failed"]) == (PCS, PCS, PCS, 0)
    assert found["booted_s"]["n"] == found["staged_s"]["n"] == 3 * PCS
    assert 0 < found["staged_s"]["p95"] <= found["booted_s"]["p95"]


def test_simulated_pcs_go_on_as_the_same_and_those_whose_version_fails_go_back(
    server: Server, tmp_path: Path, ending: list["subprocess.Popen[str]"]
) -> None:
    trial = Trial(server, tmp_path, group="pilot")
    pcs = ["--pcs", "8", "--images", "none"]
    ending.append(trial.start(*pcs, "--token-file", str(trial.tokens(8)), "--boot-s", "0.5"))
    trial.await_members(ending[-1], 8)
    trial.settle("distribute", "pilot@1")
    end(ending[-1])

    path = "/api/v1/images/pilot/"
    server.rest("PATCH", path, {"health_within_s": 10}, token=server.new_token())
    ending.append(trial.start(*pcs, "--boot-s", "0.5", "--fail-rate", "0.4", "--seed", "1"))
    outcome = Counter(one["state"] for one in trial.settle("distribute", "pilot@2"))
    found = end(ending[-1])

    assert outcome["booted"] + outcome["failed"] == 8
    assert 0 < outcome["failed"] < 8
    assert found["enrolled"] == 8
    assert found["failed"] == outcome["failed"]
    runs = Counter(one["runs"] for one in trial.administrator.json("pc", "list", "--group", "pilot"))
    assert sorted(runs.values()) == sorted(outcome.values())


def test_one_simulated_pc_is_killed_and_its_machine_runs_on(
    server: Server, tmp_path: Path, ending: list["subprocess.Popen[str]"]
) -> None:
    trial = Trial(server, tmp_path, group="single")
    simulated, running = joined(trial, "single-1")
    assert trial.administrator.json("pc", "show", "single-1")["facts"]["simulated"] is True
    ending.append(subprocess.Popen(running, text=True))
    trial.await_members(ending[-1], 1)
    assert [one["state"] for one in trial.settle("distribute", "single@1")] == ["booted"]

    ending[-1].kill()
    ending[-1].wait()
    alone = json.loads(vrasnode("status", "--json", *simulated))
    ending.append(subprocess.Popen(running, text=True))

    assert alone["agent"] == "stopped"
    assert alone["desktop"]["state"] == "running"
    assert alone["desktop"]["manifest"] == alone["current"]["manifest"]
    assert [one["state"] for one in trial.settle("distribute", "single@2")] == ["booted"]


def test_a_simulated_pc_shows_what_a_device_policy_does(
    server: Server, tmp_path: Path, ending: list["subprocess.Popen[str]"]
) -> None:
    trial = Trial(server, tmp_path, group="masked")
    _, running = joined(trial, "masked-1")
    ending.append(subprocess.Popen(running, text=True))
    trial.await_members(ending[-1], 1)
    trial.settle("distribute", "masked@1")
    assert not trial.has_stick("masked-1")

    trial.allow([{"verdict": "pass", "bus": "usb", "device_id": "0951:1666"}])
    trial.wait("the stick in the client VM", lambda: trial.has_stick("masked-1"))
    plugged = tmp_path / "pc" / "simulated" / "usb.json"
    plugged.write_text("[]")
    trial.wait("the stick pulled", lambda: not trial.has_stick("masked-1"))
    plugged.unlink()
    trial.wait("the stick plugged in again", lambda: trial.has_stick("masked-1"))
    trial.allow([])
    trial.wait("the stick taken away", lambda: not trial.has_stick("masked-1"))


def joined(trial: Trial, name: str) -> tuple[list[str], list[str]]:
    """Makes one simulated PC a member: what names it on a command line, and what runs it."""
    simulated = ["--hypervisor", "sim:?boot_s=1&model=desktop", "--state", str(trial.directory / "pc")]
    token = str(trial.tokens(1))
    vrasnode("enroll", "--server", trial.server.url, "--token-file", token, "--name", name, *simulated)
    return simulated, [sys.executable, "-m", "vrasnode", "run", *simulated]


def vrasnode(*arguments: str) -> str:
    """What a PC's command says; it is expected to end well."""
    command = [sys.executable, "-m", "vrasnode", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
