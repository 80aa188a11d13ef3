"""What the part for usage keys works with, handed to it by whoever puts the agent together."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from vrasnode.checkout.asking import Server
from vrasnode.checkout.keeping import Identity, Keeper
from vrasnode.checkout.leases import Volumes as LeasedVolumes
from vrasnode.checkout.secret import STRETCH, Stretch
from vrasnode.checkout.verifying import Here
from vrasnode.clock import Clock
from vrasnode.host.tpm import Tpm
from vrasnode.mydoc.lent import Standing


class Volumes(LeasedVolumes, Protocol):
    def all(self) -> list[str]: ...


class Mydoc(Protocol):
    """The PC's user data, as far as leases need it. From any thread."""

    def standing(self, volume: str) -> Standing: ...
    def owner(self, volume: str) -> str | None: ...
    def lan_key(self, volume: str) -> bytes: ...
    def wake(self, volume: str) -> None: ...


class Copying(Protocol):
    """Who makes replicas. From any thread."""

    def copied_since(self, volume: str, since: datetime) -> bool: ...
    def waits_for(self, volume: str) -> bool: ...
    def begin(self, volume: str) -> bool: ...


@dataclass(frozen=True, kw_only=True)
class Means:
    """What usage keys work with. `heard_at`: when the server was heard last, in seconds since the start;
    `unwelcome`: the code of why this PC is none of the server's any more, "" while it is; `keeper`:
    None: the TPM, or without one the PIN."""

    identity: Identity
    here: Here
    root_key: bytes
    clock: Clock
    tpm: Tpm
    volumes: Volumes
    get_mydoc: Callable[[], Mydoc]
    get_copying: Callable[[], Copying]
    server: Server
    heard_at: Callable[[], float]
    unwelcome: Callable[[], str]
    stretch: Stretch = STRETCH
    keeper: Keeper | None = None
