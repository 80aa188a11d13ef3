"""A management server in a thread: the PC's doors over real HTTP, with real keys, signatures and files.

It checks signatures like the real one and serves what a test puts into it, badly where a test asks for that.
Not Django's server, which the walks use: here a test decides what every answer is.
"""

import base64
import hashlib
import ipaddress
import os
import secrets
import socket
import ssl
import threading
from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, TypeAlias

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from vrasnode.chunks import framemap, frames, manifest, packs
from vrasnode.chunks.hashing import digest_of
from vrasnode.chunks.manifest import Manifest
from vrasnode.wire import codec
from vrasnode.wire.clients import (
    ClientSlice,
    ClientState,
    Desired,
    EnrolAnswer,
    EnrolRequest,
    Heartbeat,
    HeartbeatAnswer,
    Installation,
    RenewRequest,
)
from vrasnode.wire.imaging import (
    SLICES,
    Apply,
    Assignment,
    DeliveryReport,
    DeliveryStage,
    Deltas,
    Fetch,
    Health,
    ImagingSlice,
)
from vrasnode.wire.signatures import (
    MAX_SKEW_S,
    Role,
    RoleKey,
    Signed,
    content_digest,
    seal,
    signature_base,
)

CLIENT_ID = "0b6f5c1e-6a63-4c3e-9d4e-3f4bb1a7a001"
CHUNK = 16 << 10
IMAGE = "Office desktop"
LIFE = timedelta(days=30)
Response: TypeAlias = tuple[int, bytes, dict[str, str]]

NO_HEALTH = Health(within_s=60, command=[])


def raw(key: Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


class Keys:
    """What an installation signs with."""

    def __init__(self) -> None:
        self.root, self.image, self.assignment, self.lease = (Ed25519PrivateKey.generate() for _ in range(4))
        self.ca = ec.generate_private_key(ec.SECP256R1())
        self.ca_certificate = issue(self.ca.public_key(), "Installation CA", by=self, ca=True)
        self.installation = codec.encode(
            Installation(
                name="Test",
                root_key=raw(self.root),
                ca_certificate=self.ca_certificate.public_bytes(Encoding.PEM).decode(),
                identity="signature",
            )
        )

    @property
    def token(self) -> str:
        return f"vrasenroll_1a2b_s3cret_{hashlib.sha256(self.installation).hexdigest()}"

    def keyring(self, *, expires: datetime | None = None) -> list[Signed]:
        """The root's statements about the role keys."""
        now = datetime.now(UTC)
        roles = {Role.IMAGE: self.image, Role.ASSIGNMENT: self.assignment, Role.LEASE: self.lease}
        return [
            seal(
                codec.encode(
                    RoleKey(
                        role=role,
                        name=str(role),
                        public_key=raw(key),
                        not_before=now - LIFE,
                        expires=expires or now + LIFE,
                    )
                ),
                Role.ROOT,
                self.root,
            )
            for role, key in roles.items()
        ]


def issue(
    key: ec.EllipticCurvePublicKey,
    name: str,
    *,
    by: Keys,
    ca: bool = False,
    begin: datetime | None = None,
    host: str | None = None,
) -> x509.Certificate:
    """A certificate of the installation's CA, 30 days long."""
    begin = begin or datetime.now(UTC) - timedelta(hours=1)
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Installation CA")])
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin + LIFE)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    )
    if host:
        names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(host))])
        builder = builder.add_extension(names, critical=False)
    return builder.sign(by.ca, hashes.SHA256())


@dataclass
class Published:
    """One version as a store holds it."""

    manifest: Manifest
    encoded: bytes
    frames: bytes
    packs: dict[str, bytearray]
    packed_bytes: int  # of the frames that only it has
    data: bytes

    @property
    def digest(self) -> str:
        return self.manifest.digest


