"""Where everything of this PC lies on its disk."""

from dataclasses import dataclass
from pathlib import Path

STATE_MODE = 0o711  # libvirt's QEMU passes through to its disks; what is secret lies behind 0700


@dataclass(frozen=True)
class State:
    """The state directory: where everything of this PC lies."""

    root: Path

    @property
    def identity(self) -> Path:
        return self.root / "identity"

    @property
    def slices(self) -> Path:
        return self.root / "slices"

    @property
    def images(self) -> Path:
        return self.root / "images"

    @property
    def desktop(self) -> Path:
        return self.root / "desktop"

    @property
    def devices(self) -> Path:
        return self.root / "devices"

    @property
    def service(self) -> Path:
        return self.root / "service"

    @property
    def mydoc(self) -> Path:
        return self.root / "mydoc"

    @property
    def checkout(self) -> Path:
        return self.root / "checkout"

    @property
    def outbox(self) -> Path:
        return self.root / "outbox.json"

    @property
    def copied(self) -> Path:
        return self.root / "copied.json"

    @property
    def lock(self) -> Path:
        return self.root / "lock"
