"""Messages about user data: which volumes a PC holds, when they are open, who may read what in them.

A key never lies in a slice, for slices are kept on the PC's disk: it is asked for when a volume is opened,
and sealed to a key that the PC makes for that one answer (`sealing`).
"""

import uuid
from datetime import datetime
from enum import StrEnum

from vrasnode.wire.codec import Message
from vrasnode.wire.signatures import Signed

MAX_ANSWER_BYTES = 1 << 20  # of one answer to a question, sealed
MAX_PIECE_BYTES = 512 << 10  # of a file, in one answer
MAX_ENTRIES = 1000  # of a folder, in one answer
MAX_WRITE_BYTES = 128 << 10  # of a file, in one question
MAX_BROUGHT = 64  # small files, in one question


class Custodian(Message, frozen=True):
    """Who holds one half of what recovers volumes. Two are needed, always both, in this order."""

    fingerprint: str
    public_key: bytes  # X25519, raw


class Access(StrEnum):
    READ = "read"
    WRITE = "write"  # and read


class Grant(Message, frozen=True):
    """Somebody else than the owner may read, or change, a folder and all below it."""

    path: bytes  # from the volume's root, no slash at either end; empty: everything
    person: str  # objectGUID, or the local account's own UUID
    access: Access


class VolumeWish(Message, frozen=True):
    """What one user's data on this PC should be. No `session`: locked."""

    volume: str  # UUID
    owner: str  # objectGUID, or the local account's own UUID
    owner_name: str  # for people
    limit_bytes: int  # how far it may grow
    session: str = ""  # of a logon that was proven: while it is named, the volume may be open
    nonce: str = ""  # that the logon carried: the PC opens only for one that it gave out itself
    grants: list[Grant] = []
    grants_revision: int = 0
    account: str = ""  # as which the client VM knows the owner; "": by `owner_name`


class MydocSlice(Message, frozen=True):
    """What My Doc Manager says. `controllers` are `host:port` of the company's LDAPS, believed by `authority`
    (PEM): while the server is silent, one that answers proves the company's LAN."""

    volumes: list[VolumeWish]
    custodians: list[Custodian] = []
    controllers: list[str] = []
    authority: str = ""
    logon_url: str = ""  # where the client VM's logon script proves its user
    asked: int = 0  # grows when there are questions


class Logon(Message, frozen=True):
    """POST /mydoc/logon, by the client VM's logon script, with `Authorization: Negotiate …`."""

    nonce: str  # 32 hexadecimal digits, from this PC's local page
    client: uuid.UUID


class LogonAnswer(Message, frozen=True):
    """The volume that opens now."""

    volume: str


class KeyRequest(Message, frozen=True):
    """POST /node/v1/mydoc/key. `reply_key` (X25519, raw) is made for this one answer."""

    volume: str
    session: str
    reply_key: bytes


class KeyAnswer(Message, frozen=True):
    """The server's half of the LAN key (32 bytes), sealed to `reply_key`."""

    sealed: bytes


class RecoveryDeposit(Message, frozen=True):
    """POST /node/v1/mydoc/recovery, before a new volume is used: the recovery key, wrapped for both
    custodians, the second inside the first."""

    volume: str
    session: str
    luks_uuid: str
    custodians: list[str]  # fingerprints, outer first
    wrapped: bytes


class VolumeState(StrEnum):
    ABSENT = "absent"  # not made yet
    LOCKED = "locked"
    OPENING = "opening"
    OPEN = "open"
    LOCKING = "locking"
    BROKEN = "broken"  # see code and words; nothing is ever formatted over


class LockProof(Message, frozen=True):
    """How a lock went: that a read failed afterwards, and what had to be done for it."""

    reason: str  # code: "server_said", "left_the_lan", "server_silent", "machine_off", "by_hand" …
    seconds: float
    read_failed: bool
    daemon_gone: bool
    guest_answered: bool  # False: the machine was ended for it


class VolumeReport(Message, frozen=True):
    """How one volume stands."""

    volume: str
    state: VolumeState
    session: str = ""
    code: str = ""
    words: str = ""
    used_bytes: int = 0
    size_bytes: int = 0
    since: datetime | None = None
    proof: LockProof | None = None  # of the last lock
    grants_revision: int = 0  # applied, and read back
    grants_failed: str = ""  # why the newest are not applied


class MydocReport(Message, frozen=True):
    """POST /node/v1/reports/mydoc"""

    volumes: list[VolumeReport]


class Act(StrEnum):
    """What can be asked of an open volume."""

    LIST = "list"
    SEARCH = "search"
    READ = "read"
    WRITE = "write"  # a file, piece by piece; see `Question`


