"""A user's volume as the program inside the virtual server meets it: a disk with a serial. Needs root."""

import os
import subprocess
import tempfile
from base64 import b64decode, b64encode
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Self

from vrasnode.servicevm.guest import filewriting, foldertree, grants
from vrasnode.servicevm.guest.answering import Ops
from vrasnode.servicevm.guest.processes import holders, kill
from vrasnode.servicevm.guest.volumes import Volumes
from vrasnode.servicevm.guest.workers import Workers

SERIAL = "0123456789abcdef0123"
DISK_BYTES = 96 << 20


class Guest:
    """Volumes of a virtual server, on loop devices of this machine. A context manager.

    They lie where everybody may go, as in the virtual server, and as pytest's own folders do not.
    """

    def __init__(self) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="openvras-guest-")
        self.directory = directory = Path(self._directory.name)
        directory.chmod(0o711)
        self.data = directory / "data"
        self.workers = Workers()
        self.passed = 0.0
        self.volumes = Volumes(
            self.data,
            workers=self.workers,
            end_holders=lambda place: kill(holders(place)),
            disks=directory / "block",
            devices=directory / "dev",
            clock=lambda: self.passed,
            pause=self._pass,
        )
        self.ops = Ops()
        foldertree.add_to(self.ops, workers=self.workers, data=self.data)
        filewriting.add_to(self.ops, workers=self.workers, data=self.data)
        grants.add_to(self.ops, workers=self.workers, data=self.data)
        self._loops: list[str] = []
        for folder in ("data", "block", "dev"):
            (directory / folder).mkdir()

    def _pass(self, seconds: float) -> None:
        self.passed += seconds

    def plug(self, image: Path, *, serial: str = SERIAL) -> Path:
        """The kernel shows the disk; returns its device."""
        show = ["losetup", "--find", "--show", image]
        device = subprocess.run(show, capture_output=True, text=True, check=True).stdout.strip()
        self._loops.append(device)
        name = f"vd{chr(ord('a') + len(self._loops))}"
        (self.directory / "block" / name).mkdir()
        (self.directory / "block" / name / "serial").write_text(serial)
        (self.directory / "dev" / name).symlink_to(device)
        return Path(device)

    def unplug(self, *, serial: str = SERIAL) -> None:
        for file in (self.directory / "block").glob("vd*/serial"):
            if file.read_text() == serial:
                file.write_text("")

    def open(self, *, serial: str = SERIAL, fresh: bool = False, **more: Any) -> dict[str, Any]:
        return dict(self.volumes.open(serial, fresh=fresh, **more))

    def ask(self, op: str, **args: Any) -> Any:
        return self.ops.find(op)[0](serial=SERIAL, **args)

    @property
    def root(self) -> Path:
        return self.data / SERIAL

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        for place in self.data.iterdir():
            if place.is_mount():
                subprocess.run(["umount", "--lazy", place], check=True)
        for device in self._loops:
            subprocess.run(["losetup", "--detach", device], check=True)
        self._directory.cleanup()


def disk(path: Path, *, size_bytes: int = DISK_BYTES, noise: bool = True) -> Path:
    """What nobody has written to yet, which on an encrypted disk reads as noise."""
    with path.open("wb") as file:
        file.truncate(size_bytes)
        if noise:
            file.write(os.urandom(1 << 20))
    return path


def b64(name: str | bytes) -> str:
    return b64encode(name.encode() if isinstance(name, str) else name).decode()


def names(answer: Any) -> list[str]:
    """Of the entries in an answer, as far as they are text."""
    return [b64decode(entry["name"]).decode(errors="replace") for entry in answer["entries"]]


def write(root: Path, files: Iterable[str]) -> None:
    """Files with their own names in them, as the owner made them."""
    for name in files:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    for place, folders, inside in os.walk(root):
        for one in (place, *(f"{place}/{name}" for name in (*folders, *inside))):
            if not one.endswith("lost+found"):
                os.chown(one, 1000, 1000, follow_symlinks=False)
