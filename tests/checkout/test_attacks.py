"""What somebody tries at the server who wants a key without the approvals that it takes. All is refused."""

import base64
import json
from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from django.contrib.auth.models import Group as Roles
from django.contrib.auth.models import User
from django.core import serializers
from django.db import IntegrityError, transaction
from django.utils import timezone

from checkout import approvers, chaining, deciding, lending, requesting, sweeping
from checkout.approvers import Asked
from checkout.chaining import Link, Terms
from checkout.models import CheckoutRequest, Deputy, Kind, Lease, RequestStep
from clients.enrolment import enrolling
from clients.errors import Refusal, WrongState
from clients.models import Client, Event, Group
from clients.people.rolenames import Role
from mydoc.models import Volume
from tests.checkout.asking import DAY, slice_of, tell, wish
from tests.pcs import FakePc
from vrasnode.wire.checkout import LeaseState

pytestmark = pytest.mark.django_db
State = CheckoutRequest.State


@pytest.fixture
def two_steps(sales: Group, mori: User, being: Callable[..., User]) -> User:
    """Mori, then the information security officer Ueda, who is returned."""
    ueda = being("ueda", Role.APPROVER)
    chain = (Link(Kind.PERSON, person=mori), Link(Kind.PERSON, person=ueda))
    chaining.save(sales, Terms(software=False, max_days=31, chain=chain), reason="two pairs of eyes")
    return ueda


def stands_in(deputy: User, *, of: User, now: datetime, days: int = 0) -> None:
    day = timezone.localtime(now).date() + timedelta(days=days)
    Deputy.objects.create(principal=of, deputy=deputy, starts=day, ends=day, created_by="test")


def refused(request: CheckoutRequest, by: User, now: datetime) -> str:
    """The code of the refusal; no key came of it."""
    with pytest.raises(Refusal) as caught:
        deciding.approve(request, by=by, now=now)
    assert not Lease.objects.exists()
    return caught.value.code


def make(user: User, *roles: Role) -> None:
    user.groups.add(*(Roles.objects.get_or_create(name=role.value)[0] for role in roles))


def test_nobody_approves_their_own_request_whatever_they_are(
    asked: CheckoutRequest, sato: User, now: datetime
) -> None:
    make(sato, Role.APPROVER, Role.ADMINISTRATOR)

    assert refused(asked, sato, now) == "own_request"


def test_the_requester_does_not_decide_in_an_approvers_place(
    asked: CheckoutRequest, sato: User, mori: User, now: datetime
) -> None:
    stands_in(sato, of=mori, now=now)

    assert refused(asked, sato, now) == "own_request"


def test_nobody_decides_in_the_requesters_place_when_that_is_an_approver(
    asked: CheckoutRequest, sato: User, kato: User, now: datetime
) -> None:
    make(sato, Role.APPROVER)
    stands_in(kato, of=sato, now=now)

    assert refused(asked, kato, now) == "not_the_approver"


def test_a_deputy_decides_on_their_days_only_and_never_in_a_deputys_place(
    asked: CheckoutRequest, mori: User, kato: User, being: Callable[..., User], now: datetime
) -> None:
    far = being("far", Role.EMPLOYEE)
    stands_in(kato, of=mori, now=now, days=-1)
    stands_in(kato, of=mori, now=now, days=1)
    stands_in(far, of=kato, now=now)
    assert refused(asked, kato, now) == "not_the_approver"

    stands_in(kato, of=mori, now=now)
    assert refused(asked, far, now) == "not_the_approver"

    deciding.approve(asked, by=kato, now=now)
    step = asked.steps.get()
    assert (step.decided_by, step.instead_of) == (kato, mori)


def test_a_chain_that_leads_to_the_requester_takes_no_request(
    lendable: Volume, sales: Group, sato: User, now: datetime
) -> None:
    chaining.save(
        sales, Terms(software=False, max_days=31, chain=(Link(Kind.PERSON, person=sato),)), reason="x"
    )

    with pytest.raises(Refusal, match="own_chain"):
        requesting.submit(lendable, wish(now), by=sato, now=now)


