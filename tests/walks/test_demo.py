"""`manage.py demo` as a new user tries it: it says where to look, Ctrl-C ends all of it, it goes on."""

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import urllib3
from django.core.management.base import CommandError

from config.demo.bootimage import BootImages
from config.demo.processes import wait_for
from config.demo.story import Step, Story
from config.management.commands.demo import Command

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]
END = "Ctrl-C ends everything."


@contextmanager
def demo(data: Path, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The demo with a PC and three simulated ones, running, at rest; killed if the test fails in between."""
    size = ["--pcs", "1", "--simulated", "3"]
    argv = [sys.executable, "manage.py", "demo", *size, "--port", "0", "--json", "--data", str(data)]
    with log.open("wb") as file:
        process = subprocess.Popen(
            argv, cwd=ROOT, stdout=file, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        wait_for("the demo", lambda: END in log.read_text() or process.poll() is not None, timeout_s=180)
        assert process.poll() is None, log.read_text()
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def interrupt(process: subprocess.Popen[bytes]) -> int:
    """Ctrl-C."""
    process.send_signal(signal.SIGINT)
    return process.wait(90)


def left_of(data: Path) -> list[str]:
    """Command lines of processes that still have to do with this data directory."""
    left = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(data) in words and str(os.getpid()) not in path.parts:
            left.append(words)
    return left


def kill_beat(data: Path) -> None:
    """kill -9 to the demo's clock, which its command line names."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        words = path.read_bytes().split(b"\0") if path.exists() else []
        if b"beat" in words and str(data / "server" / "beat").encode() in words:
            os.kill(int(path.parent.name), signal.SIGKILL)
            return
    raise AssertionError("the demo has no clock")


def report_of(log: Path) -> dict[str, object]:
    line = next(line for line in log.read_text().splitlines() if line.startswith("{"))
    found: dict[str, object] = json.loads(line)
    return found


def test_ctrl_c_ends_everything_and_the_next_start_goes_on(tmp_path: Path, boot_images: BootImages) -> None:
    data, log = tmp_path / "data", tmp_path / "log"
    with demo(data, log) as process:
        url = str(report_of(log)["url"])
        password = (data / "server" / "admin-password").read_text()
        assert password in log.read_text()
        assert urllib3.request("GET", f"{url}/healthz").status == 200
        assert report_of(log)["ok"]

        simulated = data / "simulated.log"
        assert "3 simulated PCs, group simulated: programs, no hardware" in log.read_text()
        wait_for("them", lambda: "3 simulated PCs run" in simulated.read_text(), timeout_s=30)

        kill_beat(data)
        wait_for("what the demo says of it", lambda: "beat ended with -9" in log.read_text(), timeout_s=30)
        said = log.read_text().partition("beat ended with -9. ")[2]
        named, _colon, end = said.partition(":\n")
        assert end.splitlines()[0] in Path(named).read_text()

        assert interrupt(process) == 0

    assert left_of(data) == []
    assert not list(Path("/run/netns").glob(f"openvras-{process.pid}-*"))

    again = tmp_path / "again"
    with demo(data, again) as process:
        assert password in again.read_text()
        assert report_of(again)["steps"] == []

        assert interrupt(process) == 0
    assert left_of(data) == []


def test_a_guest_that_proves_something_else_ends_the_story_with_1() -> None:
    class OneFailed(Story):
        def play(self) -> None:
            proven = Step("v1 to all", "office@1", 1.0, 1, ["pc-1", "pc-2"], {})
            self.steps = [
                proven,
                replace(proven, name="v2 to all", proven=["pc-1"], failed={"pc-2": "no answer"}),
            ]

    office: Any = SimpleNamespace(children=[], pcs=["pc-1", "pc-2"])
    images: Any = None
    out = io.StringIO()

    with pytest.raises(CommandError) as ended:
        Command(stdout=out)._once(office, OneFailed(office, images, say=print), None, {"json": True})

    assert ended.value.returncode == 1
    assert not json.loads(out.getvalue())["ok"]
    assert not Story(office, images, say=print).good  # nothing was proven yet
