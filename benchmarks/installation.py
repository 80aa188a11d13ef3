"""The product under measurement: a server with all its processes, an administrator's PC and one client PC.

All three are in one LAN (`config.demo.lan`), so bytes are counted at network cables. What the administrator
does is done by `vrasctl` on his PC, what the client PC does by `vrasnode`.
"""

import json
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from benchmarks import measuring
from benchmarks.measuring import Cost
from config.demo.lan import Lan, LanPc
from config.demo.processes import Child, run
from config.demo.server import ADMIN, ROOT, DemoServer
from vrasnode.errors import HostBroken
from vrasnode.imaging.slots import Boot, Slots, read_boot
from vrasnode.places import State

PORT = 8000
IMAGE = "office-desktop"
GROUP = "sales"
# The workload does not boot. With nobody at this address the agent leaves the client VM alone.
NO_MACHINES = "qemu:///system?socket=/nonexistent/libvirt-sock"
STAGED_LIMIT_S = 1800.0
LOOK_S = 0.005


class Installation:
    """A server with its state in `directory`, reached from the administrator's PC. A context manager.

    `delta_bases`: for how many versions before a new one delta frames are made; none while something else is
    measured, for they take a processor in the background."""

    def __init__(self, directory: Path, lan: Lan, *, delta_bases: int = 0) -> None:
        self.url = f"http://{lan.address}:{PORT}"
        self.administrator = lan.join("administrator")
        self._lan = lan
        self._more_env = {"OPENVRAS_DELTA_BASES": str(delta_bases)}
        self._directory = directory
        self._data = directory / "server"
        self._kept = directory / "server.kept"
        self._server: DemoServer | None = None

    def __enter__(self) -> Self:
        self.start()
        self._furnish()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def store(self) -> Path:
        """Where packs, manifests and frame maps lie."""
        return self._data / "store"

    def start(self) -> None:
        """Starts the server's processes on what is in its directory."""
        server = DemoServer(self._data, listeners=[self._lan.open_listener(PORT)], env=self._more_env)
        self._server = server.__enter__()

    def stop(self) -> None:
        """Ends them."""
        if self._server:
            self._server.__exit__(None, None, None)
            self._server = None

    def keep(self) -> None:
        """Remembers the state as it is now, for `restore`."""
        self.stop()
        _copy(self._data, self._kept)
        self.start()

    def restore(self) -> None:
        """Takes the server back to what was kept; the processes start anew and have answered once."""
        self.stop()
        shutil.rmtree(self._data)
        _copy(self._kept, self._data)
        self.start()
        self.ctl("image", "list")

    def cpu_s(self) -> float:
        """Processor seconds of all the server's processes so far."""
        return measuring.cpu_s(child.pid for child in self._running.children)

    def part_cost(self, name: str) -> tuple[float, int]:
        """Processor seconds of one of the server's processes so far, and its largest resident set."""
        pid = self._running.child(name).pid
        return measuring.cpu_s([pid]), measuring.peak_bytes(pid)

    def ctl(self, *arguments: str) -> Any:
        """What `vrasctl -o json …` answers, run on the administrator's PC."""
        return self.measured_ctl(*arguments)[1]

    def measured_ctl(self, *arguments: str) -> tuple[Cost, Any]:
        """The same, with what the client alone took."""
        argv = self.administrator.command([sys.executable, "-m", "vrasctl", "-o", "json", *arguments])
        cost, output = measuring.run(argv, env=self._env)
        return cost, json.loads(output) if output.strip() else None

    def publish(self, image: Path) -> tuple[Cost, Any]:
        """Publishes all of an image file, as peers do; returns when the version is ready."""
        return self.measured_ctl("image", "publish", str(image), "--name", IMAGE, "--keep-free-space")

    @property
    def _running(self) -> DemoServer:
        if self._server is None:
            raise ValueError("the server does not run")
        return self._server

    @property
    def _env(self) -> dict[str, str]:
        return {
            "PYTHONPATH": str(ROOT),
            "XDG_CONFIG_HOME": str(self._directory / "administrator"),
            "OPENVRAS_SERVER": self.url,
        }

    def _furnish(self) -> None:
        password = str(self._running.password_file)
        self.ctl("login", "--username", ADMIN, "--password-file", password)
        key = self.ctl("key", "register")
        self._running.manage("keys", "endorse", key["fingerprint"])
        self.ctl("group", "create", GROUP)


