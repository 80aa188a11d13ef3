"""What is wrong with a replica, raised once and open until it is mended or an administrator lets it go."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db import IntegrityError, transaction
from django.utils.translation import gettext_lazy as _

from clients import auditing, nudge
from clients.errors import Refusal
from mydoc.models import Replica, ReplicaAlarm, ReplicationRun

Kind = ReplicaAlarm.Kind


def raise_alarm(
    replica: Replica,
    kind: ReplicaAlarm.Kind,
    *,
    found: Mapping[str, Any],
    now: datetime,
    run: ReplicationRun | None = None,
    keeps: ReplicationRun | None = None,
) -> ReplicaAlarm:
    """Raises it; one that is open already learns what was found now, and keeps what it kept."""
    try:
        with transaction.atomic():
            alarm = ReplicaAlarm.objects.create(
                replica=replica, kind=kind, run=run, keeps=keeps, found=dict(found), raised_at=now
            )
            auditing.record("replicaalarm.open", alarm, after={"kind": str(kind), **found})
    except IntegrityError:
        alarm = ReplicaAlarm.objects.open().get(replica=replica, kind=kind)
        ReplicaAlarm.objects.filter(pk=alarm.pk).update(found={**alarm.found, **found})
        alarm.refresh_from_db()
    show(replica)
    return alarm


def close(alarm: ReplicaAlarm, *, reason: str, now: datetime) -> None:
    """It is over; what it kept is kept no longer than the rest. Raises Refusal: no_reason, wrong_state."""
    if not reason.strip():
        raise Refusal("no_reason", _("Say why."), status=400)
    alarm.move(
        ReplicaAlarm.State.CLOSED,
        reason=reason[:500],
        closed_at=now,
        closed_by=auditing.actor().name,
        closed_reason=reason[:500],
    )
    show(alarm.replica)


def show(replica: Replica) -> None:
    """Pages about it look again."""
    nudge.pages("replicas", "volumes", f"volume.{replica.volume_id}")
