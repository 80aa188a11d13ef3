"""PCs with papers, a version in pieces, and a server's word about them in memory, for tests of the swarm.

The real server's word, in Redis, is tested in tests/imaging/test_swarming.py.
"""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from msgspec.structs import replace

from tests.vrasnode.office import Keys, issue
from vrasnode.chunks import hashing
from vrasnode.errors import Refused, Unreachable
from vrasnode.swarm.masks import bits
from vrasnode.swarm.session import Session, Shared
from vrasnode.swarm.trust import Papers, key_name
from vrasnode.wire.swarm import CELL_PCS, Kind, SwarmAnswer, SwarmCall, SwarmMember, SwarmTerms

TERMS = SwarmTerms(path="/node/v1/swarm/1-here", permission="a permission")
digest = hashing.digest_of("blake3")


class Version:
    """Pieces of random bytes."""

    def __init__(self, pieces: int, *, piece_bytes: int = 20_000, seed: int = 7) -> None:
        random = Random(seed)
        self.frames = [random.randbytes(piece_bytes) for _ in range(pieces)]
        self.digests = [digest(frame) for frame in self.frames]


@dataclass
class Tracker:
    """Gives each piece out once. `down`: it does not answer."""

    version: Version
    address: str = "127.0.0.1"
    down: bool = False
    given: dict[int, float] = field(default_factory=dict)
    todo: set[int] = field(default_factory=set)
    members: dict[str, SwarmMember] = field(default_factory=dict)
    lacking: set[str] = field(default_factory=set)
    wrong: list[tuple[str, str]] = field(default_factory=list)
    calls: int = 0
    keys: dict[str, str] = field(default_factory=dict)
    revision: int = 0
    revoked: set[str] = field(default_factory=set)
    distrusted: set[str] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def seen_by(self, name: str, address: str | None = None) -> "Seen":
        return Seen(self, name, address or self.address)

    def answer(self, name: str, address: str, call: SwarmCall) -> SwarmAnswer:
        with self._lock:
            self.calls += 1
            if self.down:
                raise Unreachable("down", "The server does not answer.")
            if name in self.revoked:
                raise Unreachable("refused", "It heeds no refusal.")
            if call.need is not None:
                self._join(name, address, call)
            if name in self.distrusted:
                if self.lacking - {name}:
                    return SwarmAnswer(hold_s=0.2)
                raise Refused("not_shared", "Others found its bytes wrong.")
            if name not in self.members:
                raise Refused("not_joined", "Join first.")
            if call.finished:
                self.lacking.discard(name)
            self.wrong += [(name, liar) for liar in call.wrong]
            take = [piece for piece in call.missing if piece in self.given]
            for piece in sorted(self.todo)[: call.want]:
                self.todo.discard(piece)
                self.given[piece] = 0.0
                take.append(piece)
            return SwarmAnswer(
                take=take,
                left=len(self.todo),
                frontier=min(self.todo, default=len(self.version.frames)),
                unfinished=len(self.lacking),
                revision=self.revision,
                slot=self.members[name].slot,
                members=None if call.revision == self.revision else list(self.members.values()),
            )

    def revoke(self, name: str) -> None:
        """As the server does with a PC that was revoked; this one goes on as if it had not heard."""
        self.revoked.add(name)
        self._put_out(name)

    def distrust(self, name: str) -> None:
        """As the server does with a PC whose bytes others found wrong."""
        self.distrusted.add(name)
        self._put_out(name)

    def _put_out(self, name: str) -> None:
        with self._lock:
            self.members.pop(name, None)
            self.lacking.discard(name)
            self.revision += 1

    def _join(self, name: str, address: str, call: SwarmCall) -> None:
        self.todo |= set(bits(int.from_bytes(call.need or b"", "little"))) - set(self.given)
        taken = {member.slot for member in self.members.values()}
        old = self.members.get(name)
        slot = old.slot if old else next(slot for slot in range(10 * CELL_PCS) if slot not in taken)
        self.members[name] = SwarmMember(
            client_id=name,
            address=address,
            port=call.port,
            key=self.keys[name],
            slot=slot,
            sends=call.sends,
        )
        self.lacking.add(name)
        self.revision += 1


@dataclass
class Seen:
    """The tracker, as one PC calls it."""

    tracker: Tracker
    name: str
    address: str

    def swarm(self, _terms: SwarmTerms, call: SwarmCall) -> SwarmAnswer:
        return self.tracker.answer(self.name, self.address, call)


