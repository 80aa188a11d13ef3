"""Two at once about one volume: the database decides, and nothing is open that somebody closed."""

import secrets
from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from clients.models import Event
from mydoc.models import Opening, Volume
from mydoc.volumes import unlocking
from tests.mydoc.unlockingpc import UnlockingPc
from tests.pcs import FakePc
from tests.racing import at_once
from vrasnode.wire.mydoc import KeyRequest

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("custodians")]


@pytest.fixture
def desk(pc: FakePc) -> UnlockingPc:
    return UnlockingPc(pc, timezone.now())


def test_a_nonce_that_two_show_at_once_is_good_for_one(desk: UnlockingPc, sato: User, kato: User) -> None:
    def show(user: User) -> Callable[[], object]:
        return lambda: desk.log_on(user, nonce="a" * 32)

    ends = at_once(*(show(user) for user in (sato, kato, sato, kato)))

    assert sorted(ends) == ["", *["nonce_used"] * 3]
    assert Opening.objects.count() == 1


def test_logons_at_once_leave_one_volume_with_one_of_them(desk: UnlockingPc, sato: User) -> None:
    ends = at_once(*(lambda: desk.log_on(sato, nonce=secrets.token_hex(16)) for _ in range(4)))

    assert set(ends) <= {"", "nonce_used"}
    assert "" in ends
    assert Volume.objects.count() == 1
    assert Opening.objects.current().count() == 1


def test_a_key_that_is_given_while_the_volume_is_closed_leaves_it_closed(
    desk: UnlockingPc, sato: User
) -> None:
    for _round in range(5):
        opening = desk.log_on(sato)
        row = Opening.objects.get(pk=opening.pk)
        request = KeyRequest(
            volume=str(opening.volume_id),
            session=str(opening.pk),
            reply_key=desk.key.public_key().public_bytes_raw(),
        )

        at_once(
            lambda request=request: unlocking.give_key(desk.pc.client, request, now=desk.now),  # type: ignore[misc]
            lambda row=row: unlocking.close(row, reason="by_hand", now=desk.now),  # type: ignore[misc]
        )

        assert Opening.objects.get(pk=opening.pk).state == Opening.State.CLOSED
        assert desk.wish().session == ""
    assert Event.objects.filter(verb="opening.closed").count() == 5
