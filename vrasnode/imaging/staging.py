"""One assignment being made ready in the free slot: manifest, assembly, pointer.

What is worth being made ready, and what to tell about it, is decided in `part`.
"""

import threading
from collections.abc import Callable, Generator

from vrasnode.chunks.manifest import Manifest
from vrasnode.errors import Refused, Unreachable
from vrasnode.host import disk
from vrasnode.imaging.assembling import Assembly, Progress
from vrasnode.imaging.fetching import Fetcher
from vrasnode.imaging.slots import Slot, Slots
from vrasnode.wire.imaging import Assignment


class Work:
    """Drive it by `bite` until `ready`, then `stage` it; `progress` and `trouble` may be looked at meanwhile.
    When it ends early, the next Work goes on with its slot.

    `read` checks the bytes of a manifest for the assignment. `clock` counts seconds and never goes back.
    """

    def __init__(
        self,
        assignment: Assignment,
        *,
        slots: Slots,
        fetcher: Fetcher,
        read: Callable[[bytes, Assignment], Manifest],
        stop: threading.Event,
        clock: Callable[[], float],
        threads: int,
        clones: bool,
    ) -> None:
        self.assignment = assignment
        self.fetcher = fetcher
        self.begun = clock()
        self.ready = False
        self.slot: Slot | None = None
        self.told: tuple[int, int, int] | None = None
        self.told_at = float("-inf")
        self.told_trouble: Unreachable | None = None
        self._slots = slots
        self._read = read
        self._stop = stop
        self._clock = clock
        self._threads = threads
        self._clones = clones
        self._assembly: Assembly | None = None
        self._encoded = b""
        self._steps = self._run()

    @property
    def progress(self) -> Progress:
        return self._assembly.progress if self._assembly else Progress()

    @property
    def trouble(self) -> Unreachable | None:
        return self._assembly.trouble if self._assembly else None

    def bite(self, seconds: float) -> bool:
        """Works for about so long; whether there is more to do at once. At the end `ready` is true.

        Raises Unreachable while there is no manifest, Refused and HostBroken when it cannot be done.
        """
        until = self._clock() + seconds
        more = True
        while more and not self.ready and self._clock() < until:
            more = next(self._steps, False)
        return more

    def stage(self) -> None:
        """What was made starts next. Raises HostBroken."""
        if self.slot is None or not self.ready:
            raise ValueError("not ready")
        self._slots.stage(self.assignment, self.slot, self._encoded)

    def close(self) -> None:
        self._stop.set()
        self._steps.close()

    def _run(self) -> Generator[bool, None, None]:
        slot = self.slot = self._slots.open()
        yield True
        target, encoded = self._manifest(slot)
        current = self._slots.boot.current
        self._assembly = Assembly(
            target,
            self._slots.part(slot),
            seed=self._slots.image(current.slot) if current else None,
            seed_manifest=self._slots.manifest(current) if current else None,
            fetcher=self.fetcher,
            stop=self._stop,
            clock=self._clock,
            threads=self._threads,
            clones=self._clones,
        )
        yield from self._assembly.steps()
        self._encoded = encoded
        self.ready = True

    def _manifest(self, slot: Slot) -> tuple[Manifest, bytes]:
        """The draft that an earlier try left, or what the server says."""
        draft = self._slots.manifest_draft(slot)
        encoded = disk.read_file(draft)
        if encoded:
            try:
                return self._read(encoded, self.assignment), encoded
            except Refused:  # of another version
                encoded = None
        encoded = self.fetcher.manifest()
        target = self._read(encoded, self.assignment)
        disk.write_file(draft, encoded)
        return target, encoded
