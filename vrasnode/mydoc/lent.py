"""How a volume hears of usage keys, and whoever has them of volumes: neither knows the other."""

from dataclasses import dataclass
from typing import Protocol

from vrasnode.wire.mydoc import LockProof, VolumeState


class Lent(Protocol):
    """What opens volumes away from the company's LAN (`checkout.Checkout`). It never waits; an opening is one
    use of a lease, by its user with the PIN."""

    def wanted(self, volume: str) -> str:
        """The opening that was asked for just now; "" when none was."""

    def key(self, opening: str) -> bytes:
        """What opens the volume's lease slot. Raises Refused(pin_needed) when it is not at hand any more."""

    def folders(self, opening: str) -> list[bytes]:
        """Which of the volume's folders may be used; none: all."""

    def must_lock(self, opening: str) -> str:
        """The code of why it has to be locked now; "" when it may stay open."""


class NothingLent:
    """A PC without usage keys."""

    def wanted(self, volume: str) -> str:
        del volume
        return ""

    def key(self, opening: str) -> bytes:
        raise LookupError(opening)

    def folders(self, opening: str) -> list[bytes]:
        del opening
        return []

    def must_lock(self, opening: str) -> str:
        del opening
        return "lease_gone"


NOTHING_LENT = NothingLent()


@dataclass(frozen=True)
class Standing:
    """How a volume stands: `opening` is by which use of a lease it is open, or was last; `on_lan`: open by a
    logon that the server has proven."""

    state: VolumeState
    opening: str = ""
    on_lan: bool = False
    code: str = ""
    words: str = ""
    proof: LockProof | None = None
