import pytest
from hypothesis import given
from hypothesis import strategies as st

from vrasnode.chunks import framemap
from vrasnode.chunks.framemap import FrameMap
from vrasnode.errors import Refused
from vrasnode.wire.imaging import MAX_PACK_BYTES

PACKS = [digit * 64 for digit in "abc"]
CHUNK = 4096

places = st.tuples(st.sampled_from(PACKS), st.integers(0, 40_000), st.integers(1, CHUNK))


def back_to_back(count: int, *, length: int = 1000) -> FrameMap:
    return framemap.build((PACKS[0], 8 + index * length, length) for index in range(count))


def refusal(data: bytes, *, chunks: int) -> str:
    with pytest.raises(Refused) as refused:
        framemap.decode(data, chunks=chunks, chunk_bytes=CHUNK)
    return refused.value.code


@given(st.lists(places, max_size=40))
def test_a_map_reads_back_as_it_was_written(given_places: list[tuple[str, int, int]]) -> None:
    data = framemap.encode(framemap.build(given_places))
    read = framemap.decode(data, chunks=len(given_places), chunk_bytes=CHUNK)
    assert [read.place(index) for index in range(len(read))] == given_places


@given(st.lists(places, max_size=40), st.data(), st.integers(0, 3000), st.integers(1, 20_000))
def test_ranges_hold_every_wanted_frame_once_and_little_else(
    given_places: list[tuple[str, int, int]], data: st.DataObject, gap: int, most: int
) -> None:
    frames = framemap.build(given_places)
    wanted = data.draw(st.lists(st.sampled_from(range(len(frames))), unique=True)) if given_places else []

    ranges = list(frames.ranges(wanted, gap_bytes=gap, max_bytes=most))

    held = {}
    for each in ranges:
        for index, offset, length in each.entries:
            held[index] = (each.pack_id, each.start + offset, length)
            assert offset >= 0 and offset + length <= each.length
        assert each.length <= max(most, *(length for _, _, length in each.entries))
    assert held == {index: given_places[index] for index in wanted}
    assert sum(len(each.entries) for each in ranges) == len(wanted)


def test_an_update_in_one_run_is_few_requests() -> None:
    frames = back_to_back(1000)
    ranges = list(frames.ranges(range(1000), max_bytes=400_000))
    assert [(each.start, each.length) for each in ranges] == [
        (8, 400_000),
        (400_008, 400_000),
        (800_008, 200_000),
    ]


def test_a_short_gap_is_fetched_along_and_a_long_one_is_not() -> None:
    frames = back_to_back(100)
    assert [each.length for each in frames.ranges([1, 3], gap_bytes=1000)] == [3000]
    assert [each.length for each in frames.ranges([1, 3], gap_bytes=999)] == [1000, 1000]


def test_a_frame_that_several_entries_want_is_fetched_once() -> None:
    frames = framemap.build([(PACKS[0], 8, 100), (PACKS[0], 108, 50), (PACKS[0], 8, 100)])
    (only,) = frames.ranges([0, 1, 2])
    assert (only.start, only.length) == (8, 150)
    assert sorted(only.entries) == [(0, 0, 100), (1, 100, 50), (2, 0, 100)]


def test_a_frame_longer_than_a_range_is_a_range_of_its_own_for_all_who_want_it() -> None:
    frames = framemap.build([(PACKS[0], 8, 100), (PACKS[0], 8, 100), (PACKS[0], 108, 100)])
    ranges = list(frames.ranges([0, 1, 2], max_bytes=10))
    assert [(each.start, each.length, len(each.entries)) for each in ranges] == [(8, 100, 2), (108, 100, 1)]


def test_a_map_that_points_outside_is_refused() -> None:
    good = back_to_back(3)
    assert framemap.decode(framemap.encode(good), chunks=3, chunk_bytes=CHUNK).place(2) == (
        PACKS[0],
        2008,
        1000,
    )

    assert refusal(framemap.encode(good), chunks=4) == "bad_frame_map"
    for places_ in (
        [(PACKS[0], 0, CHUNK + 1)],
        [(PACKS[0], 0, 0)],
        [(PACKS[0], MAX_PACK_BYTES - 1, 2)],
        [(PACKS[0], (1 << 32) - 1, 1)],
    ):
        assert refusal(framemap.encode(framemap.build(places_)), chunks=1) == "bad_frame_map"
    unlisted = FrameMap([PACKS[0]], good.packs, good.offsets, good.lengths)
    unlisted.packs[1] = 1
    assert refusal(framemap.encode(unlisted), chunks=3) == "bad_frame_map"


def test_a_map_cut_or_continued_at_any_byte_is_refused() -> None:
    data = framemap.encode(back_to_back(3))
    for length in range(len(data)):
        assert refusal(data[:length], chunks=3) == "bad_frame_map"
    assert refusal(data + b"\x00", chunks=3) == "bad_frame_map"
    many_packs = data[:8] + (1 << 31).to_bytes(4, "little") + data[12:]
    assert refusal(many_packs, chunks=3) == "bad_frame_map"