class Question(Message, frozen=True):
    """Somebody at the portal wants to see something of an open volume, now."""

    id: str
    volume: str
    act: Act
    path: bytes = b""
    words: str = ""  # search: part of a name, in any case
    after: bytes = b""  # list, search: names after this one
    offset: int = 0  # read: bytes
    length: int = 0  # read: bytes; list, search: entries
    person: str = ""  # whose rights hold (objectGUID); empty: an administrator's
    reply_key: bytes = b""  # X25519, raw: the answer is sealed to it
    # write: `upload` names the file that comes. The first question carries nothing, and its answer's `data`
    # is a key (X25519, raw) that the PC made for this upload alone: the pieces that follow are sealed to it.
    # The last one has no piece: then the file gets its name if its size and hash are these.
    upload: str = ""  # 32 hexadecimal digits
    data: bytes = b""  # sealed, from `offset`
    last: bool = False
    size_bytes: int = 0
    sha256: str = ""
    mtime_ns: int = 0  # 0: now
    replace: bool = False  # what has this name; without it nothing is overwritten
    folders: bool = False  # those that are missing on the way are made; for an administrator's rights alone
    drop: bool = False  # it does not come: what has come of it goes
    # `upload` names no file, but a key for many small ones: each question that follows has a `Handful` of
    # them, each of which is there, or has a reason in the answer's `outcomes`. For an administrator's rights.
    many: bool = False


class Brought(Message, frozen=True):
    """A small file that comes. The folders on its way are made; nothing is overwritten."""

    path: bytes
    data: bytes
    sha256: str
    mtime_ns: int = 0  # 0: now


class Handful(Message, frozen=True):
    """Small files together, sealed as a piece of a file is: no more bytes than `MAX_WRITE_BYTES`."""

    files: list[Brought]


class Questions(Message, frozen=True):
    """GET /node/v1/mydoc/questions: each is given out once."""

    questions: list[Question]


class EntryKind(StrEnum):
    FOLDER = "folder"
    FILE = "file"
    LINK = "link"  # shown, never followed
    OTHER = "other"


class Entry(Message, frozen=True):
    """A name in a folder, as its bytes."""

    name: bytes  # list: one name; search: the path from the root
    kind: EntryKind
    size_bytes: int = 0
    changed: datetime | None = None
    target: bytes = b""  # of a link


class Answer(Message, frozen=True):
    """POST /node/v1/mydoc/answers/<id>, sealed to the question's reply key. A refusal has a code."""

    code: str = ""
    words: str = ""
    entries: list[Entry] = []
    more: bool = False
    next: bytes = b""  # while there is more: `after` of the next question
    data: bytes = b""
    size_bytes: int = 0  # read: of the whole file; write: what has come of it
    outcomes: list[str] = []  # of a handful: "" for each file that is there now, durably; else a code


class KillOrder(Message, frozen=True):
    """To a PC that was declared lost, signed for the role `assignment`: lock every volume, and throw away the
    PC's halves of their keys. It holds for the PC that `kills` names; a serial is obeyed once."""

    kills: uuid.UUID  # the client's id
    serial: int
    issued: datetime


class KillNotice(Message, frozen=True):
    """GET /node/v1/mydoc/kill, the one door that opens to a lost PC. `keyring` as in `ClientSlice`."""

    order: Signed
    keyring: list[Signed]


class KillReport(Message, frozen=True):
    """POST /node/v1/mydoc/kill: the order was obeyed. `volumes` are locked, and their halves thrown away;
    `failed` are those of which the PC cannot say so."""

    serial: int
    volumes: list[str]
    failed: list[str] = []
    unread: int = 0  # how many of `volumes` were seen to be unreadable afterwards
    wiped: int = 0  # of how many what a logon's key opens was overwritten


class Erasure(Message, frozen=True):
    """What can be certified of a lost PC's user data, signed for the role `assignment` with `issued`.

    `obeyed`: when the server heard, over the PC's own certificate, that it threw away its halves of the keys
    of `volumes`, of which `wiped` had what a logon's key opens overwritten and `unread` could not be read
    afterwards. `halves_deleted`: when the server deleted its own halves. None is what did not happen.
    """

    erases: uuid.UUID  # the client's id
    pc: str
    serial: int  # of the order
    declared: datetime
    obeyed: datetime | None
    volumes: list[str]
    unread: int
    wiped: int
    halves_deleted: datetime | None
    issued: datetime


class ErasureCertificate(Message, frozen=True):
    """An `Erasure` as a file: whoever has the public key of the installation's root can check it alone."""

    erasure: Signed
    keyring: list[Signed]  # the root's statements about the keys of the server
