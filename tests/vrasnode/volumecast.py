"""What tests of volumes share: one, read and written as a machine does it; agents to be killed."""

import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from uuid import uuid4

from vrasnode.mydoc import storagedaemon
from vrasnode.mydoc.volumes import Volumes

MIB = 1 << 20
ENDS_S = 30.0


@dataclass(frozen=True)
class Made:
    """A volume of one user, and its keys."""

    directory: Path
    name: str = field(default_factory=lambda: str(uuid4()))
    lan_key: bytes = field(default_factory=lambda: os.urandom(32))
    recovery_key: bytes = field(default_factory=lambda: os.urandom(32))

    @property
    def volumes(self) -> Volumes:
        """As an agent that has just started has them: it remembers nothing."""
        return Volumes(self.directory)

    @property
    def file(self) -> Path:
        return self.directory / self.name / "volume.luks"

    @property
    def note(self) -> Path:
        return self.directory / self.name / "volume.json"

    @property
    def socket(self) -> Path:
        return self.directory / "open" / self.name.replace("-", "")[:20]

    @property
    def address(self) -> str:
        return f"nbd+unix:///{self.name}?socket={self.socket}"

    @property
    def daemon(self) -> int:
        """The one process that serves it."""
        (pid,) = storagedaemon.find(self.socket)
        return pid

    def create(self, *, limit_bytes: int = 16 * MIB) -> "Made":
        self.volumes.create(
            self.name, lan_key=self.lan_key, recovery_key=self.recovery_key, limit_bytes=limit_bytes
        )
        return self

    def copy_to(self, directory: Path) -> "Made":
        """The same volume, locked, on another PC."""
        directory.mkdir()
        subprocess.run(["cp", "-a", "--sparse=always", self.directory / self.name, directory], check=True)
        return replace(self, directory=directory)

    def serve(self) -> None:
        self.volumes.serve(self.name, self.lan_key)

    def stop(self) -> None:
        self.volumes.stop(self.name)

    def kill_daemon(self) -> None:
        """As the kernel does when memory runs out; returns when it is gone."""
        handle = os.pidfd_open(self.daemon)
        try:
            signal.pidfd_send_signal(handle, signal.SIGKILL)
            assert select.select([handle], [], [], ENDS_S)[0]
        finally:
            os.close(handle)

    @contextmanager
    def agent(self, act: str) -> Iterator[subprocess.Popen[str]]:
        """Another process that does this with the volume; killed at the end."""
        command = [sys.executable, "-m", "tests.vrasnode.volume_pc", act, str(self.directory), self.name]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdin
                process.stdin.write(f"{self.lan_key.hex()}\n{self.recovery_key.hex()}\n")
                process.stdin.flush()
                yield process
            finally:
                process.kill()


def qemu_io(made: Made, *commands: str) -> subprocess.CompletedProcess[str]:
    """What a reader or writer of the open volume gets, by the way that the virtual server has."""
    words = [word for command in commands for word in ("-c", command)]
    return subprocess.run(
        ["qemu-io", "-f", "raw", made.address, *words], capture_output=True, text=True, check=False
    )


def holds(made: Made, pattern: int, *, at: int = 0, length: int = MIB) -> bool:
    """Whether the open volume has this byte everywhere there."""
    done = qemu_io(made, f"read -P {pattern} {at} {length}")
    return done.returncode == 0 and "verification failed" not in done.stdout


def write(made: Made, pattern: int, *, at: int = 0, length: int = MIB) -> None:
    """Fills a stretch; it was acknowledged, and flushed, when this returns."""
    done = qemu_io(made, f"write -P {pattern} {at} {length}", "flush")
    assert done.returncode == 0, done


def write_bytes(made: Made, data: bytes, *, at: int, scratch: Path) -> None:
    """The same with these bytes."""
    source = scratch / "to-be-written"
    source.write_bytes(data)
    done = qemu_io(made, f"write -s {source} {at} {len(data)}", "flush")
    source.unlink()
    assert done.returncode == 0, done
