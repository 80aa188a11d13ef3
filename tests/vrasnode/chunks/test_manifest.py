from array import array
from collections.abc import Callable
from datetime import timedelta
from itertools import accumulate

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.vrasnode.chunks.conftest import NOON, Publisher, make_publisher
from vrasnode.chunks import manifest
from vrasnode.chunks.hashing import digest_of
from vrasnode.chunks.manifest import Manifest, chunk_bytes_for
from vrasnode.errors import Refused
from vrasnode.wire import codec
from vrasnode.wire.imaging import CHUNK_BYTES, MAX_IMAGE_BYTES
from vrasnode.wire.signatures import Role, Signed, seal

CHUNK = 4096


def a_manifest(publisher: Publisher, numbers: list[int], *, size_bytes: int, **changes: object) -> Manifest:
    digests = b"".join(digest_of("blake3")(bytes([number % 251])) for number in numbers)
    listed = array("I", numbers)
    header = manifest.build(
        "office desktop",
        size_bytes=size_bytes,
        chunk_bytes=CHUNK,
        hash="blake3",
        numbers=listed,
        digests=digests,
        created=NOON,
    )
    header = msgspec.structs.replace(header, **changes)
    return Manifest(header, seal(codec.encode(header), Role.IMAGE, publisher.key), listed, digests)


@pytest.fixture
def published(publisher: Publisher) -> Manifest:
    """Ten chunks and a tail of one byte; four of them hold data."""
    return a_manifest(publisher, [0, 3, 4, 10], size_bytes=10 * CHUNK + 1)


def refusal(publisher: Publisher, data: bytes) -> str:
    with pytest.raises(Refused) as refused:
        manifest.read(data, publisher.keyring, at=NOON)
    return refused.value.code


PUBLISHER = make_publisher()


@given(steps=st.lists(st.integers(1, 9), max_size=50), tail=st.integers(1, CHUNK))
def test_a_manifest_reads_back_as_it_was_published(steps: list[int], tail: int) -> None:
    numbers = [last - 1 for last in accumulate(steps)]
    size = (numbers[-1] if numbers else 0) * CHUNK + tail
    written = a_manifest(PUBLISHER, numbers, size_bytes=size)

    read = manifest.read(manifest.encode(written), PUBLISHER.keyring, at=NOON)

    assert (read.header, read.digest) == (written.header, written.digest)
    assert (
        list(read) == list(written) == list(zip(numbers, map(read.digest_at, range(len(read))), strict=True))
    )


def test_the_last_chunk_may_be_short(published: Manifest) -> None:
    assert [published.chunk_bytes_at(number) for number, _ in published] == [CHUNK, CHUNK, CHUNK, 1]


def test_the_same_image_published_twice_differs_and_each_has_its_own_name(publisher: Publisher) -> None:
    first = a_manifest(publisher, [0], size_bytes=CHUNK)
    second = a_manifest(publisher, [0], size_bytes=CHUNK, created=NOON + timedelta(seconds=1))
    assert first.digest != second.digest


def test_no_byte_of_a_manifest_can_be_changed(publisher: Publisher, published: Manifest) -> None:
    data = bytearray(manifest.encode(published))
    for at in range(len(data)):
        data[at] ^= 0x04
        assert refusal(publisher, bytes(data))
        data[at] ^= 0x04
    assert manifest.read(bytes(data), publisher.keyring, at=NOON).digest == published.digest


def test_a_manifest_cut_or_continued_at_any_byte_is_refused(
    publisher: Publisher, published: Manifest
) -> None:
    data = manifest.encode(published)
    for length in range(len(data)):
        assert refusal(publisher, data[:length]) in ("bad_manifest", "unsigned_manifest")
    assert refusal(publisher, data + b"\x00") == "bad_manifest"


def test_a_manifest_that_nobody_signed_is_refused(publisher: Publisher, published: Manifest) -> None:
    payload = published.signed.payload
    unsigned = Signed(payload=payload, key=published.signed.key, signature=b"")
    bare = Manifest(published.header, unsigned, published.numbers, published.digests)
    assert refusal(publisher, manifest.encode(bare)) == "unsigned_manifest"

    arrays = manifest.encode(published)[-36 * len(published) :]
    just_the_header = b"VRASMAN1" + len(payload).to_bytes(4, "little") + payload + arrays
    assert refusal(publisher, just_the_header) == "unsigned_manifest"


def test_a_manifest_signed_by_another_key_is_refused(
    publisher: Publisher, published: Manifest, other_publisher: Callable[..., Publisher]
) -> None:
    stranger = other_publisher()
    assert refusal(publisher, manifest.encode(stranger.sign(published.header, published))) == "unknown_key"

    another_role = other_publisher(role=Role.ASSIGNMENT)
    forged = manifest.encode(another_role.sign(published.header, published))
    assert refusal(another_role, forged) == "unknown_key"