@dataclass
class Office:
    """The server. `fault` is asked before each range: it may change the bytes, or end the connection."""

    keys: Keys = field(default_factory=Keys)
    state: ClientState = ClientState.APPROVED
    shown: list[str] = field(default_factory=list)  # names in the TLS certificates that PCs showed
    slices: dict[str, bytes] = field(default_factory=dict)
    reports: list[tuple[str, bytes]] = field(default_factory=list)
    beats: list[Heartbeat] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    enrolled: list[EnrolRequest] = field(default_factory=list)
    content: dict[str, bytes] = field(default_factory=dict)
    packs: dict[str, bytearray] = field(default_factory=dict)
    look: str = "1"
    clock_offset_s: float = 0.0
    sent_bytes: int = 0
    refuse_ranges: tuple[int, str] | None = None
    whole_files: bool = False
    fault: Callable[[str, bytes], bytes | None] | None = None
    refuse: dict[str, tuple[int, str]] = field(default_factory=dict)
    public_key: ec.EllipticCurvePublicKey | None = None
    certificate_begin: datetime | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)
    url: str = ""

    @contextmanager
    def open(self, *, tls: ssl.SSLContext | None = None) -> Iterator["Office"]:
        server = ThreadingHTTPServer(("127.0.0.1", 0), _Door)
        if tls:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        server.daemon_threads = True
        server.office = self  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{server.server_address[1]}"
        try:
            yield self
        finally:
            server.shutdown()
            server.server_close()
            thread.join()

    def stock(self, *versions: Published) -> None:
        """Puts versions where PCs fetch them."""
        for version in versions:
            self.content[f"/m/{version.digest}"] = version.encoded
            self.content[f"/f/{version.digest}"] = version.frames
            self.packs.update(version.packs)

    def assign(self, version: Published, *, serial: int, released: bool = True, **changes: Any) -> Assignment:
        """Says that this PC should run a version. `released`: and may fetch it."""
        fields: dict[str, Any] = {
            "client_id": CLIENT_ID,
            "serial": serial,
            "image": version.manifest.header.image,
            "number": serial,
            "manifest": version.digest,
            "apply": Apply.NEXT_START,
            "health": NO_HEALTH,
            "expires": datetime.now(UTC) + LIFE,
            **changes,
        }
        assignment = Assignment(**fields)
        signed = seal(codec.encode(assignment), Role.ASSIGNMENT, self.keys.assignment)
        wish = ImagingSlice(assignment=signed, fetch=fetch_of(version) if released else None)
        self.say(wish, SLICES[assignment.machine])
        return assignment

    def say(self, wish: ImagingSlice, app: str = "imaging") -> None:
        self.slices[app] = codec.encode(wish)
        self.slices["clients"] = codec.encode(
            ClientSlice(name="pc-1", group="Sales", poll_s=30.0, keyring=self.keys.keyring())
        )
        self.look = secrets.token_hex(4)

    def delivery_reports(self, about: str = "imaging") -> list[DeliveryReport]:
        return [codec.decode(body, DeliveryReport) for app, body in self.reports if app == about]

    def stages(self, about: str = "imaging") -> list[DeliveryStage]:
        """What was reported, repeats left out."""
        found: list[DeliveryStage] = []
        for report in self.delivery_reports(about):
            if found[-1:] != [report.stage]:
                found.append(report.stage)
        return found

    def answer(self, method: str, path: str, headers: Any, body: bytes) -> Response:
        """What a request is answered with."""
        with self._lock:
            self.asked.append(f"{method} {path}")
        if path in self.refuse:
            return problem(*self.refuse[path])
        if path == "/node/v1/installation":
            return 200, self.keys.installation, {}
        if path == "/node/v1/enrol":
            return self._enrol(codec.decode(body, EnrolRequest))
        if path.startswith("/p/"):
            return self._pack(path.removeprefix("/p/"), headers.get("Range", ""))
        if refused := self._check(method, path, headers, body):
            return refused
        return self._known(path, headers, body)

    def _known(self, path: str, headers: Any, body: bytes) -> Response:
        doors: dict[str, Callable[[Any, bytes], Response]] = {
            "/node/v1/certificate": lambda _headers, _body: (200, codec.encode(self.enrol_answer()), {}),
            "/node/v1/renew": self._renew,
            "/node/v1/desired": self._desired,
            "/node/v1/heartbeat": self._beat,
        }
        if path in doors:
            return doors[path](headers, body)
        if path.startswith("/node/v1/reports/"):
            self.reports.append((path.rpartition("/")[2], body))
            return 204, b"", {}
        if path not in self.content:
            return problem(404, "not_found")
        self.sent_bytes += len(self.content[path])
        return 200, self.content[path], {}

    def _renew(self, _headers: Any, body: bytes) -> Response:
        codec.decode(body, RenewRequest)
        self.certificate_begin = None
        return 200, codec.encode(self.enrol_answer()), {}

    def _desired(self, headers: Any, _body: bytes) -> Response:
        desired = Desired(slices=self.slices)
        etag = f'"{codec.revision(desired)}"'
        if headers.get("If-None-Match") == etag:
            return 304, b"", {"ETag": etag}
        return 200, codec.encode(desired), {"ETag": etag}

    def _beat(self, _headers: Any, body: bytes) -> Response:
        self.beats.append(codec.decode(body, Heartbeat))
        answer = HeartbeatAnswer(interval_s=30.0, server_time=datetime.now(UTC), look=self.look)
        return 200, codec.encode(answer), {}

    def enrol_answer(self) -> EnrolAnswer:
        certificate = None
        if self.state is ClientState.APPROVED and self.public_key is not None:
            issued = issue(self.public_key, CLIENT_ID, by=self.keys, begin=self.certificate_begin)
            certificate = issued.public_bytes(Encoding.PEM).decode()
        return EnrolAnswer(client_id=CLIENT_ID, state=self.state, certificate=certificate)

    def _enrol(self, request: EnrolRequest) -> Response:
        if request.token != self.keys.token:
            return problem(403, "token_unknown")
        self.enrolled.append(request)
        key = x509.load_pem_x509_csr(request.csr.encode()).public_key()
        assert isinstance(key, ec.EllipticCurvePublicKey)
        self.public_key = key
        return 200, codec.encode(self.enrol_answer()), {}

    def _check(self, method: str, target: str, headers: Any, body: bytes) -> Response | None:
        if self.state is ClientState.REVOKED:
            return problem(403, "revoked")
        params = headers.get("Signature-Input", "")
        digest = content_digest(body)
        created = int(params.partition("created=")[2].partition(";")[0] or 0)
        now = datetime.now(UTC).timestamp() + self.clock_offset_s
        if abs(now - created) > MAX_SKEW_S:
            return problem(401, "clock_skew", Date=formatdate(now, usegmt=True))
        signature = base64.b64decode(headers.get("Signature", "")[6:-1])
        try:
            assert self.public_key is not None
            assert headers.get("Content-Digest") == digest
            base = signature_base(method, target, digest, params)
            self.public_key.verify(signature, base, ec.ECDSA(hashes.SHA256()))
        except InvalidSignature:
            return problem(401, "bad_signature")
        return None

    def _pack(self, pack_id: str, wanted: str) -> Response:
        if self.refuse_ranges:
            return problem(*self.refuse_ranges)
        if pack_id not in self.packs:
            return problem(404, "not_found")
        pack = self.packs[pack_id]
        if self.whole_files:
            return 200, bytes(pack), {}
        first, _, last = wanted.removeprefix("bytes=").partition("-")
        start, end = int(first), int(last) + 1
        return 206, bytes(pack[start:end]), {"Content-Range": f"bytes {start}-{end - 1}/{len(pack)}"}


