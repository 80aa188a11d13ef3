"""Signatures on the wire: envelopes (Ed25519, RFC 8032), role keys under one root, signed requests.

The root key is pinned by a PC at enrolment and signs *role keys*; a role key signs what the role is for.
So role keys rotate without enrolling anew. This module only verifies and states what is signed; private
keys are read by `clients/enrolment/signing.py` (server), `vrasctl` (publisher) and
`vrasnode/contact/identity.py` (PC).
"""

import base64
import hashlib
from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import TypeVar

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from vrasnode.errors import Refused
from vrasnode.wire.codec import Message, decode

T = TypeVar("T")


class Role(StrEnum):
    """What a role key may sign. The value also separates signature domains."""

    ROOT = "root"
    IMAGE = "image"
    ASSIGNMENT = "assignment"
    LEASE = "lease"
    AGENT = "agent"


class Signed(Message, frozen=True):
    """A payload with its signature; `key` is the fingerprint of the public key that made it."""

    payload: bytes
    key: str
    signature: bytes


class RoleKey(Message, frozen=True):
    """A statement of the root: this key may sign for this role, between these times."""

    role: Role
    name: str
    public_key: bytes
    not_before: datetime
    expires: datetime


def fingerprint(public_key: bytes) -> str:
    """Names a raw public key: the first 32 hex digits of its SHA-256."""
    return hashlib.sha256(public_key).hexdigest()[:32]


def seal(payload: bytes, role: Role, key: Ed25519PrivateKey) -> Signed:
    """Signs `payload` for `role`."""
    public = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    return Signed(payload=payload, key=fingerprint(public), signature=key.sign(_domain(role) + payload))


def opened(signed: Signed, role: Role, public_key: bytes) -> bytes:
    """The payload, after checking that `public_key` signed it for `role`. Raises Refused(bad_signature)."""
    if fingerprint(public_key) != signed.key:
        raise Refused("wrong_key", f"Signed by key {signed.key}, expected {fingerprint(public_key)}.")
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(
            signed.signature, _domain(role) + signed.payload
        )
    except (InvalidSignature, ValueError) as error:
        raise Refused(
            "bad_signature", f"The {role} signature by key {signed.key} does not verify."
        ) from error
    return signed.payload


class Keyring:
    """The role keys that one pinned root vouches for."""

    def __init__(self, root: bytes, statements: Sequence[Signed]) -> None:
        """Keeps what `root` signed and drops the rest: a bad statement must not lock out the good ones."""
        self.keys: dict[tuple[Role, str], RoleKey] = {}
        for statement in statements:
            try:
                key = decode(opened(statement, Role.ROOT, root), RoleKey)
            except Refused:
                continue
            self.keys[key.role, fingerprint(key.public_key)] = key

    def open(self, signed: Signed, role: Role, kind: type[T], *, at: datetime) -> T:
        """The message in an envelope that a key of `role` signed, valid at time `at`.

        Raises Refused: unknown_key, key_expired, bad_signature or bad_message.
        """
        key = self.keys.get((role, signed.key))
        if key is None:
            raise Refused("unknown_key", f"This installation vouches for no {role} key {signed.key}.")
        if not key.not_before <= at < key.expires:
            raise Refused("key_expired", f"The {role} key {signed.key} is not valid at {at:%F %R}.")
        return decode(opened(signed, role, key.public_key), kind)


# Signed requests, after RFC 9421 (HTTP Message Signatures) with a fixed list of covered components.
COVERED = '("@method" "@target-uri" "content-digest")'
MAX_SKEW_S = 300


def content_digest(body: bytes) -> str:
    """The Content-Digest field (RFC 9530) of a body."""
    return f"sha-256=:{base64.b64encode(hashlib.sha256(body).digest()).decode()}:"


def signature_input(*, created: int, nonce: str, key_id: str) -> str:
    """The Signature-Input field (RFC 9421 §4.1). `created`: Unix seconds; `key_id`: the client's id."""
    return f'vras={COVERED};created={created};nonce="{nonce}";keyid="{key_id}";alg="ecdsa-p256-sha256"'


def signature_base(method: str, target: str, digest: str, params: str) -> bytes:
    """The bytes that are signed (RFC 9421 §2.5). `target` is path and query as sent; `params` the
    Signature-Input field."""
    return (
        f'"@method": {method.upper()}\n"@target-uri": {target}\n"content-digest": {digest}\n'
        f'"@signature-params": {params.removeprefix("vras=")}'
    ).encode()


def _domain(role: Role) -> bytes:
    return f"openvras {role} v1\n".encode()
