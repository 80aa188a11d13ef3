"""The installation's private keys: root, role keys and the certificate authority. Nothing else reads them.

Layout of the key directory (0700): `root.key` (meant to be kept offline after set-up), `root.pub`,
`ca.key`, `ca.pem`, `<role>.key` with `<role>.signed` (the root's statement about it), `mydoc.key` (wraps the
server's halves of volumes' keys). Keys are PEM PKCS#8, but `mydoc.key`: 32 random bytes.
"""

import secrets
from contextlib import suppress
from datetime import datetime, timedelta
from functools import cached_property
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from django.conf import settings
from django.utils.translation import gettext_lazy as _

from clients import privatefile
from clients.errors import Refusal
from clients.models import PublisherKey
from vrasnode.wire import clients as wire
from vrasnode.wire import codec, signatures
from vrasnode.wire.signatures import Role, RoleKey, Signed

CA_LIFE = timedelta(days=3650)
ROLE_LIFE = timedelta(days=730)
ONLINE_ROLES = (Role.IMAGE, Role.ASSIGNMENT, Role.LEASE)
WRAPPING_KEY = "mydoc.key"
_VERSION, _IV_BYTES = b"\x01", 12


class KeyStore:
    """The keys in one directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def create(self, *, name: str, now: datetime) -> bool:
        """Makes what is missing; returns whether anything was. Safe to repeat after a kill."""
        made = False
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not (self.directory / "root.pub").exists():
            root = Ed25519PrivateKey.generate()
            self._write("root.key", _pem(root))
            self._write("root.pub", _raw(root))
            made = True
        if not (self.directory / "ca.pem").exists():
            key = ec.generate_private_key(ec.SECP256R1())
            self._write("ca.key", _pem(key))
            self._write("ca.pem", _authority(key, name, now).public_bytes(Encoding.PEM))
            made = True
        for role in ONLINE_ROLES:
            if not (self.directory / f"{role}.signed").exists():
                key_of_role = Ed25519PrivateKey.generate()
                self._write(f"{role}.key", _pem(key_of_role))
                statement = self.endorse(_raw(key_of_role), role=role, name=f"{name} server", now=now)
                self._write(f"{role}.signed", codec.encode(statement))
                made = True
        return self.make_wrapping_key() or made

    def make_wrapping_key(self) -> bool:
        """Makes the key of `wrap` where there is none; returns whether it did. Whoever is first wins."""
        final = self.directory / WRAPPING_KEY
        if final.exists():
            return False
        aside = f".{WRAPPING_KEY}.{secrets.token_hex(4)}"
        self._write(aside, AESGCM.generate_key(bit_length=256))
        try:
            with suppress(FileExistsError):
                final.hardlink_to(self.directory / aside)
        finally:
            (self.directory / aside).unlink()
        privatefile.sync_folder(self.directory)
        return True

    def wrap(self, secret: bytes, context: str) -> bytes:
        """`secret`, for the database: worth nothing without this directory, or under another context."""
        iv = secrets.token_bytes(_IV_BYTES)
        return _VERSION + iv + AESGCM(self._read(WRAPPING_KEY)).encrypt(iv, secret, context.encode())

    def unwrap(self, wrapped: bytes, context: str) -> bytes:
        """What `wrap` was given. Raises Refusal(not_unwrapped)."""
        iv, sealed = wrapped[1 : 1 + _IV_BYTES], wrapped[1 + _IV_BYTES :]
        try:
            return AESGCM(self._read(WRAPPING_KEY)).decrypt(iv, sealed, context.encode())
        except (InvalidTag, ValueError) as error:
            raise Refusal(
                "not_unwrapped",
                _("mydoc.key in the key directory is not the one of this database. Restore both together."),
                status=503,
            ) from error

    def endorse(self, public_key: bytes, *, role: Role, name: str, now: datetime) -> Signed:
        """The root's statement that a key may sign for a role. Raises Refusal(root_offline)."""
        statement = RoleKey(
            role=role,
            name=name,
            public_key=public_key,
            not_before=now - timedelta(hours=1),
            expires=now + ROLE_LIFE,
        )
        return signatures.seal(codec.encode(statement), Role.ROOT, self._root)

    def seal(self, message: codec.Message, role: Role) -> Signed:
        """Signs a message with the server's key of that role."""
        return signatures.seal(codec.encode(message), role, _ed25519(self._read(f"{role}.key")))

    def issue(self, csr: str, *, client_id: str, now: datetime) -> x509.Certificate:
        """A certificate for the key in `csr`, named for the client. Raises Refusal(bad_csr)."""
        request = check_csr(csr)
        key = load_pem_private_key(self._read("ca.key"), password=None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)  # noqa: S101  (we made it)
        return (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, client_id)]))
            .issuer_name(self.authority.subject)
            .public_key(request.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(minutes=10))
            .not_valid_after(now + settings.CERTIFICATE_LIFE)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
            .sign(key, hashes.SHA256())
        )

    def issue_for_service(
        self, public_key: ec.EllipticCurvePublicKey, *, host: str, life: timedelta, now: datetime
    ) -> x509.Certificate:
        """A certificate by which a service of this installation is known at `host`, a name or an address."""
        key = load_pem_private_key(self._read("ca.key"), password=None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)  # noqa: S101  (we made it)
        return (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host[:64])]))
            .issuer_name(self.authority.subject)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + life)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([_general_name(host)]), critical=False)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .sign(key, hashes.SHA256())
        )

    @cached_property
    def authority(self) -> x509.Certificate:
        return x509.load_pem_x509_certificate(self._read("ca.pem"))

    @cached_property
    def root_public(self) -> bytes:
        return self._read("root.pub")

    @cached_property
    def installation(self) -> bytes:
        """The exact bytes that PCs pin."""
        return codec.encode(
            wire.Installation(
                name=settings.INSTALLATION_NAME,
                root_key=self.root_public,
                ca_certificate=self._read("ca.pem").decode(),
                identity=settings.IDENTITY,
            )
        )

    def statements(self) -> list[Signed]:
        """Every role key that the root vouches for: the server's own and the endorsed publishers'."""
        own = [codec.decode(self._read(f"{role}.signed"), Signed) for role in ONLINE_ROLES]
        endorsed = PublisherKey.objects.filter(state=PublisherKey.State.ENDORSED).order_by("fingerprint")
        return own + [codec.decode(bytes(row.statement or b""), Signed) for row in endorsed]

    def keyring(self) -> signatures.Keyring:
        return signatures.Keyring(self.root_public, self.statements())

    @property
    def _root(self) -> Ed25519PrivateKey:
        if not (self.directory / "root.key").exists():
            raise Refusal(
                "root_offline",
                _("The root key is not on this machine. Run `manage.py keys endorse` where it is kept."),
            )
        return _ed25519(self._read("root.key"))

    def _read(self, name: str) -> bytes:
        try:
            return (self.directory / name).read_bytes()
        except FileNotFoundError as error:
            raise Refusal(
                "no_keys", _("This installation has no keys yet. Run `manage.py keys init`."), status=503
            ) from error

    def _write(self, name: str, data: bytes) -> None:
        privatefile.write(self.directory / name, data)