def test_a_pc_that_changes_its_group_in_between_takes_no_approval_of_the_old_one(
    asked: CheckoutRequest, mori: User, now: datetime
) -> None:
    lax = Group.objects.create(name="lax")
    enrolling.regroup(asked.client, lax, now=now)
    request = CheckoutRequest.objects.get(pk=asked.pk)

    assert refused(request, mori, now) == "group_changed"


def test_a_pc_that_changes_its_group_after_the_approval_gets_no_key(
    lendable: Volume, sato: User, mori: User, pc: FakePc, now: datetime
) -> None:
    far = wish(now, starts=now + 10 * DAY, ends=now + 11 * DAY)
    request = requesting.submit(lendable, far, by=sato, now=now)
    deciding.approve(request, by=mori, now=now)
    enrolling.regroup(Client.objects.get(pk=pc.client.pk), Group.objects.create(name="strict"), now=now)

    sweeping.sweep(now=now + 4 * DAY)

    request.refresh_from_db()
    assert (request.state, request.obstacle, slice_of(pc)) == (State.PERMITTED, "group_changed", [])


def test_a_chain_that_is_made_shorter_in_between_does_not_shorten_what_was_submitted(  # noqa: PLR0917
    two_steps: User, asked: CheckoutRequest, sales: Group, mori: User, pc: FakePc, now: datetime
) -> None:
    revision = chaining.of(sales).revision
    chaining.save(
        sales, Terms(software=False, max_days=31, chain=(Link(Kind.ROLE),), revision=revision), reason="x"
    )

    deciding.approve(asked, by=mori, now=now)

    assert (asked.state, slice_of(pc)) == (State.WAITING, [])
    assert asked.current_step is not None
    assert asked.current_step.person == two_steps


def test_one_person_does_not_approve_two_steps(
    two_steps: User, asked: CheckoutRequest, mori: User, now: datetime
) -> None:
    deciding.approve(asked, by=mori, now=now)
    stands_in(mori, of=two_steps, now=now)

    assert refused(asked, mori, now) == "approved_before"


def test_the_second_step_does_not_come_first(two_steps: User, asked: CheckoutRequest, now: datetime) -> None:
    assert refused(asked, two_steps, now) == "not_the_approver"


def test_an_approver_who_lost_the_role_or_the_account_decides_nothing(
    asked: CheckoutRequest, mori: User, kato: User, now: datetime
) -> None:
    stands_in(kato, of=mori, now=now)
    mori.groups.clear()
    assert refused(asked, mori, now) == "not_the_approver"
    assert refused(asked, kato, now) == "not_the_approver"

    make(mori, Role.APPROVER)
    User.objects.filter(pk=mori.pk).update(is_active=False)
    assert refused(asked, User.objects.get(pk=mori.pk), now) == "not_the_approver"


def test_an_approval_that_comes_twice_counts_once(  # noqa: PLR0917
    lendable: Volume, sales: Group, sato: User, mori: User, being: Callable[..., User], now: datetime
) -> None:
    """The form was sent twice; the same approver would be meant at the next step as well."""
    being("ueda", Role.APPROVER)
    terms = Terms(software=False, max_days=31, chain=(Link(Kind.ROLE), Link(Kind.ROLE)))
    chaining.save(sales, terms, reason="two pairs of eyes")
    asked = requesting.submit(lendable, wish(now), by=sato, now=now)
    assert asked.current_step is not None
    seen = asked.current_step.pk
    deciding.approve(asked, by=mori, now=now, seen=seen)

    with pytest.raises(Refusal) as caught:
        deciding.approve(asked, by=mori, now=now, seen=seen)

    assert caught.value.code == "decided"
    assert (asked.steps_done, asked.state) == (1, State.WAITING)


