"""When each volume of this PC was copied last, as the PC itself knows it: kept in one small file.

It is what is asked offline: whether a run was cut off, so that it goes on at the next start; whether all that
was written before some moment has been copied since. What counts as a replica, the server says.
"""

import logging
from datetime import datetime
from pathlib import Path

from msgspec.structs import replace

from vrasnode.errors import HostBroken, Refused
from vrasnode.host import disk
from vrasnode.wire import codec
from vrasnode.wire.codec import Message

log = logging.getLogger("vrasnode.replication")


class Known(Message, frozen=True):
    """Of one volume. `unfinished`: the run that was begun and has not ended well or failed; `copied_at`: when
    the last run that ended well was begun, so that all that was written before is in it."""

    unfinished: str = ""
    begun_at: datetime | None = None
    copied_at: datetime | None = None


class CopiedLog:
    """Safe from any thread. A disk that takes nothing costs what is asked here, never a run."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known = _read(path)

    def of(self, volume: str) -> Known:
        return self._known.get(volume, Known())

    @property
    def unfinished(self) -> dict[str, str]:
        """Volumes with the run that was cut off, or is under way."""
        return {volume: known.unfinished for volume, known in self._known.items() if known.unfinished}

    def copied_since(self, volume: str, since: datetime) -> bool:
        """Whether a run that was begun at or after `since` has ended well."""
        copied_at = self.of(volume).copied_at
        return copied_at is not None and copied_at >= since

    def begin(self, volume: str, run: str, *, at: datetime) -> None:
        """A run that goes on is as old as its first beginning."""
        if self.of(volume).unfinished != run:
            self._keep(volume, unfinished=run, begun_at=at)

    def end(self, volume: str, *, well: bool) -> None:
        """It is over for good; of one that was cut off nothing is noted."""
        known = self.of(volume)
        self._keep(volume, unfinished="", copied_at=known.begun_at if well else known.copied_at)

    def _keep(self, volume: str, **changed: object) -> None:
        self._known = {**self._known, volume: replace(self.of(volume), **changed)}
        try:
            disk.write_file(self._path, codec.encode(self._known))
        except HostBroken as error:
            log.warning("%s", error)


def _read(path: Path) -> dict[str, Known]:
    data = disk.read_file(path)
    try:
        return codec.decode(data, dict[str, Known]) if data else {}
    except Refused as error:
        log.warning("%s cannot be used and is begun anew: %s", path, error.words)
        return {}
