import os

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from vrasnode.chunks.frames import make_frame, new_compressor, open_frame
from vrasnode.errors import Refused

CHUNK = 256 << 10
TEXT = b"the same words again and again " * 1000


def frame_of(data: bytes) -> bytes:
    return make_frame(data, new_compressor())


def refusal(frame: bytes, raw_bytes: int) -> str:
    with pytest.raises(Refused) as refused:
        open_frame(frame, raw_bytes)
    return refused.value.code


@given(
    st.one_of(st.binary(min_size=1, max_size=3000), st.binary(min_size=1, max_size=20).map(lambda b: b * 100))
)
def test_a_frame_gives_the_chunk_back_and_is_never_longer(chunk: bytes) -> None:
    frame = frame_of(chunk)
    assert len(frame) <= len(chunk)
    assert open_frame(memoryview(frame), len(chunk)) == chunk


def test_what_does_not_get_smaller_is_stored_as_it_is() -> None:
    photo = os.urandom(CHUNK)
    assert frame_of(photo) == photo
    assert len(frame_of(TEXT)) < len(TEXT) // 10


def test_a_bomb_that_says_its_size_is_refused_before_anything_is_allocated() -> None:
    bomb = zstandard.ZstdCompressor().compress(bytes(1 << 30))
    assert len(bomb) < CHUNK
    assert refusal(bomb, CHUNK) == "bad_frame"

    magic, single_segment_of_8_bytes, a_block = b"\x28\xb5\x2f\xfd", b"\xe0", b"\x0b\x00\x00x"
    a_petabyte = magic + single_segment_of_8_bytes + (1 << 50).to_bytes(8, "little") + a_block
    assert zstandard.get_frame_parameters(a_petabyte).content_size == 1 << 50
    assert refusal(a_petabyte, CHUNK) == "bad_frame"


def test_a_bomb_that_hides_its_size_is_refused() -> None:
    bomb = zstandard.ZstdCompressor(write_content_size=False).compress(bytes(64 << 20))
    assert refusal(bomb, CHUNK) == "bad_frame"


def test_a_bomb_that_lies_about_its_size_is_refused() -> None:
    frame = bytearray(zstandard.ZstdCompressor().compress(bytes(1 << 20)))
    at = frame.index((1 << 20).to_bytes(4, "little"))
    frame[at : at + 4] = CHUNK.to_bytes(4, "little")
    assert zstandard.get_frame_parameters(bytes(frame)).content_size == CHUNK
    assert refusal(bytes(frame), CHUNK) == "bad_frame"


def test_another_size_a_second_frame_or_anything_behind_it_is_refused() -> None:
    frame = frame_of(TEXT)
    assert refusal(frame, len(TEXT) - 1) == "bad_frame"
    assert refusal(frame, len(TEXT) + 1) == "bad_frame"
    assert refusal(frame + frame, len(TEXT)) == "bad_frame"
    assert refusal(frame + b"\x00", len(TEXT)) == "bad_frame"
    assert refusal(b"", len(TEXT)) == "bad_frame"
    longer_than_its_chunk = zstandard.ZstdCompressor().compress(os.urandom(CHUNK))
    assert len(longer_than_its_chunk) > CHUNK
    assert refusal(longer_than_its_chunk, CHUNK) == "bad_frame"


@given(st.data())
def test_a_cut_or_flipped_frame_never_opens_to_more_than_the_chunk(data: st.DataObject) -> None:
    frame = bytearray(frame_of(TEXT))
    frame[data.draw(st.integers(0, len(frame) - 1))] ^= data.draw(st.integers(1, 255))
    damaged = bytes(frame[: data.draw(st.integers(1, len(frame)))])
    try:
        assert len(open_frame(damaged, len(TEXT))) == len(TEXT)  # the digest decides then
    except Refused as error:
        assert error.code == "bad_frame"
