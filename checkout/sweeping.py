"""What time alone does to requests: keys that may be made now, periods gone by, PCs that are not back."""

from contextlib import suppress
from datetime import datetime
from typing import Any

from django.db import transaction

from checkout import lending, writing
from checkout.models import CheckoutRequest, Lease
from clients import nudge
from clients.errors import Refusal, WrongState

State = CheckoutRequest.State


def sweep(*, now: datetime) -> int:
    """All of it; returns to how many requests something happened."""
    done = lend_permitted(now=now) + lapse(now=now) + pass_deadlines(now=now)
    writing.write(now=now)
    writing.send(now=now)
    return done


def lend_permitted(*, now: datetime) -> int:
    """Makes the keys whose obstacles have gone."""
    rows = CheckoutRequest.objects.filter(
        state=State.PERMITTED, ends__gt=now, starts__lte=now + lending.LEAD
    ).select_related("requester__directory_user", "volume__client", "client")
    done = 0
    for request in rows:
        with suppress(Refusal):
            lending.lend(request, now=now)
            done += 1
    return done


def lapse(*, now: datetime) -> int:
    """Ends what was not decided, or got no key, before its period was over."""
    rows = CheckoutRequest.objects.filter(
        state__in=(State.WAITING, State.SENT_BACK, State.PERMITTED), ends__lte=now
    )
    return sum(_move(request, State.LAPSED, now=now) for request in rows)


def pass_deadlines(*, now: datetime) -> int:
    """A key whose deadline went by has locked itself. Until its PC says so, it is overdue; one that the PC
    never had ends here."""
    done = 0
    for lease in (
        Lease.objects.current()
        .filter(ends__lte=now, request__state=State.LENT)
        .select_related("request", "client")
    ):
        if lease.told_at is None:
            done += _move(lease.request, State.EXPIRED, now=now)
        else:
            done += _move(lease.request, State.OVERDUE)
    return done


def _move(request: CheckoutRequest, to: str, *, now: datetime | None = None) -> int:
    try:
        with transaction.atomic():
            ended: dict[str, Any] = {"ended_at": now} if now else {}
            request.move(to, **ended)
            if now:
                lending.end(request, code="expired", now=now)
    except WrongState:  # somebody was faster
        return 0
    nudge.node(request.client)
    nudge.pages("checkouts", f"my.{request.requester_id}", f"client.{request.client_id}")
    return 1
