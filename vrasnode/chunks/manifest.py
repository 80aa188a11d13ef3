"""The manifest of one image version: which chunk holds what, under one signature.

    magic "VRASMAN1" | length u32 | Signed (canonical JSON) | numbers u32 × n | digests 32 × n

all little-endian. The signed payload is a ManifestHeader whose Merkle root (RFC 6962 §2.1; a leaf is number
u32 + digest) covers the two arrays. Chunks that are all zero are absent. Where frames lie is not here but in
the `framemap`: a version stays the same when its chunks are packed anew.
"""

import hashlib
import sys
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from itertools import pairwise

from vrasnode.chunks.hashing import DIGEST_BYTES, Buffer, digest_of, merkle_root
from vrasnode.errors import Refused
from vrasnode.wire import codec
from vrasnode.wire.imaging import CHUNK_BYTES, MAX_IMAGE_BYTES, ManifestHeader
from vrasnode.wire.names import check_name
from vrasnode.wire.signatures import Keyring, Role, Signed

FORMAT = 1
MIN_CHUNK_BYTES = 4 << 10
MAX_CHUNK_BYTES = 16 << 20
MAX_CHUNKS = 1 << 20  # possible chunks of one image: what bounds the memory of everybody who reads manifests

_MAGIC = b"VRASMAN1"
_ENTRY_BYTES = 4 + DIGEST_BYTES
_MAX_SIGNED_BYTES = 64 << 10
_DATA_AT = len(_MAGIC) + 4

MAX_MANIFEST_BYTES = _DATA_AT + _MAX_SIGNED_BYTES + MAX_CHUNKS * _ENTRY_BYTES


@dataclass(frozen=True, eq=False)
class Manifest:
    """One version's list of chunks: `numbers` strictly increase, `digests` lie back to back like them."""

    header: ManifestHeader
    signed: Signed
    numbers: "array[int]"
    digests: bytes

    @cached_property
    def digest(self) -> str:
        """The name of this version everywhere: SHA-256 (hex) of the signed header."""
        return digest_of_payload(self.signed.payload)

    def __len__(self) -> int:
        return len(self.numbers)

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        """Number and digest of each chunk that is not all zero, in order."""
        for index, number in enumerate(self.numbers):
            yield number, self.digest_at(index)

    def digest_at(self, index: int) -> bytes:
        """The digest of the entry at `index` (a place in the list, not a chunk number)."""
        return self.digests[index * DIGEST_BYTES : (index + 1) * DIGEST_BYTES]

    def chunk_bytes_at(self, number: int) -> int:
        """How many bytes chunk `number` has: less than the others for the last one of some images."""
        return min(self.header.chunk_bytes, self.header.size_bytes - number * self.header.chunk_bytes)


def digest_of_payload(payload: bytes) -> str:
    """How a version is named after its signed header."""
    return hashlib.sha256(payload).hexdigest()


def chunk_bytes_for(size_bytes: int) -> int:
    """The chunk size for a disk of this size: 256 KiB, larger from 256 GiB on so that lists stay short."""
    chunk_bytes = CHUNK_BYTES
    while chunk_bytes * MAX_CHUNKS < size_bytes:
        chunk_bytes *= 2
    return chunk_bytes


def build(
    image: str,
    *,
    size_bytes: int,
    chunk_bytes: int,
    hash: str,  # noqa: A002  the word of the header
    numbers: "array[int]",
    digests: Buffer,
    created: datetime,
) -> ManifestHeader:
    """The header to sign for these chunks. Raises Refused like `read` if they cannot be an image's."""
    header = ManifestHeader(
        format=FORMAT,
        image=image,
        size_bytes=size_bytes,
        chunk_bytes=chunk_bytes,
        hash=hash,
        chunks=len(numbers),
        root=_root(hash, numbers, digests),
        created=created,
    )
    _check(header, numbers, digests)
    return header


def encode(manifest: Manifest) -> bytes:
    """The manifest as a file."""
    signed = codec.encode(manifest.signed)
    lead = _MAGIC + len(signed).to_bytes(4, "little")
    return b"".join((lead, signed, little_endian(manifest.numbers), manifest.digests))


def read(data: Buffer, keyring: Keyring, *, at: datetime) -> Manifest:
    """The manifest in `data`, signed by an image key that `keyring` vouches for at time `at`.

    Raises Refused: unsigned_manifest, unknown_key, key_expired, bad_signature (who signed); bad_manifest,
    unknown_manifest_format, unknown_hash, bad_name (what is in it).
    """
    signed, arrays = _split(data)
    header = keyring.open(signed, Role.IMAGE, ManifestHeader, at=at)
    return _read(header, signed, arrays)


