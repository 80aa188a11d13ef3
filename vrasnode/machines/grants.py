"""What one start of the client VM may have of the PC: asked for by `desktop`, answered by `devices`."""

from dataclasses import dataclass
from typing import Protocol

from vrasnode.errors import VrasError
from vrasnode.wire.devices import Suspend


@dataclass(frozen=True)
class Grants:
    """`pci` are the addresses to pass through, `opticals` the nodes of drives to share; `display`: whether a
    display is among what is passed through."""

    pci: tuple[str, ...] = ()
    opticals: tuple[str, ...] = ()
    suspend: Suspend = Suspend.BLOCKED
    display: bool = False


class Grantor(Protocol):
    """Who decides what a start may have, and learns from how it went."""

    @property
    def on_trial(self) -> bool:
        """Whether the last start had what no healthy one had before."""

    def for_start(self) -> Grants:
        """What the next start may have. It was looked at just now: what is gone or in use is left out."""

    def failed(self, error: VrasError) -> bool:
        """That start did not come about; whether another one with less is worth a try at once."""

    def unproven(self) -> None:
        """The machine started and did not become healthy."""

    def proven(self) -> None:
        """The machine became healthy with what it was granted."""
