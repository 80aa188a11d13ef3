"""What replicas are tested with: a folder as NAS, the real gateway before it, the real restic of a PC."""

import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from config.demo.processes import Child, wait_for
from mydoc.nas import fileserver
from mydoc.nas.settings import GatewaySettings, NasSettings
from mydoc.replicas import gateway


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@dataclass
class Gateway:
    """The real one, before a folder."""

    directory: Path
    port: int = field(default_factory=free_port)

    @property
    def settings(self) -> GatewaySettings:
        return GatewaySettings(url=f"http://127.0.0.1:{self.port}")

    @property
    def place(self) -> NasSettings:
        return NasSettings(url=f"file://{self.directory}/nas")

    def admit(self) -> None:
        """Who may come in, as the rows say now."""
        gateway.write(self.directory / "who")

    @contextmanager
    def running(self) -> Iterator["Gateway"]:
        (self.directory / "nas").mkdir(parents=True)
        self.admit()
        argv = gateway.arguments(
            self.place, self.settings, listen=f"127.0.0.1:{self.port}", who=self.directory / "who"
        )
        environment = fileserver.environment(self.place)
        with Child("rclone", argv, env=environment, log=self.directory / "rclone.log") as child:
            wait_for("the gateway", lambda: answers(self.port), children=[child])
            yield self

    def repository(self, path: str, *, user: str, password: str) -> str:
        return f"rest:http://{user}:{password}@127.0.0.1:{self.port}/{path}/"


@dataclass
class Restic:
    """restic as somebody has it who holds this address and this password."""

    repository: str
    password: str
    directory: Path

    def run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            self._command(*arguments), env=self._environment, capture_output=True, text=True, check=False
        )

    def complaint(self, *arguments: str) -> str:
        """The first one: it would go on trying for most of a minute, for which nobody waits."""
        with subprocess.Popen(
            self._command(*arguments), env=self._environment, stderr=subprocess.PIPE, text=True
        ) as child:
            said = next((line for line in child.stderr or () if "error" in line.lower()), "")
            child.send_signal(signal.SIGINT)  # it lifts its lock
            child.communicate()
        return said

    def _command(self, *arguments: str) -> list[str]:
        return ["restic", "--cache-dir", str(self.directory / "cache"), *arguments]

    @property
    def _environment(self) -> dict[str, str]:
        return {**os.environ, "RESTIC_REPOSITORY": self.repository, "RESTIC_PASSWORD": self.password}
