"""Two at once, each in a transaction of their own: the database decides, and no key comes of a lost race.

On SQLite they queue at its one lock; tests/test_postgresql.py runs them on rows that are held one by one.
"""

from collections.abc import Callable
from datetime import datetime

import pytest
from django.contrib.auth.models import User

from checkout import chaining, deciding, requesting
from checkout.chaining import Link, Terms
from checkout.models import CheckoutRequest, Kind, Lease
from clients.models import Group
from clients.people.rolenames import Role
from mydoc.models import Volume
from tests.checkout.asking import wish
from tests.racing import at_once

pytestmark = pytest.mark.django_db(transaction=True)
State = CheckoutRequest.State


def again(request: CheckoutRequest) -> CheckoutRequest:
    return CheckoutRequest.objects.get(pk=request.pk)


def test_of_two_who_approve_the_same_step_one_does(  # noqa: PLR0917
    lendable: Volume, sato: User, mori: User, being: Callable[..., User], sales: Group, now: datetime
) -> None:
    ueda = being("ueda", Role.APPROVER)
    chain = (Link(Kind.ROLE), Link(Kind.ROLE))
    chaining.save(sales, Terms(software=False, max_days=31, chain=chain), reason="two pairs of eyes")
    asked = requesting.submit(lendable, wish(now), by=sato, now=now)
    assert asked.current_step is not None
    seen = asked.current_step.pk

    ends = at_once(
        lambda: deciding.approve(again(asked), by=mori, now=now, seen=seen),
        lambda: deciding.approve(again(asked), by=ueda, now=now, seen=seen),
    )

    assert sorted(ends) == ["", "decided"]
    assert again(asked).steps_done == 1
    assert not Lease.objects.exists()


def test_a_withdrawal_and_the_last_approval_at_once_leave_no_key_of_a_withdrawn_request(
    asked: CheckoutRequest, sato: User, mori: User, now: datetime
) -> None:
    ends = at_once(
        lambda: deciding.approve(again(asked), by=mori, now=now),
        lambda: requesting.withdraw(again(asked), by=sato, now=now),
    )

    assert "" in ends
    withdrawn = ends[1] == ""
    found = (again(asked).state, Lease.objects.current().count())
    assert found == ((State.WITHDRAWN, 0) if withdrawn else (State.LENT, 1))


def test_an_approval_and_a_rejection_at_once_are_one_decision(
    asked: CheckoutRequest, mori: User, being: Callable[..., User], now: datetime
) -> None:
    ueda = being("ueda", Role.APPROVER)

    ends = at_once(
        lambda: deciding.approve(again(asked), by=mori, now=now),
        lambda: deciding.reject(again(asked), by=ueda, words="no", now=now),
    )

    assert ends.count("") == 1
    row = again(asked)
    assert (row.state, Lease.objects.count()) in ((State.LENT, 1), (State.REJECTED, 0))


def test_the_same_days_are_asked_for_once(lendable: Volume, sato: User, now: datetime) -> None:
    ends = at_once(*[lambda: requesting.submit(lendable, wish(now), by=sato, now=now)] * 2)

    assert sorted(ends) == ["", "overlaps"]
    assert CheckoutRequest.objects.count() == 1
