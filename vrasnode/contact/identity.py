"""Who this PC is: its keys, the pinned installation, its certificate. The only reader of its private keys.

    identity/signing.key     P-256, PEM (PKCS#8): signs requests and the certificate request
    identity/hpke.key        X25519, PEM (PKCS#8): what is encrypted to this PC is opened with it
    identity/installation    the exact bytes whose hash the enrolment token carried
    identity/enrolment.json  server, name, id and state
    identity/certificate.pem once approved

Only owner's rights. Nothing here speaks to the server (`server`) or decides when to renew (`part`).
"""

from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID
from msgspec.structs import replace

from vrasnode import sealing
from vrasnode.errors import HostBroken, Refused
from vrasnode.host import disk
from vrasnode.wire import codec
from vrasnode.wire.clients import ClientState, EnrolAnswer, Installation
from vrasnode.wire.codec import Message
from vrasnode.wire.signatures import fingerprint

M = TypeVar("M", bound=Message)

DIRECTORY_MODE = 0o700
TOKEN_PREFIX = "vrasenroll"  # noqa: S105 - the word that begins every token


class Token:
    """An enrolment token: `vrasenroll_<id>_<secret>_<SHA-256 of the installation>`. Its text is a secret."""

    def __init__(self, text: str) -> None:
        """Raises Refused(bad_token)."""
        self.text = text.strip()
        parts = self.text.split("_")
        if len(parts) != 4 or parts[0] != TOKEN_PREFIX or not all(parts):
            raise Refused(
                "bad_token", "This is not an enrolment token. Copy it again, whole, from the server."
            )
        self.id, self.installation_digest = parts[1], parts[3]

    def __repr__(self) -> str:
        return f"Token({self.id})"

    def check(self, installation: bytes) -> Installation:
        """The installation that this token belongs to. Raises Refused(wrong_installation, bad_message)."""
        if sha256(installation).hexdigest() != self.installation_digest:
            words = "This is not the server that the token was made for. Check the address, and the network."
            raise Refused("wrong_installation", words)
        return codec.decode(installation, Installation)


class Enrolment(Message, frozen=True):
    """What is known of this PC's membership. `client_id` is empty until the server answered."""

    server: str
    name: str
    client_id: str = ""
    state: ClientState = ClientState.PENDING


