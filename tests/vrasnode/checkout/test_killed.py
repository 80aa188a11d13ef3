"""An agent that dies at any write of its state, between pick-up and end: the next one goes on, nothing opens
that should not, and no slot is left behind."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.vrasnode.checkout.cast import PIN, LeasePc
from vrasnode.checkout.state import Kept
from vrasnode.wire.checkout import LeaseState

pytestmark = pytest.mark.slow


class Killed(BaseException):
    """The process is gone: nothing of it tidies up."""


def dying_at(pc: LeasePc, write: int, *, before: bool) -> None:
    """The agent dies at this write of its state: before it is on the disk, or just after."""
    state, left = pc.checkout._state, [write]
    assert state is not None
    really: Callable[..., None] = state.put

    def put(kept: Kept, **how: Any) -> None:
        left[0] -= 1
        if left[0] < 0 or (left[0] == 0 and before):
            raise Killed
        really(kept, **how)
        if left[0] == 0:
            raise Killed

    state.put = put  # type: ignore[method-assign]


def lives_through(pc: LeasePc, act: Callable[[], None]) -> bool:
    """Whether the act came to its end."""
    try:
        act()
    except Killed:
        return False
    return True


@pytest.mark.parametrize("before", [True, pytest.param(False, marks=pytest.mark.soak)])
def test_picked_up_wholly_or_not_at_all(before: bool, pc: LeasePc) -> None:
    wish = pc.opened()
    ended, write = False, 0
    while not ended:
        lease, write = pc.lend(wish.volume), write + 1
        dying_at(pc, write, before=before)
        ended = lives_through(pc, lambda lease=lease: pc.checkout.pick_up(lease, PIN))  # type: ignore[misc]
        pc.restart()
        pc.step()
        report = pc.lease(lease)
        assert report.state in (LeaseState.OFFERED, LeaseState.READY)
        assert pc.has_slot(wish.volume) is (report.state is LeaseState.READY)
        if not ended:
            pc.end(lease)
            pc.until(lambda lease=lease: pc.lease(lease).state is LeaseState.ENDED)  # type: ignore[misc]

    assert write > 3
    assert report.state is LeaseState.READY


@pytest.mark.parametrize("before", [True, pytest.param(False, marks=pytest.mark.soak)])
def test_what_was_meant_to_end_ends(before: bool, pc: LeasePc) -> None:
    wish = pc.opened()
    ended, write = False, 0
    while not ended:
        lease, write = pc.lend(wish.volume), write + 1
        pc.checkout.pick_up(lease, PIN)

        def returned(lease: str = lease) -> None:
            pc.checkout.give_back(lease)
            pc.checkout.step()

        dying_at(pc, write, before=before)
        ended = lives_through(pc, returned)
        pc.restart()
        pc.step()
        meant = write > 1 or not before
        assert (pc.lease(lease).state is LeaseState.ENDED) is (meant or ended)
        if not meant:
            pc.checkout.give_back(lease)
            pc.until(lambda lease=lease: pc.lease(lease).state is LeaseState.ENDED)  # type: ignore[misc]
        assert pc.lease(lease).slot_gone
        assert pc.is_dead_by_key(wish.volume)

    assert write > 2
