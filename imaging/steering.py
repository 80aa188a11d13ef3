"""A distribution under way, in people's hands: pause, go on, call off, approve after the pilots, roll a
ring back. What stops it by itself is in `advancing`.
"""

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from clients import auditing, nudge
from clients.errors import Refusal, WrongState
from clients.models import Client
from imaging import distributing, pacing
from imaging.advancing import tell_all
from imaging.models import Delivery, Distribution, ImageVersion

State = Distribution.State
CALLED_OFF = "cancelled"


def pause(distribution: Distribution, *, reason: str) -> None:
    """No PC fetches on, none starts what it has staged, until it goes on. Raises WrongState."""
    distribution.move(State.PAUSED, reason=reason, stop_code="paused", stop_words=reason[:500])
    tell_all(distribution)


def resume(distribution: Distribution, *, now: datetime, reason: str = "") -> None:
    """Goes on where it stood; failures until now do not halt it again. Raises Refusal and WrongState."""
    if distribution.state == State.PILOTED:
        raise Refusal("needs_approval", _("The pilots are done. Another administrator has to approve."))
    if distribution.state == State.FINISHED:  # goes on by a retry alone
        raise WrongState(distribution, distribution.state, State.RUNNING)
    failed = distribution.deliveries.all().blamed().count()
    with transaction.atomic():
        distribution.move(State.RUNNING, reason=reason, forgiven=max(1, failed), stop_code="", stop_words="")
        pacing.give_turns_anew(distribution.deliveries.defer("assignment"))
        distributing.settle(distribution, now=now)
    tell_all(distribution)


def cancel(distribution: Distribution, *, reason: str, now: datetime) -> None:
    """Stops what has not been booted; PCs keep what they run. Raises WrongState."""
    with transaction.atomic():
        distribution.move(State.CANCELLED, reason=reason, finished_at=now)
        open_ones = list(distribution.deliveries.all().open().select_related("client"))
        for delivery in open_ones:
            _call_off(delivery, now=now)
    nudge.nodes([delivery.client for delivery in open_ones])
    nudge.pages("distributions", *distribution.topics)


def approve(distribution: Distribution, *, now: datetime, reason: str = "") -> None:
    """Lets the PCs after the pilots have theirs. Raises Refusal(same_person) for whoever began it."""
    who = auditing.actor().name
    if who in distribution.begun_by:
        raise Refusal(
            "same_person",
            _("You began this distribution. Another administrator has to approve it."),
            status=403,
        )
    with transaction.atomic():
        distribution.move(
            State.RUNNING, reason=reason, start=State.PILOTED, approved_by=who, ring=distribution.ring + 1
        )
        distributing.admit_newcomers(distribution, now=now)
        distributing.settle(distribution, now=now)
    nudge.pages("distributions", *distribution.topics)


def pause_pc(delivery: Delivery, *, reason: str, now: datetime) -> None:
    """This PC neither fetches nor switches until it goes on. Raises Refusal(not_under_way)."""
    _check_open(delivery)
    _set_pause(delivery, now, "paused", reason)


def resume_pc(delivery: Delivery, *, now: datetime) -> None:
    """Goes on with this PC. Raises Refusal(not_under_way)."""
    _check_open(delivery)
    with transaction.atomic():
        _set_pause(delivery, None, "resumed", "")
        pacing.give_turns_anew([delivery])
        distributing.settle(delivery.distribution, now=now)


def cancel_pc(delivery: Delivery, *, reason: str, now: datetime) -> None:
    """This PC keeps what it runs; the others go on. Raises Refusal(not_under_way) and WrongState."""
    _check_open(delivery)
    with transaction.atomic():
        _call_off(delivery, now=now, reason=reason)
        distributing.settle(delivery.distribution, now=now)
    _tell(delivery)


def retry_pc(delivery: Delivery, *, now: datetime) -> None:
    """Sends the version again to this PC. Raises Refusal(not_failed)."""
    if delivery.state != Delivery.State.FAILED:
        raise Refusal("not_failed", _("%(pc)s has not failed.") % {"pc": delivery.client})
    distributing.retry(delivery.distribution, [delivery], now=now)


def roll_back_ring(
    distribution: Distribution, *, now: datetime, ring: int | None = None, reason: str = ""
) -> list[Distribution]:
    """Brings the PCs of a ring (default: of all rings that began) that have the new version, or are about to,
    back to what each ran before; calls off the rest. Raises Refusal(nothing_before)."""
    with transaction.atomic():
        rows = distribution.deliveries.filter(ring__lte=distribution.ring)
        if ring is not None:
            rows = distribution.deliveries.filter(ring=ring)
        reached = [Delivery.State.BOOTED, Delivery.State.STAGED]
        back = _versions_before(rows.filter(state__in=reached).select_related("client"), distribution)
        if distribution.is_open:
            cancel(distribution, reason=reason or _("rolled back"), now=now)
        return [
            distributing.start(
                version, distribution.group, now=now, kind=Distribution.Kind.ROLLBACK, only=clients
            )
            for version, clients in back.items()
        ]


def _versions_before(
    rows: Iterable[Delivery], distribution: Distribution
) -> dict[ImageVersion, list[Client]]:
    """Which PCs go back to which version: the last that each booted before, if it is still ready."""
    machine = distribution.version.image.machine
    clients = {delivery.client_id: (delivery.client, delivery.serial) for delivery in rows}
    earlier = (
        Delivery.objects.filter(client__in=clients, state=Delivery.State.BOOTED)
        .for_machine(machine)
        .exclude(distribution=distribution)
        .filter(distribution__version__state=ImageVersion.State.READY)
        .select_related("distribution__version__image")
        .defer("assignment")
        .order_by("client_id", "-serial")
    )
    before: dict[Any, ImageVersion] = {}
    for delivery in earlier:
        if delivery.serial < clients[delivery.client_id][1]:
            before.setdefault(delivery.client_id, delivery.distribution.version)
    if not before:
        raise Refusal(
            "nothing_before",
            _("No PC of this ring has booted the version and has one from before to go back to."),
        )
    grouped: dict[ImageVersion, list[Client]] = defaultdict(list)
    for client_id, version in before.items():
        grouped[version].append(clients[client_id][0])
    return grouped


def _call_off(delivery: Delivery, *, now: datetime, reason: str = "") -> None:
    words = _("The distribution was cancelled.")
    delivery.move(
        Delivery.State.SUPERSEDED, reason=reason, code=CALLED_OFF, words=words, changed_at=now, paused_at=None
    )


def _check_open(delivery: Delivery) -> None:
    if delivery.state not in Delivery.OPEN or not delivery.distribution.is_open:
        raise Refusal("not_under_way", _("Nothing is under way to %(pc)s.") % {"pc": delivery.client})


def _set_pause(delivery: Delivery, at: datetime | None, verb: str, reason: str) -> None:
    with transaction.atomic():
        delivery.paused_at = at
        delivery.save(update_fields=["paused_at"])
        auditing.record(f"delivery.{verb}", delivery, reason=reason)
    _tell(delivery)


def _tell(delivery: Delivery) -> None:
    nudge.node(delivery.client)
    nudge.pages(*delivery.distribution.topics)
