"""What the keys of user data are made of and how they travel; pure, for the PC, the server and `vrasctl`.

The LAN key of a volume is HKDF-SHA-256 (RFC 5869) over the server's half and the PC's half: neither gives
anything away alone. What travels is sealed by HPKE (RFC 9180, base mode, X25519, HKDF-SHA-256, AES-256-GCM)
with a context that names what it is for, so that nothing sealed for one purpose is opened for another. A
recovery key is sealed to the second custodian and the result to the first: it takes both to open it.
"""

from collections.abc import Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from vrasnode.errors import Refused

HALF_BYTES = 32
KEY_BYTES = 32
_SUITE = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)


def lan_key(server_half: bytes, pc_half: bytes, *, volume: str) -> bytes:
    """The 32 bytes that open a volume's LAN slot. Raises ValueError for halves of another length."""
    if len(server_half) != HALF_BYTES or len(pc_half) != HALF_BYTES:
        raise ValueError("a half of a key has 32 bytes")
    derivation = HKDF(
        algorithm=SHA256(), length=KEY_BYTES, salt=server_half, info=f"openvras lan key v1 {volume}".encode()
    )
    return derivation.derive(pc_half)


def passphrase(key: bytes) -> str:
    """How a key is written where programs want text (QEMU takes nothing else): in hex, no line's end. Raises
    ValueError for a key of another length."""
    if len(key) != KEY_BYTES:
        raise ValueError(f"a volume's key has {KEY_BYTES} bytes")
    return key.hex()


def seal(secret: bytes, public_key: bytes, *, purpose: str) -> bytes:
    """`secret` for whoever holds the private key of `public_key` (X25519, raw)."""
    return _SUITE.encrypt(secret, X25519PublicKey.from_public_bytes(public_key), info=_info(purpose))


def open_sealed(sealed: bytes, private_key: X25519PrivateKey, *, purpose: str) -> bytes:
    """What was sealed for this purpose. Raises Refused(not_for_us)."""
    try:
        return _SUITE.decrypt(sealed, private_key, info=_info(purpose))
    except (InvalidTag, ValueError) as error:
        raise Refused("not_for_us", "This was sealed to another key, or for something else.") from error


def wrap_for_custodians(secret: bytes, public_keys: Sequence[bytes], *, volume: str) -> bytes:
    """A recovery key that opens only with the private keys of all of `public_keys`, the first one first."""
    wrapped = secret
    for public_key in reversed(public_keys):
        wrapped = seal(wrapped, public_key, purpose=recovery_purpose(volume))
    return wrapped


def recovery_purpose(volume: str) -> str:
    """The context under which a volume's recovery key is wrapped."""
    return f"recovery {volume}"


def half_purpose(volume: str, session: str) -> str:
    """The context under which the server's half of a volume's key travels, for one logon."""
    return f"key {volume} {session}"


def replication_purpose(volume: str) -> str:
    """The context under which what one run of a replication needs travels."""
    return f"replication {volume}"


def lease_purpose(lease: str) -> str:
    """The context under which the server's half of a usage key's secret travels."""
    return f"lease {lease}"


def answer_purpose(question: str) -> str:
    """The context under which the answer to one question travels."""
    return f"answer {question}"


def write_purpose(upload: str) -> str:
    """The context under which the pieces of one file travel to a PC."""
    return f"write {upload}"


def _info(purpose: str) -> bytes:
    return f"openvras {purpose} v1".encode()
