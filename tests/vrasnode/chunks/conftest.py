"""The publisher of these tests: an image key that a pinned root vouches for."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from vrasnode.chunks.manifest import Manifest
from vrasnode.wire import codec
from vrasnode.wire.imaging import ManifestHeader
from vrasnode.wire.signatures import Keyring, Role, RoleKey, seal

NOON = datetime(2026, 4, 1, 12, tzinfo=UTC)


def public(key: Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


@dataclass(frozen=True)
class Publisher:
    """Holds the image key; `keyring` is what a PC has of it."""

    key: Ed25519PrivateKey
    keyring: Keyring

    def sign(self, header: ManifestHeader, like: Manifest) -> Manifest:
        """A manifest with this header and the arrays of another."""
        return Manifest(header, seal(codec.encode(header), Role.IMAGE, self.key), like.numbers, like.digests)


@pytest.fixture
def publisher() -> Publisher:
    return make_publisher(role=Role.IMAGE)


@pytest.fixture
def other_publisher() -> Callable[..., Publisher]:
    return make_publisher


def make_publisher(*, role: Role = Role.IMAGE) -> Publisher:
    root, key = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    statement = RoleKey(
        role=role,
        name="publisher",
        public_key=public(key),
        not_before=NOON - timedelta(days=1),
        expires=NOON + timedelta(days=1),
    )
    return Publisher(key, Keyring(public(root), [seal(codec.encode(statement), Role.ROOT, root)]))