class Pc:
    """A client PC with its state in `directory`."""

    def __init__(self, place: LanPc, directory: Path, *, log: Path) -> None:
        self.place = place
        self.state = State(directory)
        self.image = self.state.images / "a.raw"  # of v1, once it is current
        self.new_image = self.state.images / "b.raw"
        self._agent = Child(
            "agent",
            place.command([sys.executable, "-m", "vrasnode", "run", "--state", str(directory),
                           "--hypervisor", NO_MACHINES]),
            log=log,
            env={"PYTHONPATH": str(ROOT)},
        )  # fmt: skip

    def enrol(self, installation: Installation, token_file: Path) -> None:
        """Joins the group."""
        installation.ctl("pc", "token", "--group", GROUP, "--approved", "--output", str(token_file))
        enroll = [sys.executable, "-m", "vrasnode", "enroll", "--server", installation.url]
        more = ["--token-file", str(token_file), "--state", str(self.state.root), "--name", self.place.name]
        run(self.place.command([*enroll, *more, "--wait"]), env={"PYTHONPATH": str(ROOT)})
        token_file.unlink()

    @contextmanager
    def running(self) -> Iterator[None]:
        """The agent runs inside."""
        with self._agent:
            yield

    def cpu_s(self) -> float:
        """Processor seconds of the agent so far."""
        return measuring.cpu_s([self._agent.pid])

    def peak_bytes(self) -> int:
        """The agent's largest resident set since it was started."""
        return measuring.peak_bytes(self._agent.pid)

    def await_staged(self, digest: str) -> float:
        """Returns when a version is staged: the moment, as Unix time in seconds. Raises HostBroken."""
        return self._await("Staging", lambda boot: boot.next and boot.next.manifest == digest)

    def await_kept(self, *, after: int) -> int:
        """Returns when an assignment of the current version with a serial above `after` was taken over: its
        serial. Raises HostBroken."""
        self._await("Keeping v1", lambda boot: boot.current and boot.current.serial > after)
        return read_boot(self.state.images).serial

    def assignment_seen_at(self) -> float:
        """When the agent got the assignment that it follows, as Unix time in seconds."""
        return (self.state.slices / "imaging.slice").stat().st_mtime

    def switch(self) -> None:
        """Makes the staged version current and proven, as a healthy boot does. The agent must not run."""
        slots = Slots(self.state.images)
        slots.switch()
        slots.mark(proven=True, told=True)

    def forget_update(self) -> None:
        """Takes the PC back to v1 alone: the other slot is empty, nothing is assigned. The agent must not
        run."""
        Slots(self.state.images).open()
        for path in (*self.state.images.glob("b.*"), *self.state.slices.glob("*")):
            path.unlink()

    def _await(self, what: str, ready: Callable[[Boot], object]) -> float:
        deadline = time.monotonic() + STAGED_LIMIT_S
        while not ready(boot := read_boot(self.state.images)):
            if boot.failed and boot.failed.serial == boot.serial:
                raise HostBroken(boot.failed.code, f"{what} failed: {boot.failed.words}")
            if self._agent.exited() is not None or time.monotonic() > deadline:
                raise HostBroken("not_done", f"{what} did not happen: {self._agent.tail()}")
            time.sleep(LOOK_S)
        return time.time()


def _copy(source: Path, target: Path) -> None:
    """Copies a server's directory; packs are never written again, so a second name is enough for them."""

    def copy(one: str, other: str) -> None:
        if one.endswith(".pack"):
            Path(other).hardlink_to(one)
        else:
            shutil.copy2(one, other)

    shutil.copytree(source, target, copy_function=copy)
