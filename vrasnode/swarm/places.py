"""Which members a PC has lines to: all of its cell, one in each cell below, and whoever has it below."""

from collections.abc import Iterable

from vrasnode.swarm.relay import Side
from vrasnode.wire.swarm import BELOW, CELL_PCS, SwarmMember


def side_of(slot: int, other: int) -> Side:
    """Where the PC of slot `other` is, seen from `slot`."""
    mine, its = slot // CELL_PCS, other // CELL_PCS
    if mine == its:
        return Side.CELL
    return Side.BELOW if its > mine else Side.ABOVE


def depth_of(slot: int) -> int:
    """How many cells are above the one of this slot."""
    cell, depth = slot // CELL_PCS, 0
    while cell:
        cell, depth = (cell - 1) // BELOW, depth + 1
    return depth


def neighbours(members: Iterable[SwarmMember], *, slot: int, me: str) -> list[SwarmMember]:
    """Whom to have a line to. Both sides find the same."""
    cells: dict[int, list[SwarmMember]] = {}
    mine = slot // CELL_PCS
    above = (mine - 1) // BELOW if mine else None
    near = {mine, above, *(BELOW * mine + 1 + step for step in range(BELOW))}
    for member in members:
        if member.slot // CELL_PCS in near:
            cells.setdefault(member.slot // CELL_PCS, []).append(member)
    found = [member for member in cells.get(mine, ()) if member.client_id != me]
    for step in range(BELOW):
        below = sorted(cells.get(BELOW * mine + 1 + step, ()), key=lambda member: member.slot)
        if below:
            found.append(below[slot % CELL_PCS % len(below)])
    if above is not None:
        own = sorted(cells.get(mine, ()), key=lambda member: member.slot)
        for member in cells.get(above, ()):
            if own and own[member.slot % CELL_PCS % len(own)].client_id == me:
                found.append(member)
    return found
