"""The control port inside the virtual server: the host's end comes, goes, floods and falls silent."""

import itertools
import os
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.vrasnode.servicevm.conftest import Host
from vrasnode.servicevm.guest import port
from vrasnode.servicevm.guest.port import LinePort

Ends = tuple[LinePort, Host]


@pytest.fixture
def lines(ends: Ends) -> Iterator[Iterator[bytes]]:
    ends[1].connect()
    yield ends[0].lines()


def test_the_port_is_found_by_its_name_among_others(tmp_path: Path) -> None:
    for device, name in (("vport0p1", "org.qemu.guest_agent.0"), ("vport0p2", port.NAME)):
        (tmp_path / device).mkdir()
        (tmp_path / device / "name").write_text(f"{name}\n")

    assert port.find(ports=tmp_path, devices=Path("/dev")) == Path("/dev/vport0p2")
    assert port.find(ports=tmp_path / "vport0p1", devices=Path("/dev")) is None


def test_what_comes_in_pieces_is_one_line_and_empty_lines_are_none(ends: Ends) -> None:
    guest, host = ends
    host.connect()
    found = guest.lines()

    host.say(b"\n\nfirst\nsec")
    first = next(found)
    host.say(b"ond\n")

    assert (first, next(found)) == (b"first", b"second")


def test_half_a_line_of_a_host_that_went_is_not_the_beginning_of_the_next_ones(ends: Ends) -> None:
    guest, host = ends
    pauses: list[float] = []

    def pause(for_s: float) -> None:  # the host comes again while the guest waits for it
        pauses.append(for_s)
        host.connect()
        host.say(b"whole\n")

    guest._pause = pause
    host.connect()
    host.say(b"first\nhalf a li")
    found = guest.lines()
    assert next(found) == b"first"

    host.disconnect()

    assert next(found) == b"whole"
    assert pauses == [port.ABSENT_S]


def test_a_line_that_is_too_long_is_left_out_and_the_next_one_is_read(ends: Ends, aside) -> None:
    guest, host = ends
    host.connect()
    heard = aside(lambda: list(itertools.islice(guest.lines(), 2)))

    host.say(b"before\n" + b"x" * (3 * port.MAX_LINE_BYTES) + b"\n")
    host.say(b"after\n")

    assert heard.get(timeout=60) == [b"before", b"after"]


def test_an_answer_that_no_host_takes_is_dropped_after_a_while(tmp_path: Path) -> None:
    reading, writing = os.pipe2(os.O_NONBLOCK)
    passed = itertools.count(step=port.TAKE_S)  # each look at the clock is that much later
    guest = LinePort(reading, writing, clock=lambda: next(passed))
    try:
        taken = [guest.send(b"x" * (256 << 10)) for _ in range(40)]  # more than any pipe holds
    finally:
        os.close(reading)
        os.close(writing)

    assert taken[-1] is False


def test_an_answer_to_a_host_that_is_gone_is_dropped_at_once(tmp_path: Path) -> None:
    reading, writing = os.pipe2(os.O_NONBLOCK)
    os.close(reading)
    try:
        assert LinePort(writing, writing).send(b"answer") is False
    finally:
        os.close(writing)


def test_a_flood_without_an_end_takes_no_memory(ends: Ends, monkeypatch: pytest.MonkeyPatch) -> None:
    guest, _host = ends
    pieces = itertools.chain([b"before\n"], itertools.repeat(b"x" * port.READ_BYTES, 200), [b"\nafter\n"])
    monkeypatch.setattr(guest, "_read", lambda: next(pieces))

    tracemalloc.start()
    found = list(itertools.islice(guest.lines(), 2))
    _now, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert found == [b"before", b"after"]
    assert most < 4 * port.MAX_LINE_BYTES
