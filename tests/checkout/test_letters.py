"""Mail about checkout: who gets which, and how often at most."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core import mail
from django.utils import timezone

from checkout import deciding, sweeping, writing
from checkout.models import CheckoutRequest, Letter
from tests.checkout.asking import DAY, tell
from tests.pcs import FakePc
from vrasnode.wire.checkout import LeaseState

pytestmark = pytest.mark.django_db
State = CheckoutRequest.State


@pytest.fixture(autouse=True)
def post_office(settings: Any, sato: User, mori: User, admin: User) -> None:
    """Everybody has an address, and there is a server for mail."""
    settings.EMAIL_HOST, settings.ALLOWED_HOSTS = "mail.example", ["vras.example", "testserver"]
    for user in (sato, mori, admin):
        User.objects.filter(pk=user.pk).update(email=f"{user.username}@example.co.jp")
        user.refresh_from_db()


def sweep(now: datetime) -> list[tuple[str, str]]:
    """To whom what was sent by now."""
    mail.outbox = []
    writing.write(now=now)
    writing.send(now=now)
    return [(one.to[0], one.subject) for one in mail.outbox]


def test_an_approver_is_asked_once_by_a_link_that_asks_for_the_password(
    asked: CheckoutRequest, now: datetime
) -> None:
    (sent,) = sweep(now)
    body = mail.outbox[0].body

    assert sent[0] == "mori@example.co.jp"
    assert f"https://vras.example/approvals/{asked.pk}/?from=mail" in body
    assert "承認" in body
    assert sweep(now) == []


def test_the_requester_hears_how_it_was_decided(asked: CheckoutRequest, mori: User, now: datetime) -> None:
    sweep(now)
    deciding.reject(asked, by=mori, words="客先名がありません", now=now)

    (sent,) = sweep(now)

    assert sent[0] == "sato@example.co.jp"
    assert "客先名がありません" in mail.outbox[0].body


def test_what_waits_comes_as_one_digest_on_a_working_day_at_most(
    asked: CheckoutRequest, now: datetime
) -> None:
    sweep(now)
    monday = timezone.make_aware(datetime(2026, 11, 30, 9, 0))  # noqa: DTZ001
    CheckoutRequest.objects.update(waits_since=monday - 4 * DAY, ends=monday + DAY, asked_ends=monday + DAY)

    early, first, again = (
        sweep(monday - timedelta(hours=1)),
        sweep(monday),
        sweep(monday + timedelta(hours=3)),
    )
    sunday = sweep(monday - DAY)

    assert (early, again, sunday) == ([], [], [])
    assert [to for to, _subject in first] == ["mori@example.co.jp"]


def test_what_is_not_back_is_told_to_the_user_then_the_administrator(
    lent: CheckoutRequest, pc: FakePc, now: datetime
) -> None:
    tell(pc, str(lent.lease.pk), LeaseState.READY)  # type: ignore[union-attr]
    sweep(now)
    sweeping.pass_deadlines(now=lent.ends)

    at_once, later = sweep(lent.ends), sweep(lent.ends + 10 * DAY)

    assert [to for to, _subject in at_once] == ["sato@example.co.jp"]
    assert [to for to, _subject in later] == ["admin@example.co.jp"]
    # The directory names no manager of a local account: that is kept, and not asked for again and again.
    assert Letter.objects.filter(key__contains=" manager ", to="").count() == 1


def test_a_mail_that_cannot_be_sent_waits(
    asked: CheckoutRequest, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_args: object) -> None:
        raise ConnectionRefusedError

    with monkeypatch.context() as patch:
        patch.setattr(writing.EmailMessage, "send", away)
        assert sweep(now) == []

    assert [to for to, _subject in sweep(now)] == ["mori@example.co.jp"]
