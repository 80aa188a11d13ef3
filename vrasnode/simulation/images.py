"""Image slots of simulated PCs: watched, and on wish without the bytes.

Hundreds of PCs on one disk cannot each keep an image. Without the bytes, every frame that a PC lacks is still
fetched from the server and held against its digest; in the slot then lies a hole of the image's size.
"""

import os
from array import array
from collections.abc import Callable, Generator
from dataclasses import replace
from pathlib import Path

from vrasnode.chunks.frames import open_frame
from vrasnode.chunks.hashing import digest_of
from vrasnode.chunks.manifest import Manifest
from vrasnode.errors import Refused, VrasError
from vrasnode.host import disk
from vrasnode.imaging.assembling import Progress
from vrasnode.imaging.part import Imaging
from vrasnode.imaging.slots import Slot, Slots, Version
from vrasnode.imaging.staging import Work
from vrasnode.wire.imaging import Assignment, DeliveryStage

Watch = Callable[[int, DeliveryStage], None]  # serial of the assignment, how far it came


class WatchedSlots(Slots):
    """Tells `watch` when an assignment was accepted, staged, booted or given up."""

    def __init__(self, directory: Path, *, watch: Watch = lambda _serial, _stage: None) -> None:
        super().__init__(directory)
        self._watch = watch

    def accept(self, assignment: Assignment) -> None:
        super().accept(assignment)
        self._watch(assignment.serial, DeliveryStage.FETCHING)

    def stage(self, assignment: Assignment, slot: Slot, encoded: bytes) -> None:
        super().stage(assignment, slot, encoded)
        self._watch(assignment.serial, DeliveryStage.STAGED)

    def mark(self, *, proven: bool, told: bool) -> None:
        super().mark(proven=proven, told=told)
        if proven and self.boot.current:
            self._watch(self.boot.current.serial, DeliveryStage.BOOTED)

    def fail(self, serial: int, error: VrasError) -> None:
        super().fail(serial, error)
        self._watch(serial, DeliveryStage.FAILED)

    def go_back(self, error: VrasError) -> None:
        failed = self.boot.current
        super().go_back(error)
        if failed:
            self._watch(failed.serial, DeliveryStage.FAILED)


class EmptySlots(WatchedSlots):
    """Slots whose images are holes: their manifests name no chunk."""

    def manifest(self, version: Version) -> Manifest | None:
        """What the slot's file holds, which is nothing, under the version's name."""
        found = self.full_manifest(version)
        return found and replace(found, numbers=array("I"), digests=b"")

    def full_manifest(self, version: Version) -> Manifest | None:
        """The version's manifest as it came."""
        return super().manifest(version)


class FetchOnly(Work):
    """Fetches and checks what the current version lacks, a range of frames a bite, and keeps nothing."""

    _counted: Progress | None = None

    @property
    def progress(self) -> Progress:
        return self._counted or Progress()

    def _run(self) -> Generator[bool, None, None]:
        slot = self.slot = self._slots.open()
        yield True
        target, encoded = self._manifest(slot)
        counted = self._counted = Progress()
        frames = self.fetcher.frame_map(target)
        lacking = self._lacking(target)
        ranges = list(frames.ranges(lacking))
        counted.total_bytes = sum(wanted.length for wanted in ranges)
        digest = digest_of(target.header.hash)
        for wanted in ranges:
            for entries, frame in self.fetcher.frames(wanted):
                _check(target, entries[0], frame, digest=digest)
                counted.done_bytes += len(frame)
            yield True
        counted.done_bytes = counted.total_bytes
        self._make_hole(slot, target.header.size_bytes)
        self._encoded = encoded
        self.ready = True

    def _lacking(self, target: Manifest) -> "array[int]":
        current = self._slots.boot.current
        seed = None
        if current and isinstance(self._slots, EmptySlots):
            seed = self._slots.full_manifest(current)
        known = {digest for _, digest in seed} if seed else set()
        return array("I", (entry for entry in range(len(target)) if target.digest_at(entry) not in known))

    def _make_hole(self, slot: Slot, size_bytes: int) -> None:
        part = self._slots.part(slot)
        with disk.told(f"{part} cannot be made"):
            part.unlink(missing_ok=True)
            part.touch(mode=0o600)
            os.truncate(part, size_bytes)


class FetchingAlone(Imaging):
    """Workgroup Desktop on a PC that keeps no image bytes; its slots are EmptySlots."""

    new_work = FetchOnly


def _check(target: Manifest, entry: int, frame: bytes, *, digest: Callable[[bytes], bytes]) -> None:
    chunk = open_frame(frame, target.chunk_bytes_at(target.numbers[entry]))
    if digest(chunk) != target.digest_at(entry):
        raise Refused("wrong_bytes", f"Chunk {target.numbers[entry]} came with wrong bytes.")
