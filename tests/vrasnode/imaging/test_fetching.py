"""Frames as they come, at the rate that the server allows."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from vrasnode.chunks.framemap import FrameRange
from vrasnode.errors import Refused, Unreachable
from vrasnode.imaging.fetching import BURST_S, Body, Fetcher, Throttle
from vrasnode.wire.imaging import Fetch

PACK = bytes(range(256))
FETCH = Fetch(manifest_path="/m", frames_path="/f", packs_path="/p/", rate_bytes_s=None, connections=2)


class Shelf:
    """A source with one pack."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, int, int]] = []

    def manifest(self, path: str) -> bytes:
        return path.encode()

    def frames(self, path: str) -> bytes:
        return path.encode()

    @contextmanager
    def open_range(self, path: str, *, start: int, length: int, dscp: int = 0) -> Iterator[Body]:
        self.asked.append((path, start, length))
        self.marked = dscp
        data = iter(PACK[start : start + length])

        class Bytes:
            def read(self, count: int) -> bytes:
                return bytes(next(data) for _ in range(count))

        yield Bytes()


class Time:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def pause(self, seconds: float) -> None:
        self.now += seconds


def fetcher(shelf: Shelf, fetch: Fetch = FETCH, stop: threading.Event | None = None) -> Fetcher:
    return Fetcher(shelf, fetch, clock=Time(), stop=stop or threading.Event())


def test_frames_come_with_everyone_who_wants_them_and_gaps_are_passed_over() -> None:
    shelf = Shelf()
    wanted = FrameRange("pack", 10, 40, [(3, 0, 10), (7, 0, 10), (4, 15, 5), (9, 30, 10)])

    found = list(fetcher(shelf).frames(wanted))

    assert found == [([3, 7], PACK[10:20]), ([4], PACK[25:30]), ([9], PACK[40:50])]
    assert shelf.asked == [("/p/pack", 10, 40)]


def test_frames_that_overlap_are_a_list_that_lies() -> None:
    wanted = FrameRange("pack", 0, 40, [(1, 0, 20), (2, 10, 20)])

    with pytest.raises(Refused) as refused:
        list(fetcher(Shelf()).frames(wanted))

    assert refused.value.code == "bad_frame_map"


def test_a_stop_ends_a_range_in_its_middle() -> None:
    stop = threading.Event()
    frames = fetcher(Shelf(), stop=stop).frames(FrameRange("pack", 0, 40, [(1, 0, 20), (2, 20, 20)]))
    next(frames)

    stop.set()

    with pytest.raises(Unreachable):
        next(frames)


def test_a_new_permission_counts_from_the_next_range_on() -> None:
    shelf = Shelf()
    transfer = fetcher(shelf)
    wanted = FrameRange("pack", 0, 10, [(1, 0, 10)])
    list(transfer.frames(wanted))

    transfer.fetch = Fetch(
        manifest_path="/m", frames_path="/f", packs_path="/other/", rate_bytes_s=5, connections=2
    )
    list(transfer.frames(wanted))

    assert [path for path, _, _ in shelf.asked] == ["/p/pack", "/other/pack"]


def test_bytes_pass_at_the_rate_whatever_their_sizes() -> None:
    time = Time()
    throttle = Throttle(1000, clock=time, pause=time.pause)

    for count in (500, 10, 990, 1500, 2000):
        throttle.take(count)
    throttle.take(0)

    assert time.now - 100.0 == pytest.approx(5.0, abs=BURST_S)


def test_a_pause_gives_no_right_to_catch_up() -> None:
    time = Time()
    throttle = Throttle(1000, clock=time, pause=time.pause)
    time.now += 3600

    throttle.take(1000)
    throttle.take(1000)

    assert time.now - 3700.0 >= 1.0 - BURST_S


def test_a_rate_may_be_changed_or_lifted_at_any_time() -> None:
    time = Time()
    throttle = Throttle(1, clock=time, pause=time.pause)

    throttle.rate_bytes_s = None
    throttle.take(1 << 30)

    assert time.now == 100.0


@pytest.mark.parametrize(("rate", "connections"), [(None, 4), (1000, 1), (10 << 20, 2), (1 << 30, 4)])
def test_a_low_rate_needs_few_connections(rate: int | None, connections: int) -> None:
    fetch = Fetch(manifest_path="/m", frames_path="/f", packs_path="/p/", rate_bytes_s=rate, connections=4)

    assert fetcher(Shelf(), fetch).connections == connections
