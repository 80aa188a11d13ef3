"""What peers have and this PC lacks, and since when that is known. Pure."""

from collections.abc import Container, Iterator

from vrasnode.swarm.masks import bits

NEVER = float("-inf")


class Hearsay:
    """Apart for the peers of the cell (near) and for those above (far), from where a piece comes in its own
    time. Times are seconds of one clock."""

    def __init__(self) -> None:
        self._since: dict[bool, dict[int, float]] = {False: {}, True: {}}  # by far
        self._known = {False: 0, True: 0}
        self._before = 0

    def __contains__(self, piece: int) -> bool:
        return bool((self._known[False] | self._known[True]) >> piece & 1)

    def note(self, pieces: int, *, far: bool, since: float, before: bool = False) -> int:
        """Peers have these pieces that this PC lacks; which of them were not heard of at all. `before`: they
        had them when they came, so nothing follows from how long one waits for them."""
        new = pieces & ~self._known[far]
        first = new & ~self._known[not far]
        if before:
            self._before |= new
        self._known[far] |= new
        self._since[far].update(dict.fromkeys(bits(new), since))
        return first

    def drop(self, piece: int) -> None:
        """It is here, or cannot be had."""
        for far, since in self._since.items():
            if since.pop(piece, None) is not None:
                self._known[far] &= ~(1 << piece)

    def waited_s(self, piece: int, *, far: bool, now: float) -> float | None:
        """How long it took from there; None when that says nothing."""
        since = self._since[far].get(piece)
        return None if since is None or self._before >> piece & 1 else now - since

    def late(self, *, edge: float, far_edge: float, but: Container[int], most: int) -> list[int]:
        """Those known since before the edge, the longest known first; so many at most of each."""
        late: list[int] = []
        for since, before in ((self._since[False], edge), (self._since[True], far_edge)):
            for piece, at in since.items():
                if at <= before and piece not in but:
                    late.append(piece)
                    if len(late) >= most:
                        break
        return late

    def latest(self, *, edge: float, far_edge: float) -> Iterator[int]:
        """Those known since before the edges, the longest known last."""
        near, far = self._since[False], self._since[True]
        for piece in [*reversed(near), *reversed(far)]:
            if near.get(piece, NEVER) <= edge and far.get(piece, NEVER) <= far_edge:
                yield piece
