"""Two at once: the database decides, one wins, the other is told."""

from collections.abc import Callable
from datetime import datetime

import pytest

from clients.enrolment import enrolling
from clients.models import Client, Event, Group
from imaging import distributing
from imaging.models import Delivery, MasterImage
from tests.images import publish
from tests.pcs import FakePc
from tests.racing import at_once


@pytest.mark.django_db(transaction=True)
def test_of_two_administrators_who_decide_at_once_one_is_told(
    enrol: Callable[..., FakePc], now: datetime
) -> None:
    pc = enrol("pc-1", approved=False).client
    rows = [Client.objects.get(pk=pc.pk) for _ in range(4)]

    ends = at_once(*(lambda row=row: enrolling.approve(row, now=now) for row in rows))  # type: ignore[misc]

    assert sorted(ends) == ["", *["wrong_state"] * (len(ends) - 1)]
    assert Event.objects.filter(verb="client.approved").count() == 1


@pytest.mark.django_db(transaction=True)
def test_two_distributions_to_one_group_at_once_leave_one_assignment_a_pc(
    enrol: Callable[..., FakePc], desktop: MasterImage, sales: Group, now: datetime
) -> None:
    pcs = [enrol(f"pc-{number}", group=sales).client for number in range(3)]
    versions = [publish(desktop, text, now=now) for text in "ab"]

    ends = at_once(*(lambda v=v: distributing.start(v, sales, now=now) for v in versions))  # type: ignore[misc]

    assert ends == ["", ""]
    for pc in pcs:
        serials = Delivery.objects.filter(client=pc).order_by("serial").values_list("serial", "state")
        assert [(serial, state) for serial, state in serials] == [(1, "superseded"), (2, "waiting")]
    newest = {row.distribution_id for row in Delivery.objects.filter(serial=2)}
    assert len(newest) == 1
