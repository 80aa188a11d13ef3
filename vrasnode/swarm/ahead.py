"""Pieces that the server has given this PC to get, and that it has not begun to get.

A call costs the server and the PC about as much as a piece. So a PC asks for as many as it takes in a while,
at the speed at which it took them until now: a slow one for no more than it needs next. Towards the end, when
others would wait for them, nobody sets any aside (guided self-scheduling, Polychronopoulos and Kuck, 1987).
"""

from collections import deque

AHEAD_S = 0.5
SHARE = 4  # of what is left at the server for each PC, the part of it that one may set aside
_CLAIMS = 8  # that the speed is known from


class Ahead:
    """In the order in which they were given. Times are seconds of one clock that never goes back."""

    def __init__(self) -> None:
        self._pieces: deque[int] = deque()
        self._claims: deque[tuple[float, int]] = deque(maxlen=_CLAIMS)

    def __len__(self) -> int:
        return len(self._pieces)

    def __contains__(self, piece: object) -> bool:
        return piece in self._pieces

    def room(self, *, left: int, pcs: int, now: float) -> int:
        """How many may be set aside of `left` pieces that the server has not given to any of these PCs."""
        if len(self._claims) < 2:
            return 0
        since = self._claims[0][0]
        taken = sum(count for _, count in self._claims)
        return min(int(AHEAD_S * taken / max(now - since, 0.001)), left // (SHARE * pcs))

    def put(self, pieces: list[int], *, credit: int, now: float) -> list[int]:
        """Sets aside what is more than the credit; the rest of these pieces, to be got now."""
        if pieces:
            self._claims.append((now, len(pieces)))
        self._pieces.extend(pieces[credit:])
        return pieces[:credit]

    def take(self, count: int, *, have: int) -> list[int]:
        """The next to get: what peers sent meanwhile is left out."""
        found: list[int] = []
        while self._pieces and len(found) < count:
            piece = self._pieces.popleft()
            if not have >> piece & 1:
                found.append(piece)
        return found
