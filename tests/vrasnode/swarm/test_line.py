"""One connection between two PCs, with what comes in pieces of any size."""

import select
import socket
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from tests.vrasnode.swarm.cast import Crowd, Version
from vrasnode.swarm.line import Line, Said
from vrasnode.wire.swarm import Kind

PIECE_BYTES = 85_000


class Wire:
    """Two lines, and between them whoever carries their bytes, a few at a time."""

    def __init__(self, crowd: Crowd) -> None:
        self.says, one = _line(crowd.pc(0), dialled=True)
        self.hears, two = _line(crowd.pc(1), dialled=False)
        self.ends = {one: two, two: one}
        self.heard: list[Said] = []
        self.woken = 0
        while not (self.says.shaken and self.hears.shaken):
            for line in (self.says, self.hears):
                line.shaken or line.shake()
            self.carry(1 << 20)

    def carry(self, count: int) -> bool:
        """So many bytes at most in each direction; whether there were any."""
        moved = False
        for end, other in self.ends.items():
            if select.select([end], [], [], 0.01)[0]:
                other.sendall(end.recv(count))
                moved = True
        return moved

    def listen(self) -> None:
        if select.select([self.hears], [], [], 0)[0]:
            self.woken += 1
            self.heard += self.hears.hear()


def _line(pc: object, *, dialled: bool) -> tuple[Line, socket.socket]:
    answer, dial = pc.papers.contexts()  # type: ignore[attr-defined]
    with socket.create_server(("127.0.0.1", 0)) as listener:
        near = socket.create_connection(listener.getsockname())
        far, whose = listener.accept()
        while whose != near.getsockname():  # somebody who looks for whoever had the port before
            far.close()
            far, whose = listener.accept()
    far.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return Line(near, dial if dialled else answer, dialled=dialled, max_body=1 << 20), far


@pytest.fixture
def wire(tmp_path: Path) -> Iterator[Wire]:
    """Two PCs that know each other."""
    wire = Wire(Crowd(tmp_path, Version(1)))
    yield wire
    for line in (wire.says, wire.hears):
        line.close()
    for end in wire.ends:
        end.close()


def test_whatever_is_said_is_heard_however_it_comes(wire: Wire) -> None:
    random = Random(3)
    said = [random.randbytes(random.choice((0, 1, 40, 16_371, 16_372, 16_373, 40_000))) for _ in range(60)]

    for number, body in enumerate(said):
        wire.says.say(Kind.PIECE, number=number, body=body)
        wire.says.flush()
        while wire.carry(random.choice((1, 4, 5, 1000, 16_000, 100_000)) if number % 9 == 0 else 20_011):
            wire.says.flush()
            wire.listen()
    wire.listen()

    assert [(one.number, bytes(one.body)) for one in wire.heard] == list(enumerate(said))


def test_a_piece_that_comes_bit_by_bit_wakes_nobody_until_enough_of_it_is_here(wire: Wire) -> None:
    wire.says.say(Kind.PIECE, body=bytes(PIECE_BYTES))
    wire.says.flush()

    steps = 0
    while wire.carry(1500):
        steps += 1
        wire.listen()

    assert [len(one.body) for one in wire.heard] == [PIECE_BYTES]
    assert steps > 50
    assert wire.woken <= 20
