"""Small images for tests: chunks, packs and signed manifests, made by the product's own engine."""

from array import array
from datetime import datetime

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from clients.enrolment import signing
from imaging import publishing
from imaging.models import ImageVersion, MasterImage
from imaging.store import store
from vrasnode.chunks import frames, hashing, manifest
from vrasnode.chunks.manifest import Manifest
from vrasnode.chunks.packs import PackBuilder
from vrasnode.wire import codec, signatures
from vrasnode.wire.imaging import CHUNK_BYTES
from vrasnode.wire.signatures import Role

digest_of = hashing.digest_of("blake3")


def chunk(text: str) -> bytes:
    """A whole chunk whose bytes follow from `text`."""
    seed = digest_of(text.encode())
    return (seed * (CHUNK_BYTES // 64) + bytes(CHUNK_BYTES // 2))[:CHUNK_BYTES]


def stock(*chunks: bytes) -> str:
    """Puts chunks into the store as one pack; returns the pack's id."""
    builder = PackBuilder()
    compressor = frames.new_compressor()
    for data in dict.fromkeys(chunks):
        builder.add(digest_of(data), frames.make_frame(data, compressor))
    pack = builder.finish()
    store().keep_pack(pack)
    return pack.pack_id


def signed_manifest(
    image: MasterImage, chunks: list[bytes], *, now: datetime, key: Ed25519PrivateKey | None = None
) -> bytes:
    """The manifest file of an image that consists of these chunks (b"" is a hole), signed by the server's
    publishing key or by `key`."""
    numbers = array("I", (number for number, data in enumerate(chunks) if data))
    digests = b"".join(digest_of(data) for data in chunks if data)
    header = manifest.build(
        image.name,
        size_bytes=len(chunks) * CHUNK_BYTES,
        chunk_bytes=CHUNK_BYTES,
        hash="blake3",
        numbers=numbers,
        digests=digests,
        created=now,
    )
    if key is None:
        signed = signing.store().seal(header, Role.IMAGE)
    else:
        signed = signatures.seal(codec.encode(header), Role.IMAGE, key)
    return manifest.encode(Manifest(header=header, signed=signed, numbers=numbers, digests=digests))


def publish(image: MasterImage, *texts: str, now: datetime) -> ImageVersion:
    """A ready version made of one chunk per text ("" is a hole)."""
    chunks = [chunk(text) if text else b"" for text in texts]
    version = publishing.open_version(image, note="")
    absent = store().catalogue.missing(digest_of(data) for data in chunks if data)
    if lacking := [data for data in chunks if data and digest_of(data) in absent]:
        stock(*lacking)
    publishing.seal(version, signed_manifest(image, chunks, now=now), now=now)
    publishing.check_sealed(version, now=now)
    return version
