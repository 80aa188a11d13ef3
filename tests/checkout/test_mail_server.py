"""Mail about checkout through a real SMTP server: what arrives, at whom, how often, and what does not."""

import email
import email.policy
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from email.message import EmailMessage
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session
from django.contrib.auth.models import User
from django.utils import timezone

from checkout import deciding, sweeping, writing
from checkout.models import CheckoutRequest, Lease, Letter
from tests.checkout.asking import DAY, tell
from tests.pcs import FakePc
from vrasnode.wire.checkout import LeaseState

pytestmark = pytest.mark.django_db


@dataclass
class PostOffice:
    """A mail server. It refuses whom it does not know for good, and everybody while it is `full`."""

    unknown: set[str] = field(default_factory=set)
    full: bool = False
    got: list[EmailMessage] = field(default_factory=list)

    async def handle_RCPT(
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        if address in self.unknown:
            return "550 5.1.1 no such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:
        if self.full:
            return "452 4.3.1 no room"
        data = envelope.content
        assert isinstance(data, bytes)
        message = email.message_from_bytes(data, policy=email.policy.default)
        assert isinstance(message, EmailMessage)
        assert [message["To"]] == envelope.rcpt_tos
        self.got.append(message)
        return "250 OK"

    def new(self) -> list[EmailMessage]:
        got, self.got = self.got, []
        return got


@pytest.fixture
def office(settings: Any, sato: User, mori: User, admin: User) -> Iterator[PostOffice]:
    """Everybody has an address, and the server is told where mail goes, as an operator would."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    handler = PostOffice()
    controller = Controller(handler, hostname="127.0.0.1", port=port)
    controller.start()
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", port
    settings.ALLOWED_HOSTS = ["vras.example", "testserver"]
    for user in (sato, mori, admin):
        User.objects.filter(pk=user.pk).update(email=f"{user.username}@example.co.jp")
        user.refresh_from_db()
    yield handler
    controller.stop()


def sweep(office: PostOffice, now: datetime) -> list[EmailMessage]:
    """What arrived since the last sweep."""
    writing.write(now=now)
    writing.send(now=now)
    return office.new()


def body(message: EmailMessage) -> str:
    return str(message.get_content())


def test_the_approver_is_asked_at_once_and_the_requester_told_at_once(
    office: PostOffice, asked: CheckoutRequest, mori: User, now: datetime
) -> None:
    (asks,) = sweep(office, now)
    deciding.approve(asked, by=mori, now=now)
    (tells,) = sweep(office, now)

    assert (asks["To"], tells["To"]) == ("mori@example.co.jp", "sato@example.co.jp")
    subject = str(asks["Subject"]).strip()
    assert subject == "持出し申請の承認をお願いします / A checkout waits for your approval"
    assert f"https://vras.example/approvals/{asked.pk}/?from=mail" in body(asks)
    assert "大阪支店" in body(asks)
    assert asks.get_content_charset() == "utf-8"
    assert asks["Message-ID"] != tells["Message-ID"]
    assert sweep(office, now) == []


def test_no_mail_holds_a_key(office: PostOffice, lent: CheckoutRequest, now: datetime) -> None:
    key = bytes(Lease.objects.get().key)

    raw = b"".join(bytes(message) for message in sweep(office, now))

    assert raw
    for start in range(0, len(key) - 12, 6):
        assert key[start : start + 12] not in raw
        assert key[start : start + 12].hex().encode() not in raw


def test_the_digest_comes_once_on_a_working_day_and_names_all_that_waits(
    office: PostOffice, asked: CheckoutRequest, now: datetime
) -> None:
    sweep(office, now)
    monday = timezone.make_aware(datetime(2026, 11, 30, 9, 0))  # noqa: DTZ001
    CheckoutRequest.objects.update(waits_since=monday - 4 * DAY, ends=monday + DAY, asked_ends=monday + DAY)

    sunday, early = sweep(office, monday - DAY), sweep(office, monday - timedelta(hours=1))
    (digest,) = sweep(office, monday)
    later = sweep(office, monday + timedelta(hours=3))

    assert (sunday, early, later) == ([], [], [])
    assert digest["To"] == "mori@example.co.jp"
    assert f"#{asked.pk}" in body(digest)
    assert "https://vras.example/approvals/" in body(digest)


def test_what_is_not_back_is_told_to_the_user_and_then_to_administrators(
    office: PostOffice, lent: CheckoutRequest, pc: FakePc, now: datetime
) -> None:
    assert lent.lease is not None
    tell(pc, str(lent.lease.pk), LeaseState.READY)
    sweep(office, now)
    sweeping.pass_deadlines(now=lent.ends)

    at_once, later = sweep(office, lent.ends), sweep(office, lent.ends + 10 * DAY)

    assert [message["To"] for message in at_once] == ["sato@example.co.jp"]
    assert [message["To"] for message in later] == ["admin@example.co.jp"]


def test_an_address_that_the_mail_server_does_not_know_holds_up_nobody_elses_mail(
    office: PostOffice, asked: CheckoutRequest, mori: User, now: datetime
) -> None:
    office.unknown = {"mori@example.co.jp"}
    assert sweep(office, now) == []
    deciding.reject(asked, by=mori, words="客先名がありません", now=now)

    assert [message["To"] for message in sweep(office, now)] == ["sato@example.co.jp"]

    office.unknown = set()  # the mailbox was made meanwhile
    assert [message["To"] for message in sweep(office, now)] == ["mori@example.co.jp"]


def test_what_was_refused_for_a_week_is_not_tried_any_more(
    office: PostOffice, asked: CheckoutRequest, now: datetime
) -> None:
    office.unknown = {"mori@example.co.jp"}
    sweep(office, now)
    letter = Letter.objects.get()
    office.unknown = set()

    assert writing.send(now=letter.made_at + 8 * DAY) == 0
    assert office.new() == []


def test_while_the_mail_server_has_no_room_or_is_away_mail_waits(
    office: PostOffice, asked: CheckoutRequest, settings: Any, now: datetime
) -> None:
    office.full = True
    assert sweep(office, now) == []
    office.full, port = False, settings.EMAIL_PORT
    settings.EMAIL_PORT = 9  # nobody listens there
    assert sweep(office, now) == []

    settings.EMAIL_PORT = port

    assert [message["To"] for message in sweep(office, now)] == ["mori@example.co.jp"]
