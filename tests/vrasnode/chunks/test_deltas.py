"""A chunk told by pieces of an older version: small, exact, and nothing that a hostile one can cost."""

import random
from array import array
from collections.abc import Callable

import pytest
import zstandard

from vrasnode.chunks import deltamap, deltas, framemap
from vrasnode.chunks.deltamap import DeltaMap
from vrasnode.errors import Refused

PIECE = 4096
BASE = random.Random(1).randbytes(16 * PIECE)
CHUNK = BASE[PIECE + 100 : 4 * PIECE + 100] + b"and something new" + BASE[: PIECE - 17]


def piece(number: int) -> bytes:
    return BASE[number * PIECE : (number + 1) * PIECE]


def delta_of(chunk: bytes, *numbers: int) -> bytes:
    return deltas.make_delta(chunk, [(number, piece(number)) for number in numbers])


def refusal(delta: bytes, *, raw_bytes: int = len(CHUNK)) -> str:
    with pytest.raises(Refused) as refused:
        deltas.open_delta(delta, raw_bytes, piece_bytes=PIECE, read=piece)
    return refused.value.code


def test_a_chunk_that_moved_is_a_few_bytes_and_opens_as_it_was() -> None:
    delta = delta_of(CHUNK, 0, 1, 2, 3, 4)

    assert len(delta) < 200
    assert deltas.open_delta(delta, len(CHUNK), piece_bytes=PIECE, read=piece) == CHUNK


def test_a_base_that_turned_bad_never_gives_more_than_the_chunk() -> None:
    delta = delta_of(CHUNK, 0, 1, 2, 3, 4)

    opened = deltas.open_delta(delta, len(CHUNK), piece_bytes=PIECE, read=lambda number: bytes(PIECE))

    assert len(opened) == len(CHUNK) and opened != CHUNK


def test_what_is_no_delta_frame_is_refused_before_anything_is_read_or_allocated() -> None:
    sound = delta_of(CHUNK, 1)
    too_many = (deltas.MAX_DICTIONARY_BYTES // PIECE + 1).to_bytes(2, "little")
    bomb = zstandard.ZstdCompressor().compress(bytes(1 << 30))

    assert refusal(b"") == refusal(b"\x01") == refusal(sound[:5]) == "bad_frame"
    assert refusal(too_many + bytes(1 << 16)) == "bad_frame"
    assert refusal(b"\x00\x00" + bomb) == "bad_frame"
    assert refusal(sound, raw_bytes=len(CHUNK) + 1) == refusal(sound[:-3]) == "bad_frame"
    assert refusal(sound + b"more") == "bad_frame"


def test_the_map_says_what_it_said_and_lies_over_the_plain_one() -> None:
    plain = framemap.build([("aa" * 32, 8, 100), ("aa" * 32, 108, 100), ("bb" * 32, 8, 50)])
    made = DeltaMap(
        "cc" * 32, PIECE, array("I", [0, 2]), framemap.build([("dd" * 32, 8, 9), ("dd" * 32, 17, 7)])
    )

    read = deltamap.decode(deltamap.encode(made), base="cc" * 32, chunks=3, chunk_bytes=1 << 18)
    laid, flags = read.laid_over(plain, but={2})

    assert (read.piece_bytes, len(read)) == (PIECE, 2)
    assert [laid.place(entry) for entry in range(3)] == [("dd" * 32, 8, 9), plain.place(1), plain.place(2)]
    assert list(flags) == [1, 0, 0]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: data[:20],
        lambda data: b"VRASFRM1" + data[8:],
        lambda data: data[:8] + bytes(32) + data[40:],  # another base
        lambda data: data[:40] + bytes(4) + data[44:],  # pieces of no bytes
        lambda data: data[:44] + (5).to_bytes(4, "little") + data[48:],
        lambda data: data[:48] + data[52:56] + data[48:52] + data[56:],  # not in order
        lambda data: data[:-1],
    ],
)
def test_a_map_that_cannot_be_right_is_refused(spoil: Callable[[bytes], bytes]) -> None:
    made = DeltaMap(
        "cc" * 32, PIECE, array("I", [0, 2]), framemap.build([("dd" * 32, 8, 9), ("dd" * 32, 17, 7)])
    )

    with pytest.raises(Refused) as refused:
        deltamap.decode(spoil(deltamap.encode(made)), base="cc" * 32, chunks=3, chunk_bytes=1 << 18)

    assert refused.value.code in ("bad_delta_map", "bad_frame_map")
