"""For how long a gateway that gives nothing is waited for: the clock is the test's."""

import json

import pytest

from vrasnode.servicevm.guest.patience import Patience

AGAIN = "Load(<config/0000000000>, 0, 0) returned error, retrying after 720ms: dial tcp: i/o timeout"


class Waiting:
    """`say`: whether a line that comes so many seconds after the one before ends the patience."""

    def __init__(self) -> None:
        self.now = 0.0
        self.patience = Patience(30.0, still_s=180.0, clock=lambda: self.now)

    def say(self, after: float, line: str) -> bool:
        self.now += after
        return self.patience.is_over(line)


def status(**told: object) -> str:
    return json.dumps({"message_type": "status", **told})


def test_tries_that_each_take_longer_than_the_patience_end_it_all_the_same() -> None:
    waiting = Waiting()

    assert not waiting.say(31, AGAIN)  # a dial alone takes 30 s where packets vanish
    assert waiting.say(31, AGAIN)


def test_a_try_in_vain_now_and_then_ends_nothing_that_goes_on() -> None:
    waiting = Waiting()

    for done in range(20):
        assert not waiting.say(31, AGAIN)
        assert not waiting.say(31, status(bytes_done=done))


@pytest.mark.parametrize(
    ("line", "left"),
    [(status(bytes_done=2, seconds_elapsed=99), 180.0), (status(bytes_done=1, seconds_elapsed=99), 80.0)],
)
def test_only_what_moves_counts_as_movement(line: str, left: float) -> None:
    waiting = Waiting()
    waiting.say(0, status(bytes_done=1, seconds_elapsed=1))

    waiting.say(100, line)

    assert waiting.patience.left_s() == left
    assert not waiting.patience.still


def test_what_does_not_move_is_over_and_that_is_why() -> None:
    waiting = Waiting()
    waiting.say(0, status(bytes_done=1))

    waiting.now = 180.0

    assert waiting.patience.left_s() == 0
    assert waiting.patience.still
