"""Messages about master images: manifest header, assignment, progress."""

from datetime import datetime
from enum import StrEnum

from vrasnode.wire.codec import Message
from vrasnode.wire.signatures import Signed
from vrasnode.wire.swarm import SwarmTerms

CHUNK_BYTES = 256 << 10
MAX_PACK_BYTES = 64 << 20
MAX_IMAGE_BYTES = 16 << 40


class ManifestHeader(Message, frozen=True):
    """What a publisher signs. `root` is the Merkle root (hex) of the chunk array that follows it."""

    format: int
    image: str
    size_bytes: int
    chunk_bytes: int
    hash: str  # "blake3" or "sha256"
    chunks: int  # entries in the array: chunks that are not all zero
    root: str
    created: datetime


class Apply(StrEnum):
    """When a staged version becomes the one that runs."""

    NEXT_START = "next_start"  # the user stops the client VM, or the PC
    NOW = "now"  # the client VM is asked to shut down, then started again


class Health(Message, frozen=True):
    """When a start counts as good: the guest agent answers within `within_s`, and `command`, run inside the
    guest, ends with 0. An empty command: the answer is enough. Without `agent`, for guests that have none:
    the machine still runs after `within_s`."""

    within_s: int = 300
    command: list[str] = []
    agent: bool = True


class Machine(StrEnum):
    """Which of the PC's two machines an image is for."""

    CLIENT_VM = "client_vm"
    VIRTUAL_SERVER = "virtual_server"


# Each machine has a slice of its own, an ImagingSlice, and reports under the same name.
SLICES = {Machine.CLIENT_VM: "imaging", Machine.VIRTUAL_SERVER: "virtualserver"}


class Assignment(Message, frozen=True):
    """Which version a machine of this PC should run; signed for the role `assignment`. A higher serial
    replaces a lower one, whatever versions they name (a rollback is a higher serial). Expiry stops fetching,
    never booting."""

    client_id: str
    serial: int
    image: str
    number: int
    manifest: str  # digest (hex) of the signed header
    apply: Apply
    health: Health
    expires: datetime
    machine: Machine = Machine.CLIENT_VM


class Deltas(Message, frozen=True):
    """Delta frames for a PC that holds the version `base` (digest); `path` leads to their map."""

    base: str
    path: str


class Fetch(Message, frozen=True):
    """Where and how to fetch; not signed, for hashes decide."""

    manifest_path: str
    frames_path: str
    packs_path: str  # prefix with a permission in it; + pack id
    rate_bytes_s: int | None  # None: as fast as it goes
    connections: int
    swarm: SwarmTerms | None = None  # it may be shared with other PCs
    deltas: list[Deltas] = []
    dscp: int = 0  # how these bytes are marked on the network, so that they give way (RFC 8622: 1); 0: not


class Switch(Message, frozen=True):
    """When a staged version may take over from the one that runs. Not signed, for it can only put off what
    the assignment allows."""

    held: bool = False  # somebody stopped the distribution: not now
    # Minutes of the week in UTC, from Monday 00:00, as [from, until); empty: at any time.
    windows: list[tuple[int, int]] = []
    postponements: int = 0  # how often the user may put it off
    postpone_s: int = 4 * 3600  # and for how long each time
    deadline: datetime | None = None  # from then on the user may not: the client VM is shut down for it
    warn_s: int = 300  # after the local page said so


class ImagingSlice(Message, frozen=True):
    """What Workgroup Desktop says. No assignment: keep what is there. No fetch: not this PC's turn yet."""

    assignment: Signed | None
    fetch: Fetch | None = None
    switch: Switch | None = None  # None: as the assignment says
    withdrawn: int = 0  # the assignment of this serial was called off: what it staged is not started


class DeliveryStage(StrEnum):
    FETCHING = "fetching"
    STAGED = "staged"
    BOOTED = "booted"
    FAILED = "failed"


class DeliveryReport(Message, frozen=True):
    """POST /node/v1/reports/imaging: how far the assignment `serial` has come."""

    serial: int
    stage: DeliveryStage
    done_bytes: int = 0  # of the frames to fetch, as stored in the packs
    total_bytes: int = 0
    peer_bytes: int = 0  # of `done_bytes`: what other PCs gave
    refetched_chunks: int = 0  # wrong bytes that were found and fetched again
    delta_bytes: int = 0  # of `done_bytes`: what came as delta frames
    broken_deltas: int = 0  # delta frames that were no good, so that the plain ones were taken
    boot_s: float | None = None
    code: str = ""
    words: str = ""
    running: str | None = None  # digest of the manifest that the client VM runs now
    postponed: int = 0  # how often the user has put off the switch
    postponed_until: datetime | None = None
