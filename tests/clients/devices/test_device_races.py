"""Two who are at one device policy, or one PC's reports, at the same moment."""

from collections.abc import Callable
from datetime import datetime

import pytest

from clients.devices import policing
from clients.devices.policing import Draft
from clients.models import DeviceRule, Event, Group
from tests.clients.devices.test_policing import event, rule
from tests.pcs import FakePc
from tests.racing import at_once
from vrasnode.wire.devices import DevicesReport

pytestmark = pytest.mark.django_db(transaction=True)


def test_of_four_administrators_who_save_at_once_three_are_told(sales: Group, now: datetime) -> None:
    def saving(note: str) -> Callable[[], object]:
        draft = Draft(rules=[rule(note=note)])
        return lambda: policing.save(sales, draft, revision=0, reason="", now=now)

    ends = at_once(*(saving(note) for note in "abcd"))

    assert sorted(ends) == ["", *["policy_changed"] * 3]
    assert DeviceRule.objects.count() == 1
    assert Event.objects.filter(verb="group.policy_changed").count() == 1


def test_a_report_that_comes_twice_at_once_is_recorded_once(pc: FakePc, now: datetime) -> None:
    report = DevicesReport(policy="", events=[event(number) for number in range(1, 6)])

    ends = at_once(*(lambda: policing.hear(pc.client, report, now=now) for _ in range(3)))

    assert ends == ["", "", ""]
    assert Event.objects.filter(verb="device.attached").count() == 5
