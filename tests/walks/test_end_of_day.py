"""The end of a day, and the next morning, on real parts: what was not copied when its user left is copied
before anybody logs on.

The agent is the real one; instead of switching the machine off, on which the test runs, it leaves a mark. The
PC's screen is a terminal of the test.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from config.demo import bootimage, documents
from config.demo.office import Office
from config.demo.processes import run
from config.demo.server import ROOT
from tests.lab.documents import Workday

pytestmark = pytest.mark.soak

AGENT = """
import sys
from pathlib import Path
from vrasnode import world
from vrasnode.cli.main import main
from vrasnode.machines import screen
state = Path(sys.argv[sys.argv.index("--state") + 1])
world.POWER_OFF = ("touch", str(state.parent / "powered-off"))
screen.Screen.__init__.__defaults__ = (state.parent / "console",)
sys.exit(main([*sys.argv[1:], "--power-off"]))
"""
LARGE = "head -c 12000000 /dev/urandom >Documents/large && sync Documents/large && sha256sum Documents/large"
REST_S = 900.0  # restic in an emulated machine, beside a client VM that starts
SCREEN_BYTES = 1 << 16


class Screen:
    """What stands on the PC's screen, and its Enter key."""

    def __init__(self, at: Path) -> None:
        self._master, self._slave = os.openpty()
        os.set_blocking(self._master, False)
        at.symlink_to(os.ttyname(self._slave))
        self._said = b""

    def said(self) -> str:
        with suppress(BlockingIOError):
            self._said += os.read(self._master, SCREEN_BYTES)
        return self._said.decode()

    def enter(self) -> None:
        os.write(self._master, b"\n")


@pytest.fixture(scope="module")
def day(swept: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workday]:
    cache = bootimage.default_cache()
    images = documents.build(cache, say=print)
    agent = (sys.executable, "-c", AGENT)
    place = tmp_path_factory.mktemp("day")
    with Office(place, port=0, count=1, cache=cache, say=print, full=True, agent=agent) as office:
        office.furnish()
        documents.equip(office, images)
        yield Workday(office)


def switch_off(day: Workday) -> None:
    """What the PC's own shutdown does (deploy/*.service)."""
    day.pc.agent.end()
    stop = [sys.executable, "-m", "vrasnode", "stop", "--state", str(day.pc.state)]
    run(day.pc.lab.command([*stop, "--hypervisor", day.pc.lab.uri]), env={"PYTHONPATH": str(ROOT)})


def test_who_leaves_now_is_let_go_and_the_rest_is_copied_the_next_morning_before_anybody_logs_on(
    day: Workday, tmp_path: Path
) -> None:
    off, screen = day.pc.directory / "powered-off", Screen(day.pc.directory / "console")
    day.log_on()
    assert day.copy_now()["state"] == "done"
    made = day.run(LARGE).output.decode().split()[0]

    day.pc.shut_down_desktop()
    day.wait(
        "the copy", lambda: day.runs()[0]["state"] == "running" and day.runs()[0]["occasion"] == "shutdown"
    )
    day.wait("the screen", lambda: "leave now" in screen.said())
    screen.enter()
    day.wait("the end of the day", off.exists)
    switch_off(day)

    assert day.runs()[0]["reason"] == "left_now"
    assert day.daemons() == []

    day.pc.agent.start()
    day.wait(
        "the rest",
        lambda: day.runs()[0]["state"] == "done" and day.runs()[0]["occasion"] == "resume",
        within_s=REST_S,
    )
    day.wait("the lock", lambda: day.told()["state"] == "locked" and day.told()["code"] == "")

    assert day.told()["proof"]["reason"] == "replica_ended"
    assert day.told()["proof"]["read_failed"]
    assert day.daemons() == []
    assert day.openings(state="open") == []
    (event,) = day.office.rest("GET", "/api/v1/events/?verb=replicationrun.half_given")["results"]
    assert event["object_name"]
    back = day.restored(tmp_path) / "Documents" / "large"
    assert run(["sha256sum", str(back)]).split()[0] == made

    day.log_on()
    assert day.run("sha256sum Documents/large").output.decode().split()[0] == made
    assert day.told()["state"] == "open"
