"""PCs that share a version over real TLS sockets."""

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.vrasnode.office import Keys
from tests.vrasnode.swarm.cast import Crowd, SwarmPc, Version
from vrasnode import lowpriority
from vrasnode.errors import Refused
from vrasnode.swarm import session as sharing
from vrasnode.swarm.engine import MOST_STRANGERS
from vrasnode.swarm.relay import CREDIT_PIECES
from vrasnode.swarm.session import Session

PIECES = 60


@pytest.fixture
def crowd(tmp_path: Path) -> Iterator[Crowd]:
    """An installation; its PCs' sessions end with the test."""
    crowd = Crowd(tmp_path, Version(PIECES))
    yield crowd
    for pc in crowd.hired:
        if pc.session:
            pc.session.close()


def finish(*pcs: SwarmPc, within_s: float = 20) -> None:
    """Returns when these have everything."""
    stop = threading.Event()
    timer = threading.Timer(within_s, stop.set)
    timer.start()
    try:
        for pc in pcs:
            assert pc.session is not None
            pc.session.wait(stop)
            assert pc.whole, pc.name
    finally:
        timer.cancel()


def wait(so: Callable[[], bool], *, within_s: float = 10) -> None:
    deadline = time.monotonic() + within_s
    while not so():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def slowly(pc: SwarmPc, *, piece_s: float = 0.01) -> SwarmPc:
    """The server sends it a piece every so often."""
    pc.before = lambda _piece: time.sleep(piece_s)
    return pc


def meeting(one: SwarmPc, other: SwarmPc) -> Session:
    """The session of the first of two that share by now."""
    session = one.open()
    other.open()
    wait(lambda: session.peers == 1)
    return session


def test_three_pcs_get_everything_and_the_server_sends_each_piece_about_once(crowd: Crowd) -> None:
    pcs = [slowly(crowd.pc(number)) for number in range(3)]

    for pc in pcs:
        pc.open()
    finish(*pcs)

    got = [piece for pc in pcs for piece in pc.from_server]
    assert set(got) == set(range(PIECES))
    assert len(got) < 1.5 * PIECES  # once each, but where the machine was so slow that one was missed


def test_what_comes_while_two_pcs_greet_each_other_is_told_too(crowd: Crowd) -> None:
    own, other = slowly(crowd.pc(0), piece_s=0.1), crowd.pc(1)
    other.before = lambda _piece: wait(lambda: other.knows_somebody)

    own.open()
    own.dawdle(0.2)
    other.open()
    finish(own, other)

    assert sorted(own.from_server + other.from_server) == list(range(PIECES))


def test_whoever_comes_late_needs_no_server(crowd: Crowd) -> None:
    first, late = crowd.pc(0), crowd.pc(1)
    first.open()
    finish(first)

    late.open()
    finish(late)

    assert late.from_server == []
    assert late.session is not None
    assert late.session.counted.peer_bytes == sum(map(len, crowd.version.frames))


def test_what_a_pc_has_from_the_version_before_is_made_into_frames_again(crowd: Crowd) -> None:
    old, new = crowd.pc(0, have=set(range(PIECES))), crowd.pc(1)
    old.open()
    new.open()

    finish(new)

    assert set(new.from_server) & old.have == set(new.from_server)
    assert new.whole


def test_a_peer_that_sends_wrong_bytes_is_left_and_named(crowd: Crowd) -> None:
    liar, honest, other = crowd.pc(0), slowly(crowd.pc(1)), slowly(crowd.pc(2))
    liar.open()
    liar.lie()
    for pc in (honest, other):
        pc.open()

    finish(honest, other)

    wait(lambda: bool(crowd.tracker.wrong))
    assert {accused for _, accused in crowd.tracker.wrong} == {liar.name}


def test_a_pc_of_another_installation_is_not_spoken_to(crowd: Crowd) -> None:
    own, stranger = slowly(crowd.pc(0)), crowd.pc(1, by=Keys())
    own.open()
    stranger.open()

    finish(own, stranger)  # each with the server alone

    assert own.session is not None
    assert own.session.counted.peer_bytes == 0


def test_a_pc_with_another_key_than_the_server_knows_is_not_spoken_to(crowd: Crowd) -> None:
    own, other = slowly(crowd.pc(0)), crowd.pc(1)
    crowd.tracker.keys[other.name] = "ab" * 32
    own.open()
    other.open()

    finish(own, other)

    assert own.session is not None
    assert own.session.counted.peer_bytes == 0


