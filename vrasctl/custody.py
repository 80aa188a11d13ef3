"""A recovery custodian's key, in a file under a passphrase; and what is opened with it. No server takes part.

A volume's recovery key is wrapped for two custodians, one inside the other. The first takes the outer
wrapping off and hands what is left, a `Half`, to the second: neither ever needs the other's key.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from vrasnode.errors import HostBroken, Refused
from vrasnode.wire import codec

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

MIN_PASSPHRASE = 12
MAX_FILE_BYTES = 64 << 10


class Half(codec.Message, frozen=True):
    """A recovery key on its way: `wrapped` opens for the first of `custodians` (fingerprints)."""

    volume: str
    name: str  # for people
    luks_uuid: str
    custodians: list[str]
    wrapped: bytes


class CustodianKey:
    """The private key, unlocked."""

    def __init__(self, key: "X25519PrivateKey") -> None:
        self._key = key

    @property
    def public(self) -> bytes:
        return self._key.public_key().public_bytes_raw()

    @property
    def fingerprint(self) -> str:
        from vrasnode.wire.signatures import fingerprint

        return fingerprint(self.public)

    def peel(self, half: Half) -> Half:
        """Takes one wrapping off. Raises Refused: not_your_turn, not_for_us."""
        if not half.custodians:
            raise Refused("not_wrapped", "Nothing is wrapped in this file any more.")
        if half.custodians[0] != self.fingerprint:
            raise Refused(
                "not_your_turn",
                f"This opens for the key {half.custodians[0]}, and yours is {self.fingerprint}. "
                "Both custodians are needed, the first one first.",
            )
        from vrasnode import sealing

        inner = sealing.open_sealed(half.wrapped, self._key, purpose=sealing.recovery_purpose(half.volume))
        return Half(
            volume=half.volume,
            name=half.name,
            luks_uuid=half.luks_uuid,
            custodians=half.custodians[1:],
            wrapped=inner,
        )


def make(file: Path, passphrase: str) -> CustodianKey:
    """A new key in `file`, its public half in `file`.pub. Overwrites nothing. Raises Refused, HostBroken."""
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
    from cryptography.hazmat.primitives.serialization import (
        BestAvailableEncryption,
        Encoding,
        PrivateFormat,
        PublicFormat,
    )

    if len(passphrase) < MIN_PASSPHRASE:
        raise Refused("short_passphrase", f"A passphrase has at least {MIN_PASSPHRASE} characters.")
    key = X25519PrivateKey.generate()
    locked = BestAvailableEncryption(passphrase.encode())
    write_secret(file, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, locked))
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    write_secret(public_file(file), public)
    return CustodianKey(key)


def unlock(file: Path, passphrase: Callable[[], str]) -> CustodianKey:
    """The key in `file`. Raises Refused: bad_key, wrong_passphrase."""
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    pem = read(file)
    if b"ENCRYPTED PRIVATE KEY" not in pem:
        raise _bad_key(file)
    try:
        key = load_pem_private_key(pem, password=passphrase().encode())
    except (ValueError, TypeError) as error:
        raise Refused("wrong_passphrase", f"{file} does not open with this passphrase.") from error
    if not isinstance(key, X25519PrivateKey):
        raise _bad_key(file)
    return CustodianKey(key)


def public_in(file: Path) -> bytes:
    """The public key (raw) in a .pub file. Raises Refused(bad_key)."""
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        key = load_pem_public_key(read(file))
    except ValueError as error:
        raise _bad_key(file) from error
    if not isinstance(key, X25519PublicKey):
        raise _bad_key(file)
    return key.public_bytes_raw()


def public_file(file: Path) -> Path:
    return file.with_name(f"{file.name}.pub")


def read(file: Path) -> bytes:
    """A small file. Raises Refused(no_file)."""
    try:
        with file.open("rb") as opened:
            return opened.read(MAX_FILE_BYTES)
    except OSError as error:
        raise Refused("no_file", f"{file} cannot be read: {error.strerror}.") from error


def write_secret(file: Path, data: bytes) -> None:
    """A new file for its owner alone, on the disk when this returns; one that is there is not overwritten."""
    try:
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as opened:
            opened.write(data)
            opened.flush()
            os.fsync(opened.fileno())
    except OSError as error:
        raise HostBroken("file_not_written", f"{file} cannot be made: {error.strerror}.") from error


def _bad_key(file: Path) -> Refused:
    return Refused("bad_key", f"{file} is no custodian's key. Make one: vrasctl recovery make-key FILE")