class _Door(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def setup(self) -> None:
        super().setup()
        # What is counted as sent should be little more than what the PC received.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 64 << 10)

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def _serve(self) -> None:
        office: Office = self.server.office  # type: ignore[attr-defined]
        if isinstance(self.connection, ssl.SSLSocket) and (shown := self.connection.getpeercert()):
            office.shown.append(str(dict(pair[0] for pair in shown["subject"])["commonName"]))  # type: ignore[misc]
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        status, data, more = office.answer(self.command, self.path, self.headers, body)
        length = len(data)
        if status == 206 and office.fault:
            changed = office.fault(self.path, data)
            if changed is None:
                self.close_connection = True
                return
            data = changed
        self.send_response_only(status)
        for name, value in {"Date": self.date_time_string(), "Content-Length": str(length), **more}.items():
            self.send_header(name, value)
        self.end_headers()
        for at in range(0, len(data), 64 << 10):
            piece = data[at : at + (64 << 10)]
            self.wfile.write(piece)
            if status == 206:
                with office._lock:
                    office.sent_bytes += len(piece)
        if len(data) < length:
            self.close_connection = True

    def handle(self) -> None:
        try:
            super().handle()
        except OSError:  # the PC was killed
            self.close_connection = True


def problem(status: int, code: str, **headers: str) -> Response:
    body = codec.encode({"type": "about:blank", "status": status, "code": code, "detail": f"No: {code}."})
    return status, body, {"Content-Type": "application/problem+json", **headers}


def fetch_of(
    version: Published,
    *,
    rate_bytes_s: int | None = None,
    connections: int = 3,
    deltas: Sequence[Deltas] = (),
) -> Fetch:
    """Where a version lies in an Office."""
    return Fetch(
        manifest_path=f"/m/{version.digest}",
        frames_path=f"/f/{version.digest}",
        packs_path="/p/",
        rate_bytes_s=rate_bytes_s,
        connections=connections,
        deltas=list(deltas),
    )


def publish(
    keys: Keys,
    data: bytes,
    *,
    base: Sequence[Published] = (),
    chunk_bytes: int = CHUNK,
    image: str = IMAGE,
    pack_bytes: int = 1 << 20,
) -> Published:
    """Cuts an image like a publisher; chunks that `base` has are not packed again."""
    hash_it, compressor = digest_of("blake3"), frames.new_compressor()
    numbers, digests = array("I"), []
    known = {digest: place for version in base for digest, place in places_of(version).items()}
    builder = packs.PackBuilder(target_bytes=pack_bytes)
    fresh: set[bytes] = set()
    stored: dict[str, bytearray] = {}
    for number in range(-(-len(data) // chunk_bytes)):
        chunk = data[number * chunk_bytes : (number + 1) * chunk_bytes]
        if not any(chunk):
            continue
        digest = hash_it(chunk)
        numbers.append(number)
        digests.append(digest)
        if digest in known or digest in fresh:
            continue
        if builder.full:
            _finish(builder, stored, known)
            builder = packs.PackBuilder(target_bytes=pack_bytes)
        builder.add(digest, frames.make_frame(chunk, compressor))
        fresh.add(digest)
    if len(builder):
        _finish(builder, stored, known)
    header = manifest.build(
        image,
        size_bytes=len(data),
        chunk_bytes=chunk_bytes,
        hash="blake3",
        numbers=numbers,
        digests=b"".join(digests),
        created=datetime.now(UTC),
    )
    signed = seal(codec.encode(header), Role.IMAGE, keys.image)
    made = Manifest(header, signed, numbers, b"".join(digests))
    frame_map = framemap.build([known[digest] for digest in digests])
    return Published(
        manifest=made,
        encoded=manifest.encode(made),
        frames=framemap.encode(frame_map),
        packs=stored,
        packed_bytes=sum(known[digest][2] for digest in fresh),
        data=data,
    )


def places_of(version: Published) -> dict[bytes, tuple[str, int, int]]:
    """Where each chunk of a version lies."""
    frame_map = framemap.decode(
        version.frames, chunks=len(version.manifest), chunk_bytes=version.manifest.header.chunk_bytes
    )
    return {digest: frame_map.place(index) for index, (_, digest) in enumerate(version.manifest)}


def _finish(
    builder: packs.PackBuilder,
    stored: dict[str, bytearray],
    known: dict[bytes, tuple[str, int, int]],
) -> None:
    pack = builder.finish()
    data = bytearray(b"".join(pack.parts))
    stored[pack.pack_id] = data
    handle = os.memfd_create("pack")
    try:
        os.write(handle, data)
        for digest, offset, length in packs.read_index(handle):
            known[digest] = (pack.pack_id, offset, length)
    finally:
        os.close(handle)
