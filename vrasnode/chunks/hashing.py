"""Hashes by the names that manifests use, and the Merkle root over a list of leaves.

Not for signatures (`wire.signatures`) and not for pack ids, which are always BLAKE3 (`packs`).
"""

import hashlib
from collections.abc import Callable, Iterable
from typing import TypeAlias

from blake3 import blake3

from vrasnode.errors import Refused

DIGEST_BYTES = 32

Buffer: TypeAlias = bytes | bytearray | memoryview
Hash: TypeAlias = Callable[[Buffer], bytes]


def digest_of(name: str) -> Hash:
    """The hash function called `name` in manifests; it gives 32 bytes. Raises Refused(unknown_hash)."""
    try:
        return _HASHES[name]
    except KeyError:
        known = ", ".join(sorted(_HASHES))
        raise Refused("unknown_hash", f"The hash {name!r} is not known here; use one of {known}.") from None


def merkle_root(leaves: Iterable[bytes], *, hash: Hash) -> bytes:  # noqa: A002  the word of the manifest
    """The Merkle tree hash of `leaves` in order (RFC 6962 §2.1), in memory for log₂(n) digests.

    Leaves and nodes are hashed under different prefixes, so that no node can be passed off as a leaf.
    """
    peaks: list[bytes] = []  # roots of full subtrees, their sizes are the bits of `size`
    for size, leaf in enumerate(leaves, start=1):
        node = hash(b"\x00" + leaf)
        for _ in range((size & -size).bit_length() - 1):
            node = hash(b"\x01" + peaks.pop() + node)
        peaks.append(node)
    if not peaks:
        return hash(b"")
    root = peaks.pop()
    while peaks:
        root = hash(b"\x01" + peaks.pop() + root)
    return root


def _blake3(data: Buffer) -> bytes:
    return blake3(data).digest()


def _sha256(data: Buffer) -> bytes:
    return hashlib.sha256(data).digest()


_HASHES: dict[str, Hash] = {"blake3": _blake3, "sha256": _sha256}
