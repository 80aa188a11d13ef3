"""What is known of a peer, and what is to be asked of it. Pure."""

from dataclasses import dataclass, field
from enum import StrEnum


class Side(StrEnum):
    """Where a peer is, seen from here."""

    CELL = "cell"
    ABOVE = "above"  # hands on to me
    BELOW = "below"  # I hand on to it


@dataclass
class Peer:
    """What is known of a peer. `queue`: pieces to push, with whether it is to relay them."""

    name: str
    side: Side
    has: int = 0
    sends: bool = True
    backlog: int = 0  # what it said that it has still to send to others
    queue: dict[int, bool] = field(default_factory=dict)
    asks: dict[int, None] = field(default_factory=dict)  # what it asked me for
    asked: dict[int, float] = field(default_factory=dict)  # what I asked it for, and when
    waits_since: float | None = None  # its queue has not moved since
    laggard: bool = False


@dataclass(frozen=True)
class Ask:
    """Ask this peer for this piece."""

    peer: str
    piece: int
