"""What all volumes of a PC work with: handed to each (`uservolume`), and to who drives them (`part`)."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from vrasnode.mydoc.housing import Housing
from vrasnode.mydoc.lent import NOTHING_LENT, Lent
from vrasnode.mydoc.locking import Volumes as LockedVolumes
from vrasnode.mydoc.luks import Slot
from vrasnode.mydoc.unlocking import Halves, Keys
from vrasnode.mydoc.unlocking import Volumes as OpenedVolumes


class Volumes(LockedVolumes, OpenedVolumes, Protocol):
    """`volumes.Volumes`, or what behaves like it."""

    def all(self) -> list[str]: ...
    def set_key(self, volume: str, slot: Slot, new_key: bytes, *, key: bytes) -> None: ...
    def has_slot(self, volume: str, slot: Slot) -> bool: ...


@dataclass(frozen=True, kw_only=True)
class Means:
    """What all volumes of a PC work with.

    `clock` counts seconds since the PC was started, its sleep too, and so do `heard_at`, when the server was
    heard last, and `controller_at`, a domain controller; `in_doubt` is called while the server is silent.
    `is_welcome`: whether the server takes this PC for its own; `knows` takes a logon's nonce, once. `blocked`
    is the code of why no volume is opened on this PC at all, and its words. `lent` opens
    volumes away from the company's LAN.
    """

    volumes: Volumes
    halves: Halves
    keys: Keys
    housing: Housing
    client: str
    server: str
    boot_id: str
    clock: Callable[[], float]
    now: Callable[[], datetime]
    heard_at: Callable[[], float]
    controller_at: Callable[[], float]
    in_doubt: Callable[[], None]
    is_welcome: Callable[[], bool]
    knows: Callable[[str], bool]
    blocked: tuple[str, str] | None = None
    lent: Lent = NOTHING_LENT
