"""Lists of pieces as peers send them: numbers, u32 each, little-endian."""

from array import array

from vrasnode.chunks.manifest import from_little_endian, little_endian
from vrasnode.errors import Refused
from vrasnode.swarm.masks import bits, mask_of


def numbers_in(mask: int) -> bytes:
    """The numbers of the bits that are set, as they are sent."""
    return little_endian(array("I", bits(mask)))


def mask_in(body: bytes, pieces: int) -> int:
    """The other way round. Raises Refused(bad_peer)."""
    if len(body) % 4:
        raise Refused("bad_peer", "A peer named pieces by halves.")
    numbers = from_little_endian(body)
    if numbers and max(numbers) >= pieces:
        raise Refused("bad_peer", "A peer has pieces that there are not.")
    return mask_of(numbers, pieces)