@dataclass
class SwarmPc:
    """One PC in a directory of its own. What it took lies in `got`."""

    name: str
    directory: Path
    version: Version
    tracker: Tracker
    papers: Papers
    got: dict[int, bytes] = field(default_factory=dict)
    from_server: list[int] = field(default_factory=list)
    have: set[int] = field(default_factory=set)
    sends: bool = True
    before: Callable[[int], None] = lambda _piece: None  # called before each piece from the server
    session: Session | None = None

    def open(self, *, upload_bytes_s: int | None = None, dscp: int = 0) -> Session:
        pieces = len(self.version.frames)
        have = sum(1 << piece for piece in self.have)
        shared = Shared(
            base="",
            pieces=pieces,
            have=have,
            want=((1 << pieces) - 1) & ~have,
            max_piece_bytes=1 << 20,
            directory=self.directory,
            fetch=self._fetch,
            take=self._take,
            spoilt=lambda _piece: None,
            read=lambda piece: self.version.frames[piece] if piece in self.have else None,
            release=lambda: None,
        )
        self.session = Session(
            shared,
            replace(TERMS, upload_bytes_s=upload_bytes_s, dscp=dscp),
            tracker=self.tracker.seen_by(self.name),
            me=self.name,
            papers=self.papers,
            sends=lambda: self.sends,
            now=lambda: datetime.now(UTC),
        )
        self.session.start()
        return self.session

    def lie(self) -> None:
        """From now on it sends wrong bytes."""
        assert self.session is not None
        self.session._source.frame = lambda piece: self.version.frames[piece][::-1]  # type: ignore[method-assign]

    def flood(self) -> None:
        """From now on it asks everybody for the same piece as fast as they hear it."""
        assert self.session is not None
        engine = self.session._engine
        step = engine.step

        def flooding(timeout_s: float = 0.0) -> None:
            step(timeout_s)
            for peering in list(engine._by_name.values()):
                for _ in range(1000 if peering.line.idle else 0):
                    peering.line.say(Kind.ASK, number=0)

        engine.step = flooding  # type: ignore[method-assign]

    def dawdle(self, seconds: float) -> None:
        """From now on it is so slow to answer."""
        assert self.session is not None
        step = self.session._engine.step

        def dawdling(timeout_s: float = 0.0) -> None:
            time.sleep(seconds)
            step(timeout_s)

        self.session._engine.step = dawdling  # type: ignore[method-assign]

    @property
    def knows_somebody(self) -> bool:
        """Whether it has said hello to a peer."""
        assert self.session is not None
        peerings = list(self.session._engine._peerings)
        return any(one.member and one.line.shaken and not one.shown for one in peerings)

    @property
    def whole(self) -> bool:
        return all(
            self.got.get(piece, self.version.frames[piece] if piece in self.have else b"") == frame
            for piece, frame in enumerate(self.version.frames)
        )

    def _fetch(self, pieces: list[int]) -> Iterator[tuple[int, bytes]]:
        for piece in pieces:
            self.before(piece)
            self.from_server.append(piece)
            yield piece, self.version.frames[piece]

    def _take(self, piece: int, frame: bytes, _from_peer: bool) -> bool:
        if digest(frame) != self.version.digests[piece]:
            return False
        self.got[piece] = frame
        return True


class Crowd:
    """PCs of one installation."""

    def __init__(self, root: Path, version: Version) -> None:
        self.root = root
        self.version = version
        self.keys = Keys()
        self.tracker = Tracker(version)
        self.hired: list[SwarmPc] = []

    def pc(self, number: int, *, have: set[int] | None = None, by: Keys | None = None) -> SwarmPc:
        name = str(UUID(int=number + 1))
        directory = self.root / f"pc{number}"
        directory.mkdir()
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = issue(key.public_key(), name, by=by or self.keys)
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (directory / "signing.key").write_bytes(pem)
        (directory / "certificate.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
        authority = self.keys.ca_certificate.public_bytes(Encoding.PEM).decode()
        spki = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        self.tracker.keys[name] = key_name(spki)
        papers = Papers(directory / "certificate.pem", directory / "signing.key", authority)
        pc = SwarmPc(name, directory, self.version, self.tracker, papers, have=set(have or ()))
        self.hired.append(pc)
        return pc