def test_lines_of_strangers_are_few_however_many_call(crowd: Crowd) -> None:
    own, other = slowly(crowd.pc(0)), slowly(crowd.pc(1))
    session = own.open()
    port = session._engine.port

    with ExitStack() as strangers:
        for _ in range(3 * MOST_STRANGERS):
            strangers.enter_context(socket.create_connection(("127.0.0.1", port)))
        wait(lambda: len(session._engine._peerings) >= MOST_STRANGERS)
        other.open()
        finish(own, other)
        known = session.peers

        assert known == 1
        assert len(session._engine._peerings) <= known + MOST_STRANGERS


def test_a_peer_that_asks_without_end_holds_nobody_up(crowd: Crowd) -> None:
    flooder, *others = [slowly(crowd.pc(number)) for number in range(3)]
    for pc in (flooder, *others):
        pc.open()
    assert flooder.session is not None
    flooder.flood()

    finish(*others)


def test_a_pc_that_was_revoked_in_the_middle_is_spoken_to_no_more(crowd: Crowd) -> None:
    own, other = slowly(crowd.pc(0)), slowly(crowd.pc(1))
    session = meeting(own, other)

    crowd.tracker.revoke(other.name)

    wait(lambda: session.peers == 0)
    finish(own)


def test_a_pc_that_goes_away_with_pieces_under_way_stops_nobody(crowd: Crowd) -> None:
    pcs = [slowly(crowd.pc(number), piece_s=0.03) for number in range(3)]
    gone, *others = pcs
    for pc in pcs:
        pc.open()
    wait(lambda: len(gone.from_server) >= 2)

    assert gone.session is not None
    gone.session.close()

    finish(*others)


def test_while_the_server_is_away_peers_go_on(crowd: Crowd) -> None:
    first, second = crowd.pc(0), crowd.pc(1)
    first.open()
    finish(first)
    second.open()
    assert second.session is not None
    session = second.session
    wait(lambda: session.peers == 1)
    crowd.tracker.down = True

    finish(second)


def test_on_battery_a_pc_gets_everything_and_gives_nothing(crowd: Crowd) -> None:
    mains, battery = slowly(crowd.pc(0)), crowd.pc(1)
    battery.sends = False
    battery.open()
    mains.open()

    finish(mains, battery)

    assert mains.session is not None
    assert mains.session.counted.peer_bytes == 0


def test_what_a_pc_gives_from_now_on_all_are_told(crowd: Crowd) -> None:
    other, pc = slowly(crowd.pc(0), piece_s=0.1), crowd.pc(1)
    other.open()
    pc.open()
    assert crowd.tracker.members[pc.name].sends

    pc.sends = False

    wait(lambda: not crowd.tracker.members[pc.name].sends)


def test_a_pc_that_others_left_waits_until_they_are_done_and_then_goes_on_alone(
    crowd: Crowd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sharing, "STILL_S", 1.5)  # that it is held counts as a word of the server
    left, other = slowly(crowd.pc(0), piece_s=0.05), slowly(crowd.pc(1), piece_s=0.1)
    session = meeting(left, other)

    crowd.tracker.distrust(left.name)

    wait(lambda: session.peers == 0)
    here = len(left.from_server)
    assert here < PIECES
    finish(other)
    assert len(left.from_server) <= here + CREDIT_PIECES  # what it had been given to get
    with pytest.raises(Refused):
        session.wait(threading.Event())


def test_after_detaching_nothing_is_written_any_more(crowd: Crowd) -> None:
    pc = slowly(crowd.pc(0), piece_s=0.05)
    session = pc.open()
    wait(lambda: len(pc.got) >= 2)

    session.detach()

    here = len(pc.got)
    time.sleep(0.2)
    assert len(pc.got) == here


def test_what_pcs_give_each_other_gives_way_and_keeps_to_the_rate(crowd: Crowd) -> None:
    pcs = [crowd.pc(number) for number in range(2)]

    sessions = [pc.open(upload_bytes_s=3_000_000, dscp=lowpriority.LOWER_EFFORT) for pc in pcs]
    wait(lambda: all(session.peers == 1 for session in sessions))

    for session in sessions:
        listener = session._engine._listener  # what it accepts has the same from its first packet on
        assert listener.getsockopt(socket.IPPROTO_IP, socket.IP_TOS) == 0x04
        assert listener.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS) == 0x04
        (peering,) = session._engine._peerings
        with socket.socket(fileno=os.dup(peering.line.fileno())) as line:
            assert lowpriority.pace_of(line) == 3_000_000
            assert line.getsockopt(socket.IPPROTO_IP, socket.IP_TOS) == 0x04
