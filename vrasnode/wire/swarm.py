"""What PCs say to each other, and to the server, while they give each other the frames of a version.

A *piece* is one frame of a version, under the number of the first entry of its manifest that wants it.
Between PCs (TLS 1.3, both show their certificates) everything is a head, `HEAD`, and the bytes it announces:

    hello   a PeerHello           the first on every line, from both sides
    bitmap  bit i: piece i        what I have; instead of what I said before
    have    u32 ...               what I have besides; `number` says how many pieces I have still to send
    piece   a frame               `number` says which; flagged RELAY: give it to all of your cell
    ask     nothing               send me piece `number`
    quiet   nothing               I send nothing any more (battery, a rule); bitmap takes it back

the head big-endian, numbers and bitmaps little-endian. What a piece is worth, its digest in the manifest
says.
"""

from enum import IntEnum, IntFlag
from struct import Struct

from vrasnode.wire.codec import Message

HEAD = Struct("!BBHII")  # kind, flags, 0, piece number, length of what follows
MAX_PIECES = 1 << 20  # a bitmap of 128 KiB
MAX_CLAIM = 192
CELL_PCS = 32  # PCs that all know each other; more PCs are a tree of cells
SILENT_PLACES = 4  # of a cell, for PCs that give nothing: the others have so much more to send
BELOW = 2  # cells that a cell hands on to


class Kind(IntEnum):
    HELLO = 1
    BITMAP = 2
    HAVE = 3
    PIECE = 4
    ASK = 5
    QUIET = 6


class Flag(IntFlag):
    NONE = 0
    RELAY = 1


class SwarmTerms(Message, frozen=True):
    """That, and how, a version may be shared. `permission` is shown to the server at each call."""

    path: str  # the door: POST a SwarmCall
    permission: str
    upload_bytes_s: int | None = None  # to all peers together; None: as fast as it goes
    dscp: int = 0  # as in `Fetch`


class SwarmMember(Message, frozen=True):
    """A PC that takes part, as the server knows it. `key`: SHA-256 (hex) of its public key (DER SPKI)."""

    client_id: str
    address: str
    port: int
    key: str
    slot: int  # which cell it is in, and where: slot // CELL_PCS, slot % CELL_PCS
    sends: bool = True  # it gives to others: a cell's bytes may be entrusted to it


class SwarmCall(Message, frozen=True):
    """POST to `SwarmTerms.path`: joins (`need` is there), asks for pieces to get from the server, tells."""

    base: str = ""  # digest of the version whose delta frames are meant; "": plain frames
    port: int = 0  # where this PC listens
    pieces: int = 0
    need: bytes | None = None  # bitmap of what this PC lacks; only when it joins
    want: int = 0  # how many pieces it would get from the server and pass on
    missing: list[int] = []  # were given out, but no peer has them
    wrong: list[str] = []  # client ids of peers that sent wrong bytes
    finished: bool = False
    revision: int = 0  # of the list of members that this PC has
    sends: bool = True  # as it joins: whether it gives to others


class SwarmAnswer(Message, frozen=True):
    """`take`: pieces to get from the server and pass on; nobody else is told to."""

    take: list[int] = []
    left: int = 0  # pieces that nobody was told to get yet
    frontier: int = 0  # all pieces below it were given out
    unfinished: int = 0  # members that lack something
    revision: int = 0
    slot: int = 0
    members: list[SwarmMember] | None = None  # None: as in the revision that the PC has
    hold_s: float = 0  # others found this PC's bytes wrong: it has them last, and asks again so much later


class PeerHello(Message, frozen=True):
    """What a PC says first to another. Who it is its certificate says."""

    swarm: str  # path of the door: same installation, same distribution
    base: str
    pieces: int
