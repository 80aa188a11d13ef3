"""What checkout tells a PC, and hears of its usage keys.

What is lent is derived here, every time: a request that is lent, a PC that is a member, an account that is
not switched off. A key goes out on the company's network only; away from it, what the PC said that it has is
named again, and nothing new comes.
"""

import logging
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from uuid import UUID

import msgspec
from django.db import transaction
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext

from checkout import lending
from checkout.models import CheckoutRequest, Lease
from clients import auditing, nudge, quickstore
from clients.enrolment import nodeslice, signing
from clients.errors import WrongState
from clients.models import Client
from clients.signals import client_lost, client_revoked
from mydoc.models import Lockout, Volume
from mydoc.replicas import hindering
from mydoc.replicas.hindering import Hindrance
from mydoc.volumes import unlocking
from vrasnode.errors import Refused
from vrasnode.wire import codec
from vrasnode.wire.checkout import (
    NONCE_BYTES,
    CheckoutReport,
    CheckoutSlice,
    LeaseReport,
    LeaseState,
    LeaseWish,
    ServerTime,
    TimeRequest,
)
from vrasnode.wire.signatures import Role, Signed

log = logging.getLogger("openvras.checkout")

SLICE = "checkout"
SAID_S = 600
State = CheckoutRequest.State
HAS_IT = {LeaseState.OFFERED, LeaseState.READY, LeaseState.OPEN, LeaseState.CLOSED}
# What the PC calls the end of a key that its period ended, and not somebody or something before.
AT_THE_DEADLINE = {"", "deadline", "expired", "period_over", "budget_over"}


def register() -> None:
    """Joins the registry: called once when Django starts."""
    nodeslice.register(SLICE, provide=slice_of, hear=_hear)
    hindering.register(why_away)
    client_revoked.connect(_revoked, dispatch_uid="checkout")
    client_lost.connect(_lost, dispatch_uid="checkout")


def slice_of(client: Client, now: datetime) -> CheckoutSlice:
    """The keys that are lent to this PC, and those whose end it has not confirmed yet."""
    rows = list(Lease.objects.filter(client=client).select_related("request__requester").order_by("serial"))
    rows = [lease for lease in rows if not lease.ended or not _gone(lease)]
    inside = bool(rows) and unlocking.on_the_lan(client, now=now)
    shut_out = bool(rows) and Lockout.objects.current().filter(client=client).exists()
    wishes = []
    for lease in rows:
        code = _ended(lease, client)
        if code:
            wishes.append(LeaseWish(lease=str(lease.pk), ended=code))
        elif _has(lease) or (inside and not shut_out):
            wishes.append(LeaseWish(lease=str(lease.pk), key=codec.decode(bytes(lease.key), Signed)))
    return CheckoutSlice(leases=wishes)


def hear(client: Client, report: CheckoutReport, *, now: datetime) -> None:
    """Keeps how each key stands. One that the PC has ended ends here, too."""
    mine = {
        str(row.pk): row
        for row in Lease.objects.filter(client=client).select_related("request__requester", "volume")
    }
    heard = [(mine[one.lease], one) for one in report.leases if one.lease in mine]
    for lease, said in heard:
        with transaction.atomic():
            before = told(lease)
            Lease.objects.filter(pk=lease.pk).update(told=msgspec.to_builtins(said), told_at=now)
            if before is None or before.state != said.state:
                auditing.record(
                    f"lease.told_{said.state}",
                    lease,
                    after={"code": said.code[:40], "clock": report.clock[:40]},
                )
            if said.state is LeaseState.ENDED:
                _end(lease, said, now=now)
    if heard:
        owners = sorted({f"my.{lease.request.requester_id}" for lease, _said in heard})
        nudge.pages("checkouts", f"client.{client.pk}", *owners)


def why_away(volumes: Sequence[Volume], now: datetime) -> dict[UUID, Hindrance]:
    """Those that are lent, or should be back by now: nothing is copied away from the company."""
    found = {}
    for lease in Lease.objects.current().filter(volume__in=volumes, starts__lte=now):
        about = {"until": date_format(timezone.localtime(lease.ends), "SHORT_DATETIME_FORMAT")}
        if now < lease.ends:
            found[lease.volume_id] = Hindrance(
                "checked_out",
                gettext("The PC is checked out until %(until)s: it copies when it is back.") % about,
                gettext("Nothing, until it is back on the company's network."),
            )
        else:
            found[lease.volume_id] = Hindrance(
                "checkout_overdue",
                gettext("The PC was checked out until %(until)s and is not back yet.") % about,
                gettext(
                    "Ask for it: on the company's network it copies by itself. If gone, declare it lost."
                ),
            )
    return found


def time_for(client: Client, wish: TimeRequest, *, now: datetime) -> Signed:
    """The server's time, signed for this PC and this question. Why the PC cannot go on without it is written
    down here: from the answer on it has forgotten that. Raises Refused(bad_nonce)."""
    if len(wish.nonce) != NONCE_BYTES:
        raise Refused("bad_nonce", f"A nonce has {NONCE_BYTES} bytes.")
    if wish.trouble and _is_new(client, wish.trouble[:40]):
        with transaction.atomic():
            auditing.record("client.clock_distrusted", client, after={"code": wish.trouble[:40]})
    return signing.store().seal(ServerTime(client=client.pk, nonce=wish.nonce, time=now), Role.LEASE)


def _is_new(client: Client, code: str) -> bool:
    """Not when it asks again within minutes, because the answer was lost."""
    named = f"vras:distrusted:{client.pk}:{code}"
    return bool(quickstore.client().set(named, 1, nx=True, ex=SAID_S))


def _ended(lease: Lease, client: Client) -> str:
    """A code; "" while it is lent."""
    if lease.ended:
        return lease.ended
    if client.state != Client.State.APPROVED:
        return "lost"
    if lease.request.state not in (State.LENT, State.OVERDUE):
        return "withdrawn"
    return "" if lease.request.requester.is_active else "account"


def _has(lease: Lease) -> bool:
    """Whether the PC said that it has the key."""
    report = told(lease)
    return report is not None and report.state in HAS_IT


def _gone(lease: Lease) -> bool:
    """Whether the PC said that nothing of it is left there. One that it never had needs no word."""
    report = told(lease)
    return report is not None and report.state is LeaseState.ENDED and report.slot_gone


def _end(lease: Lease, report: LeaseReport, *, now: datetime) -> None:
    request = lease.request
    over = now >= lease.ends and report.code in AT_THE_DEADLINE
    with suppress(WrongState):  # it had ended here before: the PC only obeyed
        request.move(
            State.EXPIRED if over else State.RETURNED,
            words=report.code[:500],
            reason=report.code,
            ended_at=now,
        )
        lending.end(request, code="expired" if over else "returned", now=now)


def told(lease: Lease) -> LeaseReport | None:
    """What the PC said of it last; None when it said nothing that we can read."""
    try:
        return msgspec.convert(lease.told, LeaseReport)
    except msgspec.ValidationError:  # of another version of the product, or nothing
        return None


def _hear(client: Client, body: bytes, now: datetime) -> None:
    hear(client, codec.decode(body, CheckoutReport), now=now)


def _revoked(*, client: Client, now: datetime, **_signal: object) -> None:
    lending.end_all_of(client, code="pc_revoked", now=now)


def _lost(*, client: Client, now: datetime, **_signal: object) -> None:
    lending.end_all_of(client, code="lost", now=now)