def test_of_two_who_decide_from_the_same_page_one_does(
    asked: CheckoutRequest,
    mori: User,
    being: Callable[..., User],
    now: datetime,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    other, stale = being("other", Role.APPROVER), CheckoutRequest.objects.get(pk=asked.pk)
    plain = approvers.in_whose_place

    def slow(step: RequestStep, user: User, *, asked: Asked, now: datetime) -> User | None:
        monkeypatch.setattr(approvers, "in_whose_place", plain)
        deciding.reject(stale, by=mori, words="no", now=now)  # meanwhile
        return plain(step, user, asked=asked, now=now)

    monkeypatch.setattr(approvers, "in_whose_place", slow)

    with pytest.raises(WrongState):
        deciding.approve(asked, by=other, now=now)
    assert CheckoutRequest.objects.get().state == State.REJECTED


def test_an_approval_after_the_withdrawal_is_refused(
    asked: CheckoutRequest, sato: User, mori: User, now: datetime
) -> None:
    stale = CheckoutRequest.objects.get(pk=asked.pk)
    requesting.withdraw(asked, by=sato, now=now)

    assert refused(stale, mori, now) == "wrong_state"


def test_a_withdrawn_or_returned_request_is_never_lent_again(
    lent: CheckoutRequest, sato: User, pc: FakePc, now: datetime
) -> None:
    requesting.give_back(lent, by=sato, now=now)
    lease = lent.lease
    assert lease is not None

    tell(pc, str(lease.pk), LeaseState.READY)  # a replay
    sweeping.sweep(now=now)

    assert [one.key for one in slice_of(pc)] == [None]
    with pytest.raises(WrongState):
        requesting.give_back(lent, by=sato, now=now)


def everybody_else_is_refused(others: tuple[User, ...], act: Callable[[User], object]) -> None:
    for other in others:
        with pytest.raises(Refusal, match="not_yours"):
            act(other)


def test_nobody_asks_for_withdraws_or_returns_what_is_somebody_elses(
    asked: CheckoutRequest, mori: User, kato: User, admin: User, now: datetime
) -> None:
    others = (kato, admin)
    everybody_else_is_refused(others, lambda by: requesting.submit(asked.volume, wish(now), by=by, now=now))
    everybody_else_is_refused(others, lambda by: requesting.withdraw(asked, by=by, now=now))
    deciding.approve(asked, by=mori, now=now)
    everybody_else_is_refused(others, lambda by: requesting.give_back(asked, by=by, now=now))

    assert CheckoutRequest.objects.get().state == State.LENT


def test_nobody_mends_somebody_elses_request(
    asked: CheckoutRequest, mori: User, kato: User, admin: User, now: datetime
) -> None:
    deciding.send_back(asked, by=mori, words="which customer?", now=now)

    everybody_else_is_refused((kato, admin), lambda by: requesting.mend(asked, wish(now), by=by, now=now))

    assert CheckoutRequest.objects.get().state == State.SENT_BACK


def test_what_is_mended_begins_at_the_first_step_again(  # noqa: PLR0917
    two_steps: User, asked: CheckoutRequest, sato: User, mori: User, pc: FakePc, now: datetime
) -> None:
    deciding.approve(asked, by=mori, now=now)
    deciding.send_back(asked, by=two_steps, words="which customer?", now=now)

    requesting.mend(asked, wish(now, purpose="another purpose"), by=sato, now=now)

    assert (asked.state, asked.steps_done, asked.current_step.person) == (State.WAITING, 0, mori)  # type: ignore[union-attr]
    assert refused(asked, two_steps, now) == "not_the_approver"


def test_an_approver_makes_the_period_shorter_and_never_longer(
    asked: CheckoutRequest, mori: User, now: datetime
) -> None:
    with pytest.raises(Refusal, match="bad_period"):
        deciding.approve(asked, by=mori, now=now, ends=asked.ends + DAY)

    deciding.approve(asked, by=mori, now=now, ends=now + DAY)

    assert asked.lease is not None
    assert (asked.lease.ends, asked.asked_ends) == (now + DAY, now + 3 * DAY)


def test_two_requests_about_the_same_days_are_refused(
    asked: CheckoutRequest, lendable: Volume, sato: User, now: datetime
) -> None:
    with pytest.raises(Refusal, match="overlaps"):
        requesting.submit(lendable, wish(now, starts=now + DAY), by=sato, now=now)


def test_a_second_key_of_one_volume_waits_for_the_first_to_end(
    lent: CheckoutRequest, lendable: Volume, sato: User, mori: User, now: datetime
) -> None:
    later = wish(now, starts=now + 4 * DAY, ends=now + 5 * DAY)
    second = requesting.submit(lendable, later, by=sato, now=now)

    deciding.approve(second, by=mori, now=now)

    second.refresh_from_db()
    assert (second.state, second.obstacle, Lease.objects.count()) == (State.PERMITTED, "lent_before", 1)


def row(request: CheckoutRequest, **changed: object) -> Lease:
    so = {
        "request": request,
        "volume": request.volume,
        "client": request.client,
        "serial": 99,
        "starts": request.starts,
        "ends": request.ends,
        "issued_at": request.starts,
        "key": b"forged",
    }
    return Lease(**{**so, **changed})


def test_the_database_itself_takes_no_key_without_a_decision_at_each_step(
    two_steps: User, asked: CheckoutRequest, mori: User, now: datetime
) -> None:
    deciding.approve(asked, by=mori, now=now)
    with pytest.raises(IntegrityError, match="approved_at_each_step"), transaction.atomic():
        CheckoutRequest.objects.filter(pk=asked.pk).update(state=State.PERMITTED)
    # Whoever writes a lie into the counters is found out by the steps.
    CheckoutRequest.objects.filter(pk=asked.pk).update(state=State.PERMITTED, steps_done=2)

    with pytest.raises(IntegrityError, match="needs_decisions"), transaction.atomic():
        row(asked).save(force_insert=True)
    assert not Lease.objects.exists()


def test_the_database_itself_takes_no_own_decision_and_none_that_changes(
    asked: CheckoutRequest, sato: User, mori: User, now: datetime
) -> None:
    with pytest.raises(IntegrityError, match="their_own_request"), transaction.atomic():
        RequestStep.objects.update(decision="approved", decided_by=sato, decided_at=now)
    with pytest.raises(IntegrityError, match="requesters_place"), transaction.atomic():
        RequestStep.objects.update(decision="approved", decided_by=mori, instead_of=sato, decided_at=now)
    deciding.reject(asked, by=mori, words="no", now=now)

    with pytest.raises(IntegrityError, match="decision_is_final"), transaction.atomic():
        RequestStep.objects.update(decision="approved")


def test_the_database_itself_takes_one_current_key_of_a_volume_and_no_longer_one_than_approved(
    lent: CheckoutRequest, now: datetime
) -> None:
    for forged in (row(lent), row(lent, ends=lent.ends + DAY), row(lent, serial=1)):
        with pytest.raises(IntegrityError), transaction.atomic():
            forged.save(force_insert=True)
    with pytest.raises(IntegrityError), transaction.atomic():
        Lease.objects.update(ended="", ended_at=now)


def test_no_secret_is_in_any_row_or_log(  # noqa: PLR0917
    asked: CheckoutRequest,
    mori: User,
    pc: FakePc,
    now: datetime,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    secret = bytes(range(100, 132))
    monkeypatch.setattr(lending.secrets, "token_bytes", lambda count: secret)
    caplog.set_level("DEBUG")

    deciding.approve(asked, by=mori, now=now)

    assert Lease.objects.count() == 1
    rows = [
        *Event.objects.all(),
        *CheckoutRequest.objects.all(),
        *Lease.objects.all(),
        *RequestStep.objects.all(),
    ]
    said = serializers.serialize("json", rows) + caplog.text + pc.get("/node/v1/desired").content.decode()
    said += "".join(repr(one.__dict__) for one in rows)
    # Base64 inside of base64 is looked through as well.
    deeper = bytes(Lease.objects.get().key).decode()
    payload = base64.b64decode(json.loads(deeper)["payload"]).decode()
    everything = said + deeper + payload
    assert payload.startswith("{")
    for form in (
        secret.hex(),
        base64.b64encode(secret).decode(),
        secret.decode("latin-1"),
        repr(secret)[2:-1],
    ):
        assert form not in everything