def read_named(data: Buffer, digest: str) -> Manifest:
    """The manifest in `data` if it is the version called `digest`, which the caller has from a signed
    assignment or wrote down after `read`. So an expired image key never stops what is staged from booting.

    Raises Refused: wrong_manifest, or as `read` for what is in it.
    """
    signed, arrays = _split(data)
    if digest_of_payload(signed.payload) != digest:
        raise Refused(
            "wrong_manifest", f"This manifest is not that of version {digest[:12]}. Fetch it again."
        )
    return _read(codec.decode(signed.payload, ManifestHeader), signed, arrays)


def little_endian(numbers: "array[int]") -> bytes:
    """The bytes of a u32 array as they lie in our files."""
    if sys.byteorder == "big":
        numbers = numbers[:]
        numbers.byteswap()
    return numbers.tobytes()


def from_little_endian(data: Buffer) -> "array[int]":
    """The u32 array in bytes that lie in our files."""
    numbers = array("I")
    numbers.frombytes(data)
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers


def _split(data: Buffer) -> tuple[Signed, memoryview]:
    view = memoryview(data)
    if view[: len(_MAGIC)] != _MAGIC or len(view) > MAX_MANIFEST_BYTES:
        raise _bad("it does not begin like a manifest or is far too long")
    end = _DATA_AT + int.from_bytes(view[len(_MAGIC) : _DATA_AT], "little")
    if end > min(len(view), _DATA_AT + _MAX_SIGNED_BYTES):
        raise _bad("it ends too early")
    lead = bytes(view[_DATA_AT:end])
    unsigned = Refused("unsigned_manifest", "This manifest carries no signature. Publish the image again.")
    try:
        signed = codec.decode(lead, Signed)
    except Refused as error:
        raise unsigned from error
    if not signed.signature:
        raise unsigned
    if codec.encode(signed) != lead:  # base64 can say the same in several ways: one version, one file
        raise _bad("its lead is not written in the one way that is allowed")
    return signed, view[end:]


def _read(header: ManifestHeader, signed: Signed, arrays: memoryview) -> Manifest:
    _check_header(header)
    if len(arrays) != header.chunks * _ENTRY_BYTES:
        raise _bad(f"its list is not the {header.chunks} chunks long that its header says")
    numbers = from_little_endian(arrays[: 4 * header.chunks])
    digests = bytes(arrays[4 * header.chunks :])
    _check(header, numbers, digests)
    if _root(header.hash, numbers, digests) != header.root:
        raise _bad("its list is not the one that was signed")
    return Manifest(header, signed, numbers, digests)


def _check(header: ManifestHeader, numbers: "array[int]", digests: Buffer) -> None:
    _check_header(header)
    if len(digests) != len(numbers) * DIGEST_BYTES:
        raise _bad("it has another number of digests than of chunks")
    if not all(low < high for low, high in pairwise(numbers)):
        raise _bad("its chunks are not in order")
    if numbers and numbers[-1] >= _possible(header):
        raise _bad("its list is longer than its size says")


def _check_header(header: ManifestHeader) -> None:
    if header.format != FORMAT:
        raise Refused(
            "unknown_manifest_format", f"Manifest format {header.format} needs a newer version of vRAS."
        )
    check_name(header.image)
    digest_of(header.hash)
    size, chunk = header.size_bytes, header.chunk_bytes
    if not 0 < size <= MAX_IMAGE_BYTES:
        raise _bad(f"an image of {size} bytes is not allowed")
    if not MIN_CHUNK_BYTES <= chunk <= MAX_CHUNK_BYTES or chunk & (chunk - 1):
        raise _bad(f"chunks of {chunk} bytes are not allowed")
    if _possible(header) > MAX_CHUNKS:
        raise _bad(f"{size} bytes in chunks of {chunk} are more than {MAX_CHUNKS} chunks")
    if not 0 <= header.chunks <= _possible(header):
        raise _bad("its list is longer than its size says")


def _possible(header: ManifestHeader) -> int:
    return -(-header.size_bytes // header.chunk_bytes)


def _root(name: str, numbers: "array[int]", digests: Buffer) -> str:
    lead, digests = memoryview(little_endian(numbers)), memoryview(digests)
    leaves = (
        bytes(lead[4 * i : 4 * i + 4]) + digests[DIGEST_BYTES * i : DIGEST_BYTES * (i + 1)]
        for i in range(len(numbers))
    )
    return merkle_root(leaves, hash=digest_of(name)).hex()


def _bad(why: str) -> Refused:
    return Refused("bad_manifest", f"This manifest cannot be used: {why}. Publish the image again.")
