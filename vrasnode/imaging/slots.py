"""Which image version boots: two slots on disk and one pointer, `boot.json`, that says what they hold.

    a.raw a.manifest b.raw b.manifest     a finished version each, never written again while it may boot
    a.raw.part                            a version being made; whatever is right in it is kept
    boot.json                             current, next, previous; replaced whole

The pointer is the truth: a slot that it does not name holds nothing that counts. Each verb below is one
replacement of that file, so a kill leaves the state before or after it. Nothing here decides when to switch
(`desktop`) or how a slot is filled (`assembling`).
"""

import os
from enum import StrEnum
from pathlib import Path

from msgspec.structs import replace

from vrasnode.chunks import manifest
from vrasnode.chunks.manifest import Manifest
from vrasnode.errors import HostBroken, Refused, VrasError
from vrasnode.host import disk
from vrasnode.wire import codec
from vrasnode.wire.codec import Message
from vrasnode.wire.imaging import Apply, Assignment, Health

IMAGE_MODE = 0o444


class Slot(StrEnum):
    A = "a"
    B = "b"

    @property
    def other(self) -> "Slot":
        return Slot.B if self is Slot.A else Slot.A


class Version(Message, frozen=True):
    """An image version in a slot, as one assignment wants it run. `overlay` is a file name: what the user
    changed on top; it outlives a new assignment of the same version."""

    slot: Slot
    manifest: str  # digest (hex)
    serial: int
    overlay: str
    apply: Apply
    health: Health
    proven: bool = False  # it became healthy once
    told: bool = False  # and the server was told so for this serial

    @classmethod
    def of(cls, assignment: Assignment, slot: Slot) -> "Version":
        return cls(
            slot=slot,
            manifest=assignment.manifest,
            serial=assignment.serial,
            overlay=f"{assignment.manifest}-{assignment.serial}.qcow2",
            apply=assignment.apply,
            health=assignment.health,
        )


class Failure(Message, frozen=True):
    """Why an assignment was given up. Only a new serial is tried again."""

    serial: int
    code: str
    words: str


class Boot(Message, frozen=True):
    """The pointer."""

    current: Version | None = None  # what the client VM is started from
    next: Version | None = None  # staged: what its next start switches to
    previous: Version | None = None  # where an unhealthy start goes back to
    starts: int = 0  # of `current` since it was switched to, until proven
    serial: int = 0  # the highest that was ever accepted
    manifest: str = ""  # the version that it named
    failed: Failure | None = None
    spoiled: int = 0  # chunks of a staged version that had turned bad since `serial` was accepted


