"""What tests of volumes share: keys, reading and writing through NBD, searching what lies on the disk."""

import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

from vrasnode.volumes import Volumes

MIB = 1 << 20


@dataclass(frozen=True)
class Made:
    """A volume of one user, and its keys."""

    volumes: Volumes
    directory: Path
    name: str = field(default_factory=lambda: str(uuid4()))
    lan_key: bytes = field(default_factory=lambda: os.urandom(32))
    recovery_key: bytes = field(default_factory=lambda: os.urandom(32))

    @property
    def file(self) -> Path:
        return self.directory / self.name / "volume.luks"

    @property
    def socket(self) -> Path:
        return self.directory / "sockets" / self.name.replace("-", "")[:20]

    def create(self, *, limit_bytes: int = 16 * MIB) -> "Made":
        self.volumes.create(
            self.name, lan_key=self.lan_key, recovery_key=self.recovery_key, limit_bytes=limit_bytes
        )
        return self


def qemu_io(made: Made, *commands: str) -> subprocess.CompletedProcess[str]:
    """What a reader or writer of the open volume gets, by the way that the virtual server has."""
    source = f"nbd+unix:///{made.name}?socket={made.socket}"
    words = [word for command in commands for word in ("-c", command)]
    return subprocess.run(
        ["qemu-io", "-f", "raw", source, *words], capture_output=True, text=True, check=False
    )


def holds(made: Made, pattern: int, *, at: int = 0, length: int = MIB) -> bool:
    """Whether the open volume has this byte everywhere there."""
    done = qemu_io(made, f"read -P {pattern} {at} {length}")
    return done.returncode == 0 and "failed" not in done.stdout


def write(made: Made, pattern: int, *, at: int = 0, length: int = MIB) -> None:
    """Fills a stretch; it is on the disk when this returns."""
    done = qemu_io(made, f"write -P {pattern} {at} {length}", "flush")
    assert done.returncode == 0, done


def write_bytes(made: Made, data: bytes, *, at: int, scratch: Path) -> None:
    """The same with these bytes."""
    source = scratch / "written"
    source.write_bytes(data)
    done = qemu_io(made, f"write -s {source} {at} {len(data)}", "flush")
    source.unlink()
    assert done.returncode == 0, done
