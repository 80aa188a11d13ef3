"""What both machines go through between two versions: the old run ends, the new image is read once more.

When to switch, and what a start is worth, is decided by `desktop` and `virtualserver`.
"""

import logging
from collections.abc import Callable, Generator
from typing import Protocol

from vrasnode.errors import HostBroken
from vrasnode.imaging import checking
from vrasnode.imaging.checking import Verdict
from vrasnode.imaging.slots import Slots, Version

BITE_S = 0.2


class StagedCheck:
    """Reads a staged image in bites before it is started: what turned bad since it was staged is never
    started, but made anew. `clock` counts seconds and never goes back."""

    def __init__(
        self, slots: Slots, *, clock: Callable[[], float], threads: int, log: logging.Logger
    ) -> None:
        self._slots = slots
        self._clock = clock
        self._threads = threads
        self._log = log
        self._under_way: tuple[Version, Generator[None, None, Verdict]] | None = None

    @property
    def under_way(self) -> bool:
        """Whether an image is being read."""
        return self._under_way is not None

    def sound(self, staged: Version) -> bool | None:
        """One bite; None while there is more to read. False: it is not staged any more."""
        if self._under_way is None or self._under_way[0] is not staged:
            manifest = self._slots.manifest(staged)
            if manifest is None:
                return self._spoil(staged, 0)
            image = self._slots.image(staged.slot)
            self._under_way = staged, checking.verify(image, manifest, threads=self._threads)
        until = self._clock() + BITE_S
        try:
            while self._clock() < until:
                next(self._under_way[1])
        except HostBroken:  # unreadable is as bad as wrong
            return self._spoil(staged, 0)
        except StopIteration as end:
            verdict: Verdict = end.value
            self._under_way = None
            return verdict.sound or self._spoil(staged, len(verdict.wrong))
        return None

    def close(self) -> None:
        """Reads no further."""
        if self._under_way:
            self._under_way[1].close()
            self._under_way = None

    def _spoil(self, staged: Version, chunks: int) -> bool:
        words = "staged %s has turned bad in %d chunks and is made anew"
        self._log.warning(words, staged.manifest[:12], chunks)
        self.close()
        self._slots.spoil(chunks)
        return False


class Machines(Protocol):
    """The hypervisor, as far as ending a machine needs it."""

    def shut_down(self, name: str) -> None: ...
    def destroy(self, name: str) -> None: ...


class Ending:
    """The end of a run: the guest is asked to shut down, and switched off when it has not by `limit_s`."""

    def __init__(
        self,
        machines: Machines,
        name: str,
        *,
        limit_s: float,
        clock: Callable[[], float],
        log: logging.Logger,
    ) -> None:
        self._machines = machines
        self._name = name
        self._limit_s = limit_s
        self._clock = clock
        self._log = log
        self._asked_at: float | None = None

    @property
    def asked(self) -> bool:
        """Whether the guest was asked and has not ended yet."""
        return self._asked_at is not None

    def go_on(self) -> bool:
        """Asks, then waits; whether the machine was switched off just now."""
        if self._asked_at is None:
            self._asked_at = self._clock()
            self._log.info("%s is asked to shut down", self._name)
            self._machines.shut_down(self._name)
        elif self._clock() - self._asked_at >= self._limit_s:
            words = "%s did not shut down in %.0f s and is switched off"
            self._log.warning(words, self._name, self._limit_s)
            self._machines.destroy(self._name)
            return True
        return False

    def at_once(self) -> None:
        """Switches the machine off without asking."""
        self._asked_at = self._clock()
        self._machines.destroy(self._name)

    def over(self) -> None:
        """The machine is off."""
        self._asked_at = None
