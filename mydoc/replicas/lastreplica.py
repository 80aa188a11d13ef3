"""What is known of a volume's last replica, for whoever asks; whoever keeps replicas joins with `register`.

Without one, or for a volume that has none, there is none: then everything on its PC is unknown, and is said
to be.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from mydoc.models import Volume


@dataclass(frozen=True)
class LastReplica:
    """The newest whole one. `at`: up to when what was written is in it; `unreadable`: files and folders of
    which the PC said that it could not read them then."""

    at: datetime
    files: int
    size_bytes: int
    unreadable: int = 0


@dataclass(frozen=True)
class KeptFile:
    """One file in it. `path` is from the volume's root, as bytes; `sha256` in hex, "" where it is unknown."""

    path: bytes
    size_bytes: int
    changed: datetime | None = None
    sha256: str = ""


class Replicas(Protocol):
    """Who keeps replicas."""

    def newest(self, volumes: Sequence[Volume], *, before: datetime) -> dict[UUID, LastReplica]:
        """Of each volume that has one, by the volume's id; asked at once for all of them."""

    def files(self, volume: Volume, *, before: datetime) -> Iterator[KeptFile]:
        """All files of that replica, by path, as a stream: there may be a million."""


_kept_by: list[Replicas] = []


def register(replicas: Replicas) -> None:
    """In place of whoever was registered before."""
    _kept_by[:] = [replicas]


def last(volume: Volume, *, before: datetime) -> LastReplica | None:
    """The volume's last whole replica at that time; None: there is none."""
    return newest([volume], before=before).get(volume.pk)


def newest(volumes: Sequence[Volume], *, before: datetime) -> dict[UUID, LastReplica]:
    """The same for many volumes, by their ids; those without one are absent."""
    return _kept_by[0].newest(volumes, before=before) if _kept_by else {}


def files(volume: Volume, *, before: datetime) -> Iterator[KeptFile]:
    """What was in it; nothing when there is none."""
    return _kept_by[0].files(volume, before=before) if _kept_by else iter(())