def store() -> KeyStore:
    """The keys of this installation."""
    return KeyStore(settings.KEYS)


def check_csr(csr: str) -> x509.CertificateSigningRequest:
    """A request whose key is P-256 and whose signature proves possession. Raises Refusal(bad_csr)."""
    try:
        request = x509.load_pem_x509_csr(csr.encode())
        key = request.public_key()
        good = (
            isinstance(key, ec.EllipticCurvePublicKey)
            and isinstance(key.curve, ec.SECP256R1)
            and request.is_signature_valid
        )
    except (ValueError, InvalidSignature):
        good = False
    if not good:
        raise Refusal("bad_csr", _("The certificate request is not a valid P-256 request."), status=400)
    return request


def public_key_of(csr: str) -> bytes:
    """The request's public key (DER SubjectPublicKeyInfo)."""
    return check_csr(csr).public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _authority(key: ec.EllipticCurvePrivateKey, name: str, now: datetime) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{name} PCs")])
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=10))
        .not_valid_after(now + CA_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _pem(key: Ed25519PrivateKey | ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _raw(key: Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def _ed25519(pem: bytes) -> Ed25519PrivateKey:
    key = load_pem_private_key(pem, password=None)
    assert isinstance(key, Ed25519PrivateKey)  # noqa: S101  (we made it)
    return key
