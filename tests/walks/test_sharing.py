"""PCs of one LAN give each other a version: real agents and sockets, in network namespaces."""

import json
import random
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from config.demo.lan import Lan
from tests.lab.server import Server
from tests.vrasctl.conftest import Administrator, administrator_of, boot_sector

pytestmark = pytest.mark.slow

CHUNK = 256 << 10
ENDS = {"booted", "failed", "superseded"}


class Office:
    """A server in a LAN, and simulated PCs that keep images, each in a namespace of its own."""

    def __init__(self, server: Server, lan: Lan, directory: Path) -> None:
        self.server = server
        self.lan = lan
        self.directory = directory
        self.administrator: Administrator = administrator_of(server, directory)
        self.administrator.must("group", "create", "office")
        self.administrator.must("image", "create", "office")
        self.agents: dict[int, subprocess.Popen[bytes]] = {}

    def publish(self, number: int, *, chunks: int) -> int:
        """Publishes a version of random bytes; what it measures."""
        made = random.Random(number)
        disk = b"".join(made.randbytes(CHUNK) for _ in range(chunks))
        path = self.directory / f"v{number}.raw"
        path.write_bytes(boot_sector(sectors=len(disk) // 512 - 1) + disk[512:])
        self.administrator.must("image", "publish", str(path), "--name", "office")
        return len(disk)

    def hire(self, count: int, *, program: Sequence[str] = ("-m", "vrasnode")) -> None:
        """PCs that join the LAN and enrol. `program`: what they run instead of the agent."""
        for _ in range(count):
            pc = self.lan.join(f"pc{len(self.lan.pcs) + 1}")
            wish = {"group": "office", "approved": True}
            made = self.server.rest("POST", "/api/v1/enrolment-tokens/", wish, token=self.server.new_token())
            number = len(self.lan.pcs) - 1
            token = self.directory / f"token{number}"
            token.write_text(made["token"])
            self.start(number, "--token-file", str(token), program=program)
            assert pc is self.lan.pcs[number]

    def start(self, number: int, *more: str, program: Sequence[str] = ("-m", "vrasnode")) -> None:
        """Starts the agent of a PC; also again, after a kill."""
        state = self.directory / f"pc{number}"
        command = [sys.executable, *program, "simulate", "--server", self.server.lan_url, "--pcs", "1"]
        command += ["--state", str(state), "--prefix", f"pc{number}", "--boot-s", "0.2", "--share", *more]
        with (self.directory / f"pc{number}.log").open("ab") as log:
            self.agents[number] = subprocess.Popen(
                self.lan.pcs[number].command(command), stdout=log, stderr=log, start_new_session=True
            )

    def kill(self, number: int) -> None:
        self.agents[number].kill()
        self.agents[number].wait()

    def await_members(self, count: int) -> None:
        self.wait(f"{count} PCs", lambda: self._present() == count)

    def distribute(self, *terms: str) -> int:
        found = self.administrator.json("distribute", "office", "--group", "office", "--now", *terms)
        return int(found["id"])

    def deliveries(self, distribution: int) -> list[dict[str, Any]]:
        path = f"/api/v1/deliveries/?distribution={distribution}&limit=500"
        found: list[dict[str, Any]] = self.server.rest("GET", path, token=self.server.new_token())["results"]
        return found

    def settle(self, distribution: int, *, within_s: float = 240) -> list[dict[str, Any]]:
        self.wait(
            "an end of each delivery",
            lambda: all(one["state"] in ENDS for one in self.deliveries(distribution)),
            within_s=within_s,
        )
        return self.deliveries(distribution)

    def server_sent_bytes(self) -> int:
        """What left the server's own place in the LAN."""
        argv = ["ip", "-n", self.lan.namespace, "-s", "-j", "link", "show", "br0"]
        found = json.loads(subprocess.run(argv, capture_output=True, check=True).stdout)
        return int(found[0]["stats64"]["tx"]["bytes"])

    def logs(self) -> str:
        return "\n".join(
            f"{path.name}: {path.read_text(errors='replace')[-1500:]}"
            for path in self.directory.glob("*.log")
        )

    def wait(self, what: str, so: Any, *, within_s: float = 240) -> None:
        deadline = time.monotonic() + within_s
        while not so():
            assert time.monotonic() < deadline, f"{what}: not within {within_s} s\n{self.logs()}"
            time.sleep(0.1)

    def _present(self) -> int:
        pcs = self.administrator.json("pc", "list", "--group", "office")
        return sum(one["state"] == "approved" and one["present"] for one in pcs)


@pytest.fixture
def office(lan: Lan, tmp_path: Path) -> Iterator[Office]:
    """Empty, but for the server."""
    with Server(tmp_path / "server", lan=lan.open_listener) as server:
        office = Office(server, lan, tmp_path)
        yield office
        for number in office.agents:
            office.kill(number)


def test_two_pcs_get_a_version_and_the_server_sends_each_byte_about_once(office: Office) -> None:
    size = office.publish(1, chunks=96)
    office.hire(2)
    office.await_members(2)
    before = office.server_sent_bytes()

    found = office.settle(office.distribute())

    assert [one["state"] for one in found] == ["booted", "booted"], office.logs()
    assert all(one["done_bytes"] == one["total_bytes"] for one in found)
    assert all(one["peer_bytes"] for one in found)
    assert sum(one["done_bytes"] - one["peer_bytes"] for one in found) <= 1.05 * size
    assert office.server_sent_bytes() - before < 1.3 * size
    images = [path.read_bytes() for path in sorted(office.directory.glob("pc?/**/*.raw"))]
    assert len(images) == 2 and images[0] == images[1] == (office.directory / "v1.raw").read_bytes()


def cut_power_here_and_there(office: Office, seed: int, *, pcs: int) -> None:
    """Kills PCs and the server's processes at moments of the seed's choice; all finish, with right bytes."""
    chance = random.Random(seed)
    office.publish(1, chunks=160)
    office.hire(pcs)
    office.await_members(pcs)
    distribution = office.distribute()

    for _ in range(3):
        time.sleep(chance.uniform(0, 1.5))
        victim = chance.choice(["pc", "pc", "web", "redis"])
        if victim == "pc":
            number = chance.randrange(pcs)
            office.kill(number)
            office.start(number)
        elif victim == "web":
            office.server.web.kill()
            office.server.start_web()
        else:
            office.server.redis.kill()
            office.server.start_redis()

    found = office.settle(distribution, within_s=180)
    assert [one["state"] for one in found] == ["booted"] * pcs, office.logs()
    right = (office.directory / "v1.raw").read_bytes()
    images = list(office.directory.glob("pc?/**/*.raw"))
    assert len(images) == pcs
    assert all(path.read_bytes() == right for path in images)


def test_a_kill_of_a_pc_or_of_the_server_in_the_middle_costs_no_pc_its_version(office: Office) -> None:
    cut_power_here_and_there(office, 1, pcs=3)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(20))
def test_kills_at_any_moment_among_eight_pcs(office: Office, seed: int) -> None:
    cut_power_here_and_there(office, seed, pcs=8)
