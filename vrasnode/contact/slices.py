"""The last desired state that the server told, kept on this disk: the PC goes on by it while nobody answers.

Each app's slice is opaque here and lies in a file of its own, so one that cannot be read spoils no other.
"""

from pathlib import Path

from vrasnode.host import disk
from vrasnode.wire.clients import Desired


class Slices:
    """The slices directory. Changing it raises HostBroken when the disk does not take it."""

    def __init__(self, directory: Path) -> None:
        """Reads what is there."""
        disk.make_directory(directory, mode=0o700)
        self._directory = directory
        kept = disk.read_file(directory / "revision")
        self.revision = kept.decode(errors="replace") if kept else None
        self._slices = {path.stem: path.read_bytes() for path in directory.glob("*.slice")}
        self._unwritten: set[str] = set()

    def get(self, app: str) -> bytes | None:
        """What the server last said to this app's part; the same object until it says something else."""
        return self._slices.get(app)

    def keep(self, desired: Desired, revision: str) -> list[str]:
        """Takes over a new desired state; returns whose slices changed. An absent slice could not be built:
        the one before stays. The revision comes last, so that a kill in between only means to look again.

        What the server says holds at once, also while the disk is full: it may say that data is to be locked.
        """
        changed = [app for app, data in desired.slices.items() if app.isalnum() and self.get(app) != data]
        for app in changed:
            self._slices[app] = desired.slices[app]
        self._unwritten.update(changed)
        for app in sorted(self._unwritten):
            disk.write_file(self._directory / f"{app}.slice", self._slices[app])
            self._unwritten.discard(app)
        disk.write_file(self._directory / "revision", revision.encode())
        self.revision = revision
        return changed
