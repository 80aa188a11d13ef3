"""The user puts a version off, until the deadline; the server's hours and halts hold (row T4)."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace

from vrasnode.errors import Refused
from vrasnode.imaging.slots import Slot, Slots, Version
from vrasnode.machines.postponing import Postponing
from vrasnode.wire import codec
from vrasnode.wire.imaging import Apply, DeliveryReport, Health, ImagingSlice, Switch

NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)  # a Monday


class Pc:
    """A PC on which serial 7 is staged."""

    def __init__(self, directory: Path) -> None:
        self.now = NOON
        self.switch: Switch | None = None
        self.told: list[DeliveryReport] = []
        self.slots = Slots(directory)
        self.staged = Version(
            slot=Slot.B, manifest="b" * 64, serial=7, overlay="b", apply=Apply.NEXT_START, health=Health()
        )
        self.slots.boot = replace(self.slots.boot, next=self.staged)
        self.restart()

    def restart(self) -> None:
        self.rule = Postponing(
            self.slots,
            get_slice=lambda _app: codec.encode(ImagingSlice(assignment=None, switch=self.switch)),
            report=lambda report, _keep: self.told.append(report),
            now=lambda: self.now,
        )


@pytest.fixture
def pc(tmp_path: Path) -> Pc:
    return Pc(tmp_path)


def test_a_version_is_put_off_twice_and_the_third_time_forced_with_a_warning(pc: Pc) -> None:
    pc.switch = Switch(postponements=2, postpone_s=3600, deadline=NOON + timedelta(hours=3))
    for hours in (0, 1):
        pc.now = NOON + timedelta(hours=hours)
        pc.rule.postpone()
        assert not pc.rule.may(pc.staged)
        pc.restart()
        assert not pc.rule.may(pc.staged)

    with pytest.raises(Refused) as refused:
        pc.rule.postpone()

    assert refused.value.code == "no_more_putting_off"
    assert [report.postponed for report in pc.told] == [1, 2]
    pc.now = NOON + timedelta(hours=3)
    assert pc.rule.may(pc.staged)
    assert not pc.rule.due(pc.staged)
    assert "role=alert" in pc.rule.section("ja")
    pc.now += timedelta(seconds=pc.switch.warn_s)
    assert pc.rule.due(pc.staged)


def test_what_is_not_promised_a_choice_switches_at_once(pc: Pc) -> None:
    now = replace(pc.staged, apply=Apply.NOW)

    assert pc.rule.due(now)
    assert not pc.rule.due(pc.staged)
    with pytest.raises(Refused):
        pc.rule.postpone()


def test_a_halted_distribution_and_hours_hold_the_switch(pc: Pc) -> None:
    pc.switch = Switch(held=True)
    assert not pc.rule.may(pc.staged)

    pc.switch = Switch(windows=[(780, 840)])  # Monday 13 h to 14 h

    assert not pc.rule.may(pc.staged)
    pc.now += timedelta(hours=1)
    assert pc.rule.may(pc.staged)


def test_what_was_called_off_is_not_started(pc: Pc) -> None:
    assert not pc.slots.withdraw(6)

    assert pc.slots.withdraw(7)

    assert pc.slots.boot.next is None


def test_the_local_page_offers_it_and_its_button_does_it(pc: Pc) -> None:
    pc.switch = Switch(postponements=1)
    assert "<form method=post action=/postpone>" in pc.rule.section("en")

    [door] = pc.rule.doors().values()

    assert door("", "en")[0] == 303
    assert door("", "ja")[2].decode() == "これ以上延期できません。"
    assert "<form" not in pc.rule.section("en")
