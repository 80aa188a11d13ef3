"""What was given out and is nowhere: how long that may be so, and what of it was said before. Pure."""

from collections.abc import Iterable

from vrasnode.swarm.given import Given

NEVER = float("-inf")
LEAST_LOST_S = 1.0
LOST_WAITS = 4  # times as long as what is given out usually takes to be heard of
HASTE_S = 6.0  # after a peer was last seen: what it was to get is missed by then


class Missing:
    """Whoever is to get a piece may have much else to do before, so it is waited for. But when a peer went
    away, what it was to get is waited for in vain, and nobody knows what that was. Times are seconds of one
    clock."""

    def __init__(self, given: Given) -> None:
        self._given = given
        self._gone: dict[str, float] = {}  # peers that went away or fell silent: when
        self._named: dict[int, float] = {}

    def gone(self, name: str, *, now: float) -> None:
        """A peer is not there any more, or says nothing."""
        self._gone[name] = now

    def back(self, name: str) -> None:
        """It is there again: what it is to get it gets."""
        self._gone.pop(name, None)

    def patience_s(self, *, most_s: float, least_s: float, now: float) -> float:
        """How long a piece that was given out may be nowhere."""
        self._gone = {name: since for name, since in self._gone.items() if now - since < HASTE_S}
        if not self._gone:
            return most_s
        return min(most_s, max(least_s, LOST_WAITS * self._given.usual_s(most_s)))

    def unnamed(self, pieces: Iterable[int], *, within_s: float, now: float) -> list[int]:
        """Those that were not named for so long."""
        return [piece for piece in pieces if now - self._named.get(piece, NEVER) > within_s]

    def name(self, pieces: list[int], *, now: float) -> None:
        """The server is told of these now."""
        self._named.update(dict.fromkeys(pieces, now))
        self._given.missed(pieces)
