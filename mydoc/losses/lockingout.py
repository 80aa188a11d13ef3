"""PCs that were away for too long: they are given no key until an administrator lets them in again.

Nothing is deleted. Silence is counted from the last contact, or from when the PC joined, was let in or was
found again, whatever was later.
"""

from datetime import datetime

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, OuterRef, Q
from django.utils.translation import gettext_lazy as _

from clients import auditing, nudge, presence
from clients.errors import Refusal
from clients.models import Client
from mydoc.models import Lockout, Loss, Opening


def sweep(*, now: datetime) -> int:
    """Locks out whoever was silent for too long; returns how many that were."""
    if not settings.LOCKOUT:
        return 0
    since, done = now - settings.LOCKOUT, 0
    for client in _silent(since):
        heard = presence.of([client], now=now)[client.pk].seen
        last = max(filter(None, [heard, client.enrolled_at]))
        if last < since:
            done += _lock_out(client, last=last, now=now)
    return done


def let_in(client: Client, *, reason: str, now: datetime) -> None:
    """Raises Refusal(not_locked_out)."""
    with transaction.atomic():
        row = Lockout.objects.current().filter(client=client)
        if not row.update(let_in_at=now):
            raise Refusal("not_locked_out", _("This PC is not locked out."))
        auditing.record("client.let_in", client, reason=reason)
    nudge.pages("clients", f"client.{client.pk}")


def _silent(since: datetime) -> list[Client]:
    """Those of whom the rows say so; what was heard in the last minute they do not know."""
    mine = Lockout.objects.filter(client=OuterRef("pk"))
    found = Loss.objects.filter(client=OuterRef("pk"), ended_at__gte=since)
    rows = Client.objects.approved().filter(enrolled_at__lt=since).exclude(last_seen__gte=since)
    known = Q(let_in_at=None) | Q(let_in_at__gte=since)
    return list(rows.filter(~Exists(mine.filter(known)), ~Exists(found)))


def _lock_out(client: Client, *, last: datetime, now: datetime) -> int:
    with transaction.atomic():
        Lockout.objects.update_or_create(
            client=client, defaults={"at": now, "last_contact": last, "let_in_at": None}
        )
        for opening in Opening.objects.current().filter(volume__client=client):
            opening.end(reason="pc_away", now=now)
        auditing.record("client.locked_out", client, after={"last_contact": last.isoformat()})
    nudge.pages("clients", f"client.{client.pk}")
    return 1
