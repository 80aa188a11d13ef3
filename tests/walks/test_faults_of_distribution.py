"""What goes wrong while a version is on its way to eight PCs: each ends with the right bytes, or says why.

The PCs are simulated in two processes, so that a kill takes four of them at once; they fetch, check and keep
images as real agents do. Sharing between PCs with their own addresses is in test_sharing.
"""

import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab.server import Server
from tests.vrasctl.conftest import Administrator, administrator_of, boot_sector

pytestmark = pytest.mark.slow

CHUNK = 256 << 10
CHUNKS = 16
RATE = "1500k"  # a version takes about three seconds
PCS, PROCESSES = 8, ("p0", "p1")
WINDOW_S = 4.0
KILLS = 4
ENDS = {"booted", "failed", "superseded"}
SEEDS = [*range(3), *(pytest.param(seed, marks=pytest.mark.soak) for seed in range(3, 20))]


class Fleet:
    """A group of PCs at a server that can be killed in parts, and the processes that simulate them."""

    def __init__(self, server: Server, directory: Path, *, group: str) -> None:
        self.server = server
        self.directory = directory
        self.group = group
        self.administrator: Administrator = administrator_of(server, directory)
        self.administrator.must("group", "create", group)
        self.administrator.must("image", "create", group)
        self.agents: dict[str, subprocess.Popen[bytes]] = {}
        self.published: list[bytes] = []

    def hire(self, name: str, count: int) -> None:
        """A process with so many PCs, `<name>-001` on, that enrol."""
        wish = {"group": self.group, "approved": True}
        token = self.server.new_token()
        made = [
            self.server.rest("POST", "/api/v1/enrolment-tokens/", wish, token=token) for _ in range(count)
        ]
        file = self.directory / f"{name}.tokens"
        file.write_text("\n".join(one["token"] for one in made))
        self.start(name, count, "--token-file", str(file))

    def start(self, name: str, count: int, *more: str) -> None:
        command = [sys.executable, "-m", "vrasnode", "simulate", "--server", self.server.url]
        command += ["--state", str(self.directory / name), "--prefix", f"{self.group}-{name}"]
        with (self.directory / f"{name}.log").open("ab") as log:
            self.agents[name] = subprocess.Popen(
                [*command, "--pcs", str(count), "--boot-s", "0.2", *more],
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def kill(self, name: str) -> None:
        """As a power cut would."""
        self.agents[name].kill()
        self.agents[name].wait()

    def publish(self, seed: int) -> str:
        """A version of bytes that no other has; its name."""
        disk = random.Random(seed).randbytes(CHUNKS * CHUNK)
        disk = boot_sector(sectors=len(disk) // 512 - 1) + disk[512:]
        path = self.directory / "next.raw"
        path.write_bytes(disk)
        self.administrator.must("image", "publish", str(path), "--name", self.group)
        self.published.append(disk)
        return f"{self.group}@{len(self.published)}"

    def distribute(self, version: str) -> int:
        found = self.administrator.json("distribute", version, "--group", self.group, "--now", "--rate", RATE)
        return int(found["id"])

    def deliveries(self, distribution: int) -> dict[str, dict[str, Any]]:
        path = f"/api/v1/deliveries/?distribution={distribution}&limit=500"
        found = self.server.rest("GET", path, token=self.server.new_token())["results"]
        return {one["client"]: one for one in found}

    def await_fetching(self, distribution: int) -> None:
        self.wait(
            "a PC that fetches",
            lambda: any(one["done_bytes"] for one in self.deliveries(distribution).values()),
        )

    def settle(self, distribution: int) -> dict[str, dict[str, Any]]:
        self.wait(
            "an end of each delivery",
            lambda: all(one["state"] in ENDS for one in self.deliveries(distribution).values()),
        )
        return self.deliveries(distribution)

    def right_images(self) -> int:
        """How many PCs hold the version that was published last."""
        return sum(path.read_bytes() == self.published[-1] for path in self.directory.glob("*/*/**/*.raw"))

    @property
    def members(self) -> int:
        """PCs that get what the group is sent: a revoked one does not."""
        pcs = self.administrator.json("pc", "list", "--group", self.group)
        return sum(one["state"] == "approved" for one in pcs)

    def await_members(self, count: int) -> None:
        self.wait(f"{count} PCs", lambda: self._present() == count)

    def wait(self, what: str, so: Callable[[], bool], *, within_s: float = 180) -> None:
        deadline = time.monotonic() + within_s
        while not so():
            assert time.monotonic() < deadline, f"{what}: not within {within_s} s\n{self._logs()}"
            time.sleep(0.1)

    def _present(self) -> int:
        pcs = self.administrator.json("pc", "list", "--group", self.group)
        return sum(one["state"] == "approved" and one["present"] for one in pcs)

    def _logs(self) -> str:
        return "\n".join(path.read_text(errors="replace")[-1500:] for path in self.directory.glob("*.log"))


@pytest.fixture(scope="module")
def fleet(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    fleet = Fleet(server, tmp_path_factory.mktemp("fleet"), group="fleet")
    for name in PROCESSES:
        fleet.hire(name, PCS // len(PROCESSES))
    fleet.await_members(PCS)
    yield fleet
    for name in fleet.agents:
        fleet.kill(name)


@pytest.fixture
def small_disk(fleet: Fleet) -> Iterator[str]:
    """One more PC, whose disk has no room for a version."""
    place = fleet.directory / "small"
    place.mkdir()
    size = f"size={CHUNKS * CHUNK * 3 // 4},mode=700"
    subprocess.run(["mount", "-t", "tmpfs", "-o", size, "small", str(place)], check=True)
    try:
        fleet.hire("small", 1)
        fleet.await_members(PCS + 1)
        yield f"{fleet.group}-small-001"
        fleet.administrator.must(
            "pc", "revoke", f"{fleet.group}-small-001", "--reason", "its disk is too small"
        )
    finally:
        fleet.kill("small")
        subprocess.run(["umount", str(place)], check=True)


def kill_here_and_there(fleet: Fleet, seed: int) -> None:
    """PCs and the server's processes die at moments of the seed's choice, and are started again."""
    chance = random.Random(seed)
    server = fleet.server
    moments = sorted(chance.uniform(0, WINDOW_S) for _ in range(KILLS))
    begun = time.monotonic()
    for moment in moments:
        time.sleep(max(0.0, begun + moment - time.monotonic()))
        victim = chance.choice([*PROCESSES, "web", "worker", "redis"])
        if victim in PROCESSES:
            fleet.kill(victim)
            fleet.start(victim, PCS // len(PROCESSES))
        elif victim == "web":
            server.web.kill()
            server.start_web()
        elif victim == "worker":
            server.worker.kill()
            server.worker.start()
        else:
            server.redis.kill()
            server.start_redis()


def test_a_newer_version_kills_a_revoked_pc_and_a_full_disk_in_the_middle(
    fleet: Fleet, small_disk: str
) -> None:
    first = fleet.publish(1)
    running = fleet.distribute(first)
    fleet.await_fetching(running)
    refused = fleet.administrator.run("image", "retire", first)
    assert "version_in_use" in refused.err

    newer = fleet.distribute(fleet.publish(2))
    fleet.await_fetching(newer)
    gone = f"{fleet.group}-p0-001"
    fleet.administrator.must("pc", "revoke", gone, "--reason", "stolen")
    kill_here_and_there(fleet, seed=4)
    found = fleet.settle(newer)

    before = {name: one["state"] for name, one in fleet.deliveries(running).items()}
    assert before.pop(small_disk) in ("failed", "superseded")
    assert set(before.values()) == {"superseded"}
    ends = {name: (one["state"], one["code"]) for name, one in found.items()}
    assert ends.pop(gone) == ("failed", "revoked")
    assert ends.pop(small_disk) == ("failed", "disk_full")
    assert set(ends.values()) == {("booted", "")}
    assert found[small_disk]["reason"]["remedy"]
    assert fleet.right_images() >= PCS - 1
    assert fleet.administrator.json("distribution", "show", str(newer))["state"] == "finished"


@pytest.mark.parametrize("seed", SEEDS)
def test_what_is_killed_at_any_moment_costs_no_pc_its_version(fleet: Fleet, seed: int) -> None:
    distribution = fleet.distribute(fleet.publish(1000 + seed))

    kill_here_and_there(fleet, seed)

    found = fleet.settle(distribution)
    assert Counter(one["state"] for one in found.values()) == {"booted": fleet.members}, found
    assert fleet.right_images() == fleet.members