class Slots:
    """The images directory. A change that the disk does not take raises HostBroken and changes nothing."""

    def __init__(self, directory: Path) -> None:
        """Reads the pointer. Raises HostBroken(pointer_unreadable)."""
        self.directory = directory
        disk.make_directory(directory, mode=0o711)
        self.boot = read_boot(directory)

    def image(self, slot: Slot) -> Path:
        """Where the finished image of a slot lies."""
        return self.directory / f"{slot}.raw"

    def part(self, slot: Slot) -> Path:
        """Where the image of a slot lies while it is made."""
        return self.directory / f"{slot}.raw.part"

    def manifest_draft(self, slot: Slot) -> Path:
        """Where the manifest lies of what is being made."""
        return self.directory / f"{slot}.manifest.part"

    def manifest(self, version: Version) -> Manifest | None:
        """The manifest of what is in a slot; None when its file is missing or not that of this version."""
        data = disk.read_file(self._manifest(version.slot))
        if data is None:
            return None
        try:
            return manifest.read_named(data, version.manifest)
        except Refused:
            return None

    @property
    def free(self) -> Slot:
        """The slot that may be written: never the current one."""
        return self.boot.current.slot.other if self.boot.current else Slot.A

    def accept(self, assignment: Assignment) -> None:
        """From now on this is what the PC should run; lower serials are refused for ever."""
        self._point(
            replace(
                self.boot,
                serial=assignment.serial,
                manifest=assignment.manifest,
                failed=None,
                spoiled=0,
            )
        )

    def keep(self, assignment: Assignment) -> None:
        """The accepted assignment names the version that is current: that one stays, overlay and all. If it
        never became healthy, it is tried anew."""
        current = self.boot.current
        if current is None or current.manifest != assignment.manifest:
            raise ValueError("not the current version")
        kept = replace(
            current, serial=assignment.serial, apply=assignment.apply, health=assignment.health, told=False
        )
        self._point(replace(self.boot, current=kept, next=None, starts=0))

    def open(self) -> Slot:
        """Takes the free slot to be written: nothing points at it any more, and what it held is its `.part`.

        There may be no `.part` then: nothing was there.
        """
        slot = self.free
        if self.boot.next or self.boot.previous:
            self._point(replace(self.boot, next=None, previous=None))
        with disk.told(f"The image slot {slot} cannot be opened"):
            image, part = self.image(slot), self.part(slot)
            if image.exists():
                image.replace(part)
            if part.exists():
                part.chmod(0o600)
            self._manifest(slot).unlink(missing_ok=True)
            disk.sync_directory(self.directory)
        return slot

    def stage(self, assignment: Assignment, slot: Slot, encoded: bytes) -> None:
        """Makes the written `.part`, checked and synced, the version that starts next."""
        disk.write_file(self._manifest(slot), encoded, mode=IMAGE_MODE)
        with disk.told(f"The image slot {slot} cannot be closed"):
            self.part(slot).chmod(IMAGE_MODE)
            self.part(slot).replace(self.image(slot))
            self.manifest_draft(slot).unlink(missing_ok=True)
            disk.sync_directory(self.directory)
        self._point(replace(self.boot, next=Version.of(assignment, slot)))

    def spoil(self, chunks: int) -> None:
        """What was staged has turned bad: it is not started, and has to be made whole again."""
        self._point(replace(self.boot, next=None, spoiled=self.boot.spoiled + chunks))

    def withdraw(self, serial: int) -> bool:
        """The assignment of this serial was called off: what it staged is not started. Whether it did."""
        staged = self.boot.next
        if staged is None or staged.serial != serial:
            return False
        self._point(replace(self.boot, next=None))
        return True

    def switch(self) -> Version:
        """The staged version becomes the current one, unproven, with the old one to go back to."""
        current = self.boot.next
        if current is None:
            raise ValueError("nothing is staged")
        self._point(replace(self.boot, current=current, next=None, previous=self.boot.current, starts=0))
        return current

    def count_start(self) -> None:
        """Counted before the start, so that one which takes the PC down with it counts as well."""
        self._point(replace(self.boot, starts=self.boot.starts + 1))

    def mark(self, *, proven: bool, told: bool) -> None:
        """The current version became healthy, and whether the server was told."""
        if self.boot.current is None:
            raise ValueError("nothing is current")
        self._point(replace(self.boot, current=replace(self.boot.current, proven=proven, told=told)))

    def go_back(self, error: VrasError) -> None:
        """The current version failed: the one before, with its overlay, is current again."""
        failed, previous = self.boot.current, self.boot.previous
        if failed is None or previous is None:
            raise ValueError("there is nothing to go back to")
        failure = self._worse(Failure(serial=failed.serial, code=error.code, words=error.words))
        self._point(replace(self.boot, current=previous, previous=None, starts=0, failed=failure))

    def fail(self, serial: int, error: VrasError) -> None:
        """This assignment is given up, also if it is staged; what is current stays."""
        failure = self._worse(Failure(serial=serial, code=error.code, words=error.words))
        staged = self.boot.next
        left = staged if staged and staged.serial != serial else None
        self._point(replace(self.boot, next=left, failed=failure))

    def drop_part(self, slot: Slot) -> None:
        """Gives back the room of a half-made image."""
        with disk.told(f"{self.part(slot)} cannot be removed"):
            self.part(slot).unlink(missing_ok=True)

    def _manifest(self, slot: Slot) -> Path:
        return self.directory / f"{slot}.manifest"

    def _worse(self, failure: Failure) -> Failure:
        """The one to remember: a late failure of an old assignment does not hide that of a newer one."""
        known = self.boot.failed
        return known if known and known.serial > failure.serial else failure

    def _point(self, boot: Boot) -> None:
        if boot != self.boot:
            disk.write_file(_pointer(self.directory), codec.encode(boot), mode=0o644)
            self.boot = boot


def read_boot(directory: Path) -> Boot:
    """The pointer as it is on disk now; reads only. Raises HostBroken(pointer_unreadable)."""
    data = disk.read_file(_pointer(directory))
    if data is None:
        return Boot()
    try:
        return codec.decode(data, Boot)
    except Refused as error:
        words = f"{_pointer(directory)} cannot be read ({error.words}). Restore it, or enrol this PC anew."
        raise HostBroken("pointer_unreadable", words) from error


def open_image(path: Path) -> int:
    """A descriptor for reading an image. Raises OSError."""
    return os.open(path, os.O_RDONLY | os.O_CLOEXEC)


def _pointer(directory: Path) -> Path:
    return directory / "boot.json"
