"""Messages about the PC itself: enrolment, presence, its own slice."""

from datetime import datetime
from enum import StrEnum

from vrasnode.wire.codec import Message
from vrasnode.wire.devices import DeviceFacts
from vrasnode.wire.signatures import Signed


class Installation(Message, frozen=True):
    """What a PC pins when it enrols. GET /node/v1/installation, no credentials.

    Its SHA-256 is part of the enrolment token, so the PC needs to trust nobody on the way.
    """

    name: str
    root_key: bytes
    ca_certificate: str
    identity: str  # "signature" or "mtls": how PCs prove who they are here


class Platform(Message, frozen=True):
    """What the PC's board and firmware offer. Unknown is None."""

    model: str = ""  # of the firmware (SMBIOS): maker and product
    notebook: bool | None = None
    iommu: str | None = None  # "vtd" or "amdvi": switched on in firmware and kernel
    tpm: str | None = None  # "1.2" or "2.0"
    secure_boot: bool | None = None
    encrypted_state: bool | None = None  # whether the state directory lies on an encrypted partition
    virtualizes: bool | None = None  # the processor has VT-x or AMD-V, and the firmware shows it
    swap: bool | None = None  # the control base swaps to a disk
    vfio: bool | None = None  # whether the kernel hands devices out: /dev/vfio/vfio is there
    unencrypted_allowed: bool = False  # user data is opened though `encrypted_state` is False


class HostFacts(Message, frozen=True):
    """What the PC says of itself. Grows with the engine; unknown is None."""

    hostname: str
    agent_version: str
    os: str
    cpus: int
    memory_bytes: int
    state_disk_bytes: int
    state_disk_free_bytes: int
    accelerator: str  # "kvm" or "tcg": what can really run a guest
    reflink: bool  # whether the state directory's file system clones
    simulated: bool = False  # no PC at all: a program that behaves like one
    platform: Platform | None = None
    devices: DeviceFacts | None = None


class EnrolRequest(Message, frozen=True):
    """POST /node/v1/enrol. `csr` is PEM (PKCS#10), signed by the P-256 key made on the PC."""

    token: str
    name: str
    csr: str
    hpke_key: bytes  # X25519, raw
    facts: HostFacts


class ClientState(StrEnum):
    PENDING = "pending"
    APPROVED = "approved"
    LOST = "lost"
    REVOKED = "revoked"


class EnrolAnswer(Message, frozen=True):
    """The id is known at once; the certificate (PEM) comes when an administrator approved."""

    client_id: str
    state: ClientState
    certificate: str | None = None


class RenewRequest(Message, frozen=True):
    """POST /node/v1/renew: a signed request, also accepted under an expired certificate."""

    csr: str


class Heartbeat(Message, frozen=True):
    """POST /node/v1/heartbeat every `interval_s`."""

    agent_version: str
    boot_id: str
    uptime_s: int
    desktop: str  # the client VM: "running", "stopped", "starting", "absent"
    version: str | None = None  # digest of the manifest that the client VM runs
    virtual_server: str = ""  # in the same words as `desktop`
    clock_off_s: int = 0  # the server's clock less this PC's, where that is more than signatures bear


class HeartbeatAnswer(Message, frozen=True):
    interval_s: float
    server_time: datetime
    look: str  # changes whenever the desired state may have changed


class ClientSlice(Message, frozen=True):
    """What the registry says the PC should be."""

    name: str
    group: str | None
    poll_s: float  # how often to look when no socket nudges
    keyring: list[Signed]  # role keys, signed by the root


class Desired(Message, frozen=True):
    """GET /node/v1/desired (ETag = revision). Each app's slice is opaque here: one that cannot be built or
    read is absent and holds back no other."""

    slices: dict[str, bytes]


class FactsReport(Message, frozen=True):
    """POST /node/v1/reports/clients"""

    facts: HostFacts
