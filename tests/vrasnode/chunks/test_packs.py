import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vrasnode.chunks import packs
from vrasnode.chunks.hashing import digest_of
from vrasnode.chunks.packs import Pack, PackBuilder, PackHasher, read_index
from vrasnode.errors import Refused
from vrasnode.wire.imaging import MAX_PACK_BYTES


def pack_of(frames: list[bytes]) -> tuple[Pack, dict[bytes, bytes]]:
    by_digest = {digest_of("blake3")(frame): frame for frame in frames}
    builder = PackBuilder()
    for digest, frame in by_digest.items():
        builder.add(digest, frame)
    return builder.finish(), by_digest


def body_of(pack: Pack) -> bytes:
    return b"".join(pack.parts)


@pytest.fixture
def written(tmp_path: Path) -> tuple[Pack, Path]:
    """A pack of twenty frames, and the file it was written to."""
    pack, _ = pack_of([b"frame %d" % number * (number + 1) for number in range(20)])
    path = tmp_path / "pack"
    path.write_bytes(body_of(pack))
    return pack, path


def name_of(body: bytes) -> str:
    hasher = PackHasher()
    hasher.update(body)
    return hasher.pack_id


def refusal(path: Path) -> str:
    with pytest.raises(Refused) as refused:
        read_index(path)
    return refused.value.code


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.binary(min_size=1, max_size=200), max_size=30))
def test_every_frame_is_found_again_by_its_digest(tmp_path: Path, frames: list[bytes]) -> None:
    pack, by_digest = pack_of(frames)
    path = tmp_path / "pack"
    path.write_bytes(body_of(pack))

    index = read_index(path)

    body = path.read_bytes()
    found = {digest: body[offset : offset + length] for digest, offset, length in index}
    assert found == by_digest
    assert all(index.find(digest) is not None and digest in index for digest in by_digest)
    assert index.find(bytes(32)) is None and index.find(b"\xff" * 32) is None
    assert (pack.size_bytes, pack.frames) == (len(body), len(index))


def test_the_same_frames_make_the_same_pack_and_its_name_is_the_hash_of_its_bytes(tmp_path: Path) -> None:
    pack, _ = pack_of([b"one", b"two"])
    again, _ = pack_of([b"one", b"two"])
    passing_by = PackHasher()
    for part in pack.parts:
        passing_by.update(part)
    (tmp_path / "pack").write_bytes(body_of(pack))

    assert pack.pack_id == again.pack_id == passing_by.pack_id
    assert passing_by.size_bytes == pack.size_bytes


def test_an_interrupted_pack_is_sent_on_from_any_byte(written: tuple[Pack, Path]) -> None:
    pack, _ = written
    body = body_of(pack)
    for offset in range(len(body) + 1):
        assert b"".join(pack.read_from(offset)) == body[offset:]


def test_a_pack_closes_before_it_passes_its_target() -> None:
    builder = PackBuilder(target_bytes=10_000)
    number = 0
    while builder.fits(bytes(1000)):
        builder.add(digest_of("blake3")(bytes([number])), bytes(1000))
        number += 1
    assert number == 9
    assert builder.size_bytes <= 10_000 < builder.size_bytes + 1000 + 40


def test_what_a_pack_cannot_hold_is_not_taken() -> None:
    builder = PackBuilder(target_bytes=1)
    assert builder.fits(b"frame")  # the first always: no frame is too long for every pack
    builder.add(bytes(32), b"frame")
    assert builder.full
    with pytest.raises(ValueError, match="does not belong"):
        builder.add(bytes(32), b"the same digest")
    with pytest.raises(ValueError, match="does not belong"):
        builder.add(b"\x01" * 32, b"")
    with pytest.raises(ValueError, match="does not belong"):
        builder.add(b"\x01" * 32, bytes(MAX_PACK_BYTES))


def test_a_flipped_byte_anywhere_is_found_by_the_packs_name(written: tuple[Pack, Path]) -> None:
    pack, path = written
    body = bytearray(path.read_bytes())
    for at in range(0, len(body), 37):
        body[at] ^= 1
        assert name_of(bytes(body)) != pack.pack_id
        body[at] ^= 1
    assert name_of(bytes(body)) == pack.pack_id


def test_an_index_is_taken_only_if_it_is_exactly_that_of_its_frames(written: tuple[Pack, Path]) -> None:
    _, path = written
    body = path.read_bytes()
    count, record = 20, 40
    start = len(body) - 12 - count * record

    def with_bytes(at: int, data: bytes) -> bytes:
        return body[:at] + data + body[at + len(data) :]

    damaged = {
        "magic": with_bytes(0, b"X"),
        "end magic": with_bytes(len(body) - 1, b"X"),
        "one record fewer": with_bytes(len(body) - 12, (count - 1).to_bytes(4, "little")),
        "one record more": with_bytes(len(body) - 12, (count + 1).to_bytes(4, "little")),
        "very many records": with_bytes(len(body) - 12, b"\xff\xff\xff\xff"),
        "order": with_bytes(start, body[start + record : start + 2 * record] + body[start : start + record]),
        "twice": with_bytes(start, body[start + record : start + record + 32]),
        "outside": with_bytes(start + 32, b"\xff\xff\xff\xff"),
        "length": with_bytes(start + 36, b"\x00\x00\x00\x00"),
        "gap": body[:start] + b"hidden" + body[start:],
        "cut": body[:-1],
        "head only": body[:15],
        "nothing": b"",
    }
    for what, data in damaged.items():
        path.write_bytes(data)
        assert refusal(path) == "bad_pack", what


def test_a_file_larger_than_any_pack_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "pack"
    head, frame_bytes = b"VRASPCK1", MAX_PACK_BYTES
    record = bytes(32) + (8).to_bytes(4, "little") + frame_bytes.to_bytes(4, "little")
    with path.open("wb") as file:
        file.write(head)
        file.seek(frame_bytes, os.SEEK_CUR)
        file.write(record + (1).to_bytes(4, "little") + b"VRASIDX1")
    assert refusal(path) == "bad_pack"


def test_an_index_is_read_from_an_open_file_and_leaves_it_open(written: tuple[Pack, Path]) -> None:
    _pack, path = written
    with path.open("rb") as file:
        assert len(read_index(file.fileno())) == 20
        assert file.read(8) == packs.PLAIN
