"""Which members a PC has lines to: all of its cell, one in each cell below, and whoever has it below."""

from collections.abc import Iterable
from zlib import crc32

from vrasnode.swarm.known import Side
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
        below = cells.get(BELOW * mine + 1 + step)
        if below:
            found.append(_partner(below, slot))
    own = cells.get(mine)
    if above is not None and own:
        found += [one for one in cells.get(above, ()) if _partner(own, one.slot).client_id == me]
    return found


def _partner(cell: list[SwarmMember], slot: int) -> SwarmMember:
    """Whom of a cell the PC of this slot has to do with: the one of the same place, or where that is free or
    gives nothing any one that gives, but always the same: so that who comes and goes changes the partners of
    few, and nothing ends at a PC that hands nothing on."""
    place = slot % CELL_PCS

    def rank(one: SwarmMember) -> tuple[bool, int]:
        its = one.slot % CELL_PCS
        return not one.sends, -1 if its == place else crc32(bytes((place, its)))

    return min(cell, key=rank)