def test_a_key_that_expired_signs_nothing_new_but_what_is_known_by_name_stays_readable(
    publisher: Publisher, published: Manifest
) -> None:
    data = manifest.encode(published)
    with pytest.raises(Refused) as refused:
        manifest.read(data, publisher.keyring, at=NOON + timedelta(days=2))
    assert refused.value.code == "key_expired"
    assert list(manifest.read_named(data, published.digest)) == list(published)


def test_another_version_under_a_known_name_is_refused(publisher: Publisher, published: Manifest) -> None:
    other = a_manifest(publisher, [1], size_bytes=CHUNK * 2)
    with pytest.raises(Refused) as refused:
        manifest.read_named(manifest.encode(other), published.digest)
    assert refused.value.code == "wrong_manifest"

    swapped = Manifest(published.header, published.signed, published.numbers, bytes(len(published.digests)))
    with pytest.raises(Refused) as refused:
        manifest.read_named(manifest.encode(swapped), published.digest)
    assert refused.value.code == "bad_manifest"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"size_bytes": 10 * CHUNK}, "bad_manifest"),  # chunk 10 lies behind the end
        ({"size_bytes": 3 * CHUNK}, "bad_manifest"),  # more chunks than the size has
        ({"size_bytes": 0}, "bad_manifest"),
        ({"size_bytes": MAX_IMAGE_BYTES + 1}, "bad_manifest"),
        ({"size_bytes": (1 << 20) * CHUNK + 1}, "bad_manifest"),  # too many chunks
        ({"chunks": 3}, "bad_manifest"),
        ({"chunks": 5}, "bad_manifest"),
        ({"chunks": -1}, "bad_manifest"),
        ({"chunk_bytes": 0}, "bad_manifest"),
        ({"chunk_bytes": -CHUNK}, "bad_manifest"),
        ({"chunk_bytes": CHUNK - 1}, "bad_manifest"),
        ({"chunk_bytes": 2048}, "bad_manifest"),
        ({"chunk_bytes": 32 << 20}, "bad_manifest"),
        ({"root": "00" * 32}, "bad_manifest"),
        ({"format": 2}, "unknown_manifest_format"),
        ({"hash": "md5"}, "unknown_hash"),
        ({"image": "../etc"}, "bad_name"),
    ],
)
def test_a_signed_header_is_still_checked_against_its_list(
    publisher: Publisher, published: Manifest, changes: dict[str, object], code: str
) -> None:
    header = msgspec.structs.replace(published.header, **changes)
    assert refusal(publisher, manifest.encode(publisher.sign(header, published))) == code


def test_chunks_that_are_no_power_of_two_are_refused(publisher: Publisher) -> None:
    odd = a_manifest(publisher, [0], size_bytes=10 * CHUNK, chunk_bytes=3 * CHUNK)
    assert refusal(publisher, manifest.encode(odd)) == "bad_manifest"


def test_one_version_is_one_file_and_cannot_be_written_another_way(
    publisher: Publisher, published: Manifest
) -> None:
    signed = codec.encode(published.signed)
    spaced = signed.replace(b'"key":', b'"key": ', 1)
    arrays = manifest.encode(published)[-36 * len(published) :]
    data = b"VRASMAN1" + len(spaced).to_bytes(4, "little") + spaced + arrays
    assert refusal(publisher, data) == "bad_manifest"


@pytest.mark.parametrize("numbers", [[0, 4, 3, 10], [0, 3, 3, 10]])
def test_chunks_out_of_order_or_twice_are_refused(publisher: Publisher, numbers: list[int]) -> None:
    with pytest.raises(Refused) as refused:
        a_manifest(publisher, numbers, size_bytes=11 * CHUNK)
    assert refused.value.code == "bad_manifest"


def test_a_name_that_cannot_be_shown_safely_cannot_be_published(published: Manifest) -> None:
    with pytest.raises(Refused) as refused:
        manifest.build(
            "desk\u202etop",
            size_bytes=CHUNK,
            chunk_bytes=CHUNK,
            hash="blake3",
            numbers=array("I"),
            digests=b"",
            created=NOON,
        )
    assert refused.value.code == "bad_name"


def test_chunks_grow_with_the_disk_so_that_every_list_stays_short() -> None:
    assert chunk_bytes_for(1) == chunk_bytes_for(256 << 30) == CHUNK_BYTES
    assert chunk_bytes_for((256 << 30) + 1) == 2 * CHUNK_BYTES
    assert chunk_bytes_for(MAX_IMAGE_BYTES) == manifest.MAX_CHUNK_BYTES
