"""Messages about replicas: what of a user's data is to be copied to the company's NAS, when, and how it went.

The PC's virtual server copies by restic, through the server's gateway, which takes and never gives up what it
took. No credential of the NAS ever lies on a PC; what the gateway wants of it comes with each run, sealed.
"""

from datetime import datetime
from enum import StrEnum

from vrasnode.wire.codec import Message

MAX_MANIFEST_BYTES = 64 << 20  # compressed, of one volume: about a million files


class Occasion(StrEnum):
    """Why a replica is made."""

    SHUTDOWN = "shutdown"  # the client VM has stopped
    SCHEDULE = "schedule"
    BY_HAND = "by_hand"
    RESUME = "resume"  # the one before was cut off


class ReplicationWish(Message, frozen=True):
    """What should become of one volume's replica. `run` is empty: nothing is due."""

    volume: str
    run: str = ""  # UUID; another one each time
    occasion: Occasion = Occasion.SCHEDULE
    not_before: datetime | None = None  # its slot: not all PCs at 18:00
    slice_bytes: int = 256 << 20  # what a kill costs at most


class ReplicationSlice(Message, frozen=True):
    """Slice `replication`. `gateway` is the address that a virtual server reaches, believed by `authority`
    (PEM; empty: the system's). A shutdown is held back for `hold_s` seconds at most."""

    volumes: list[ReplicationWish]
    gateway: str = ""
    authority: str = ""
    hold_s: int = 120
    at_shutdown: bool = True


class ReplicationKeyRequest(Message, frozen=True):
    """POST /node/v1/replication/key. `run` is empty when the PC begins by itself, at a shutdown or to resume:
    the answer then names one. `locked`: the server's half is wanted too, to read a locked volume for it."""

    volume: str
    reply_key: bytes  # X25519, raw
    occasion: Occasion
    run: str = ""
    locked: bool = False


class ReplicationKeyAnswer(Message, frozen=True):
    """A sealed `ReplicationKey`, for the purpose "replication <volume>"."""

    sealed: bytes


class ReplicationKey(Message, frozen=True):
    """What one run needs; in memory alone. `server_half` is empty unless it was asked for and permitted."""

    run: str
    repository: str  # address below the gateway, without credentials
    user: str
    password: str
    repository_password: str
    server_half: bytes = b""
    read_s: int = 0  # for how long a locked volume may be read by it


class RunState(StrEnum):
    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    CUT_OFF = "cut_off"  # it goes on another time
    FAILED = "failed"


class RunReport(Message, frozen=True):
    """How far one run has come."""

    volume: str
    run: str
    state: RunState
    occasion: Occasion = Occasion.SCHEDULE
    files: int = 0
    total_bytes: int = 0  # of the user's data
    done_bytes: int = 0
    sent_bytes: int = 0  # new, as stored
    snapshot: str = ""  # restic's id, of the whole
    manifest: str = ""  # SHA-256 (hex) of the manifest that was handed in for it
    finished: datetime | None = None
    unreadable: int = 0  # files that could not be read
    code: str = ""
    words: str = ""


class ReplicationReport(Message, frozen=True):
    """POST /node/v1/reports/replication"""

    runs: list[RunReport]


class ManifestLine(Message, frozen=True):
    """One file of a replica. A manifest is these lines, sorted by path, one JSON object each, compressed by
    gzip; PUT /node/v1/replication/manifest/<run>, under the PC's signature."""

    path: bytes
    size_bytes: int
    mtime_ns: int
    sha256: str
