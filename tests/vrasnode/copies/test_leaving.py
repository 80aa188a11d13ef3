"""The client VM was shut down by its user: what is waited for, how long, and that the PC goes off."""

from collections.abc import Iterator

import pytest

from vrasnode.copies.leaving import CUT_OFF_S, OFF_AGAIN_S, OFFLINE_S, TELL_S, Leaving
from vrasnode.wire.replication import Occasion, ReplicationSlice, RunReport, RunState

VOLUME, RUN = "6f9619ff-8b86-4d01-b42d-00cf4fc964ff", "0b6f2e0e-9a5b-4a83-8d6c-0a5f6b8f3a11"
HOLD_S = 120


class Copying:
    """Replicas: one volume, copied when the test says so."""

    def __init__(self) -> None:
        self.said = ReplicationSlice(volumes=[], gateway="https://g", hold_s=HOLD_S)
        self.progress: RunReport | None = None
        self.under_way = False
        self.waiting: dict[str, Occasion] = {}
        self.left = ""

    def begin(self, volume: str, occasion: Occasion) -> bool:
        self.waiting[volume] = occasion
        self.under_way = True
        self.progress = RunReport(
            volume=volume, run=RUN, state=RunState.RUNNING, done_bytes=30, total_bytes=100
        )
        return True

    def waits_for(self, volume: str) -> bool:
        return volume in self.waiting

    def leave(self, why: str) -> None:
        self.left, self.waiting = why, {}

    def end(self) -> None:
        self.waiting, self.under_way, self.progress = {}, False, None


class Pc:
    """The part with what it needs; every step is a second."""

    def __init__(self) -> None:
        self.copying, self.now, self.off = Copying(), 1000.0, 0
        self.shown: list[str] = []
        self.open, self.reachable, self.told, self.pressed = [VOLUME], True, True, False
        self.part = self.make(switches_off=True)

    def make(self, *, switches_off: bool) -> Leaving:
        return Leaving(
            copying=self.copying,
            open_volumes=lambda: self.open,
            reachable=lambda: self.reachable,
            told=lambda: self.told,
            show=self.shown.append,
            pressed=lambda: self.pressed,
            power_off=self._switch_off if switches_off else None,
            clock=lambda: self.now,
        )

    def _switch_off(self) -> None:
        self.off += 1

    def pass_time(self, seconds: float) -> None:
        until = self.now + seconds
        while self.now < until:
            self.now += 1
            self.part.step()


@pytest.fixture
def pc() -> Iterator[Pc]:
    yield Pc()


def test_the_pc_is_switched_off_once_all_is_copied(pc: Pc) -> None:
    assert pc.part.ended()
    pc.pass_time(30)
    assert pc.off == 0
    assert pc.copying.waiting == {VOLUME: Occasion.SHUTDOWN}

    pc.copying.end()
    pc.pass_time(3)

    assert (pc.off, pc.copying.left) == (1, "")


def test_it_says_on_the_screen_how_far_it_is_in_both_languages(pc: Pc) -> None:
    pc.part.ended()
    pc.pass_time(5)

    assert "30 %" in pc.shown[-1]
    assert "30%" in pc.shown[-1]
    assert pc.part.hold is not None
    assert (pc.part.hold.left_s, pc.part.hold.done_bytes) == (HOLD_S - 5, 30)


@pytest.mark.parametrize("how", ["key", "page", "bound", "offline"])
def test_what_is_not_copied_in_time_is_cut_off_and_the_pc_goes_off_all_the_same(pc: Pc, how: str) -> None:
    pc.part.ended()
    pc.pass_time(10)
    pc.pressed = how == "key"
    pc.reachable = how != "offline"
    if how == "page":
        pc.part.leave_now()

    pc.pass_time({"bound": HOLD_S, "offline": OFFLINE_S + 1}.get(how, 2))
    pc.copying.end()
    pc.pass_time(2)

    assert pc.copying.left == ("hold_over" if how in ("bound", "offline") else "left_now")
    assert pc.off == 1


def test_nothing_keeps_a_pc_on_for_ever(pc: Pc) -> None:
    pc.told = False  # the server never hears how it ended
    pc.part.ended()  # and the run never ends

    pc.pass_time(HOLD_S + CUT_OFF_S + TELL_S + 2)

    assert pc.off == 1
    pc.pass_time(OFF_AGAIN_S + 1)
    assert pc.off == 2


def test_without_an_open_volume_or_a_nas_nothing_is_waited_for(pc: Pc) -> None:
    pc.open = []

    pc.part.ended()
    pc.pass_time(3)

    assert pc.off == 1


def test_who_said_before_that_they_do_not_wait_is_not_held_back(pc: Pc) -> None:
    pc.part.leave_now()

    pc.part.ended()
    pc.pass_time(3)

    assert (pc.off, pc.copying.waiting) == (1, {})


def test_a_company_that_copies_nothing_at_shutdown_says_so(pc: Pc) -> None:
    pc.copying.said = ReplicationSlice(volumes=[], gateway="https://g", at_shutdown=False)

    pc.part.ended()
    pc.pass_time(3)

    assert (pc.off, pc.copying.waiting) == (1, {})


def test_a_pc_that_is_not_to_switch_itself_off_starts_its_desktop_again(pc: Pc) -> None:
    pc.part = pc.make(switches_off=False)

    assert not pc.part.ended()
    pc.pass_time(10)

    assert pc.off == 0
