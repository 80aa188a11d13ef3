"""Messages about checkout: usage keys, by which a volume opens away from the company's LAN, for a time.

A usage key is a permission, not yet a key: it brings half of a secret, sealed to this PC. The PC makes the
other half when its user chooses a PIN, and binds it to the TPM and the PIN. So neither the server, nor the
disk, nor the PIN opens anything alone.
"""

import uuid
from datetime import datetime
from enum import StrEnum

from vrasnode.wire.codec import Message
from vrasnode.wire.mydoc import LockProof
from vrasnode.wire.signatures import Signed

NONCE_BYTES = 16
SESSION = "lease "  # begins a volume's session that no logon stands behind: it is open by a usage key


class UsageKey(Message, frozen=True):
    """One volume may be opened on one PC, by one person, between two times. Signed for the role `lease`, and
    valid in its exact bytes only."""

    lease: str  # UUID
    serial: int  # grows with every key for this PC
    client: uuid.UUID
    pc_key: str  # fingerprint of the PC's signing key (SubjectPublicKeyInfo, DER)
    volume: str  # UUID
    owner: str  # objectGUID, or the local account's own UUID
    owner_name: str
    starts: datetime
    ends: datetime
    issued: datetime  # by the server's clock: no clock of the PC is believed that shows an earlier time
    budget_s: int  # how long the PC may be on between start and end, whatever its clocks say
    secret: bytes  # 32 bytes, sealed to the PC's HPKE key
    folders: list[bytes] = []  # from the volume's root; empty: everything
    software: bool = False  # may be kept without a hardware TPM
    pin_tries: int = 10


class LeaseWish(Message, frozen=True):
    """What should become of one lease. `ended` is a code: returned, withdrawn, lost, replaced …"""

    lease: str
    key: Signed | None = None  # a UsageKey; None: nothing is lent (any more)
    ended: str = ""


class CheckoutSlice(Message, frozen=True):
    """Slice `checkout`. A lease that is not named is ended."""

    leases: list[LeaseWish]
    warn_s: tuple[int, ...] = (259200, 86400, 3600, 600)  # before the end


class TimeRequest(Message, frozen=True):
    """POST /node/v1/checkout/time: what time is it? `nonce`: 16 random bytes. `trouble`: why no clock of this
    PC is believed until it is answered, a code."""

    nonce: bytes
    trouble: str = ""


class ServerTime(Message, frozen=True):
    """The answer, signed for the role `lease`: the floor under which this PC's clock never was."""

    client: uuid.UUID
    nonce: bytes
    time: datetime


class LeaseState(StrEnum):
    OFFERED = "offered"  # the key is here; its user has not chosen a PIN yet
    READY = "ready"  # picked up: it opens from its start on
    OPEN = "open"
    CLOSED = "closed"  # locked, and may be opened again
    ENDED = "ended"  # its slot is gone
    REFUSED = "refused"  # see code and words


class Keeper(StrEnum):
    """What holds the PC's half of a usage key's secret."""

    NOTHING = ""
    TPM = "tpm"
    SOFTWARE_TPM = "software_tpm"
    PIN = "pin"  # the PC's key and what is derived from the PIN


class LeaseReport(Message, frozen=True):
    """How one lease stands on the PC."""

    lease: str
    state: LeaseState
    code: str = ""
    words: str = ""
    since: datetime | None = None
    keeper: Keeper = Keeper.NOTHING
    picked_up: datetime | None = None
    opened: datetime | None = None  # the first time
    openings: int = 0
    used_s: int = 0  # of the budget
    tries_left: int = 0
    slot_gone: bool = False
    proof: LockProof | None = None  # of the last lock


class CheckoutReport(Message, frozen=True):
    """POST /node/v1/reports/checkout. `clock` is a code when this PC's clock is not believed."""

    leases: list[LeaseReport]
    clock: str = ""