class Identity:
    """The identity directory of one PC. What writes raises HostBroken when the disk does not take it."""

    def __init__(self, directory: Path) -> None:
        """Reads what is there. Raises HostBroken(identity_unreadable)."""
        self.directory = directory
        self._signing: ec.EllipticCurvePrivateKey | None = None
        self.enrolment = read_enrolment(directory)
        self.installation = _read(directory / "installation", Installation)
        self.certificate = read_certificate(directory)

    @property
    def enrolled(self) -> bool:
        """Whether the server knows this PC: it may still be pending, or revoked."""
        return bool(self.enrolment and self.enrolment.client_id)

    @property
    def client_id(self) -> str:
        """The id that the server gave. Raises Refused(not_enrolled)."""
        return self._known.client_id

    @property
    def approved(self) -> bool:
        return self.certificate is not None and self._known.state is ClientState.APPROVED

    @property
    def lost(self) -> bool:
        """Whether the server said that this PC was declared lost."""
        return self.enrolment is not None and self.enrolment.state is ClientState.LOST

    @property
    def certificate_files(self) -> tuple[Path, Path]:
        """Certificate and key, for TLS."""
        return self.directory / "certificate.pem", self.directory / "signing.key"

    @property
    def hpke_key(self) -> bytes:
        """The public HPKE key, raw."""
        key = self._load("hpke.key")
        if not isinstance(key, X25519PrivateKey):
            raise _unreadable(self.directory / "hpke.key", "it is not an X25519 key")
        return key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)

    @property
    def signing_fingerprint(self) -> str:
        """Names the public signing key (of its SubjectPublicKeyInfo, DER)."""
        return fingerprint(
            self._key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        )

    def unseal(self, sealed: bytes, *, purpose: str) -> bytes:
        """What was sealed to this PC for that purpose. Raises Refused(not_for_us)."""
        key = self._load("hpke.key")
        if not isinstance(key, X25519PrivateKey):
            raise _unreadable(self.directory / "hpke.key", "it is not an X25519 key")
        return sealing.open_sealed(sealed, key, purpose=purpose)

    def begin(self, *, server: str, name: str, installation: bytes) -> None:
        """Makes the keys if there are none and pins the installation; the token has vouched for it."""
        disk.make_directory(self.directory, mode=DIRECTORY_MODE)
        for file, make in (("signing.key", _new_signing_key), ("hpke.key", X25519PrivateKey.generate)):
            if not (self.directory / file).exists():
                pem = make().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
                disk.write_file(self.directory / file, pem)
        disk.write_file(self.directory / "installation", installation)
        self.installation = codec.decode(installation, Installation)
        self._write(Enrolment(server=checked_url(server), name=name))

    def take(self, answer: EnrolAnswer) -> None:
        """Keeps what the server answered to enrolment, a look at the certificate or its renewal.

        Raises Refused(wrong_certificate) for one that is not for this key or not of the pinned CA; nothing is
        kept then.
        """
        if self.enrolment is None:
            raise ValueError("begin first")
        if answer.certificate is not None:
            certificate = self._checked(answer.certificate)
            disk.write_file(self.directory / "certificate.pem", answer.certificate.encode())
            self.certificate = certificate
        self._write(replace(self.enrolment, client_id=answer.client_id, state=answer.state))

    def demote(self, state: ClientState) -> None:
        """The server said that this PC is not, or not yet, one of its own."""
        self._write(replace(self._known, state=state))

    def sign(self, data: bytes) -> bytes:
        """ECDSA with SHA-256, DER."""
        return self._key.sign(data, ec.ECDSA(hashes.SHA256()))

    def certificate_request(self) -> str:
        """A PKCS#10 request (PEM) for this PC's name, signed by its key."""
        name = x509.Name(
            [x509.NameAttribute(NameOID.COMMON_NAME, self.enrolment.name if self.enrolment else "")]
        )
        request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(self._key, hashes.SHA256())
        return request.public_bytes(Encoding.PEM).decode()

    def wants_renewal(self, now: datetime) -> bool:
        """Whether less than a third of the certificate's life is left; also after its end."""
        if self.certificate is None:
            return False
        begin, end = self.certificate.not_valid_before_utc, self.certificate.not_valid_after_utc
        return now >= end - (end - begin) / 3

    def presentable(self, now: datetime) -> bool:
        """Whether a TLS front would take the certificate now."""
        if self.certificate is None:
            return False
        return (
            self.certificate.not_valid_before_utc
            <= now
            < self.certificate.not_valid_after_utc - timedelta(minutes=1)
        )

    @property
    def _known(self) -> Enrolment:
        if self.enrolment is None or not self.enrolment.client_id:
            raise Refused("not_enrolled", "This PC is not enrolled. Run `vrasnode enroll` with a token.")
        return self.enrolment

    @property
    def _key(self) -> ec.EllipticCurvePrivateKey:
        if self._signing is None:
            key = self._load("signing.key")
            if not isinstance(key, ec.EllipticCurvePrivateKey):
                raise _unreadable(self.directory / "signing.key", "it is not a P-256 key")
            self._signing = key
        return self._signing

    def _load(self, file: str) -> object:
        data = disk.read_file(self.directory / file)
        if data is None:
            raise _unreadable(self.directory / file, "it is missing")
        try:
            return load_pem_private_key(data, password=None)
        except (ValueError, TypeError) as error:
            raise _unreadable(self.directory / file, "it is not a key") from error

    def _checked(self, pem: str) -> x509.Certificate:
        if self.installation is None:
            raise ValueError("begin first")
        try:
            certificate = x509.load_pem_x509_certificate(pem.encode())
            certificate.verify_directly_issued_by(
                x509.load_pem_x509_certificate(self.installation.ca_certificate.encode())
            )
        except (ValueError, TypeError, InvalidSignature) as error:
            words = "The certificate that came is not of the installation that this PC enrolled with."
            raise Refused("wrong_certificate", words) from error
        if certificate.public_key() != self._key.public_key():
            raise Refused("wrong_certificate", "The certificate that came is for another key than this PC's.")
        return certificate

    def _write(self, enrolment: Enrolment) -> None:
        if enrolment != self.enrolment:
            disk.write_file(self.directory / "enrolment.json", codec.encode(enrolment))
            self.enrolment = enrolment


def read_enrolment(directory: Path) -> Enrolment | None:
    """What is on disk now; needs no key. Raises HostBroken(identity_unreadable)."""
    return _read(directory / "enrolment.json", Enrolment)


def read_certificate(directory: Path) -> x509.Certificate | None:
    """The certificate on disk now. Raises HostBroken(identity_unreadable)."""
    data = disk.read_file(directory / "certificate.pem")
    try:
        return x509.load_pem_x509_certificate(data) if data else None
    except ValueError as error:
        raise _unreadable(directory / "certificate.pem", str(error)) from error


def checked_path(path: str) -> str:
    """A path that the server named. Raises Refused(bad_fetch_path)."""
    if not path.startswith("/") or path.startswith("//") or any(c.isspace() for c in path):
        words = f"The server names {path!r} to fetch from; that is not a path of its own."
        raise Refused("bad_fetch_path", words)
    return path


def checked_url(server: str) -> str:
    """The base address without a slash at its end. Raises Refused(bad_server)."""
    parts = urlsplit(server)
    if (
        parts.scheme not in ("http", "https")
        or not parts.hostname
        or parts.query
        or parts.fragment
        or parts.username
    ):
        raise Refused("bad_server", f"{server!r} is not the address of a server, like https://vras.example.")
    return server.rstrip("/")


def _read(path: Path, kind: type[M]) -> M | None:
    data = disk.read_file(path)
    try:
        return codec.decode(data, kind) if data else None
    except Refused as error:
        raise _unreadable(path, error.words) from error


def _new_signing_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def _unreadable(path: Path, why: str) -> HostBroken:
    words = f"{path} cannot be used: {why}. Restore it, or empty {path.parent} and enrol this PC anew."
    return HostBroken("identity_unreadable", words)
