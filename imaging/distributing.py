"""How a version reaches the PCs of a group: start, pace, hear, sweep, retry, roll back."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.utils.translation import gettext as _

from clients import auditing, nudge, signing
from clients.errors import Refusal, WrongState
from clients.models import Client, Group
from imaging.models import Delivery, DeliveryQuerySet, Distribution, ImageVersion, Subscription, next_serial
from vrasnode.wire import codec
from vrasnode.wire.imaging import Apply, Assignment, DeliveryReport, DeliveryStage, Health, Machine
from vrasnode.wire.signatures import Role

STATES = {
    DeliveryStage.FETCHING: Delivery.State.FETCHING,
    DeliveryStage.STAGED: Delivery.State.STAGED,
    DeliveryStage.BOOTED: Delivery.State.BOOTED,
    DeliveryStage.FAILED: Delivery.State.FAILED,
}


@dataclass(frozen=True)
class Terms:
    """How a distribution runs."""

    apply: Apply = Apply.NEXT_START
    wave_size: int = 50
    rate_bytes_s: int | None = None


def start(
    version: ImageVersion,
    group: Group,
    *,
    now: datetime,
    kind: str = Distribution.Kind.MANUAL,
    terms: Terms | None = None,
    only: Iterable[Client] | None = None,
) -> Distribution:
    """Begins to bring a version to the approved PCs of a group, or to `only` some. Raises Refusal.

    What was still under way to the same machine of the same PCs is superseded.
    """
    terms = terms or Terms()
    if version.state != ImageVersion.State.READY:
        raise Refusal(
            "version_not_ready", _("%(version)s is not ready to be distributed.") % {"version": version}
        )
    with transaction.atomic():
        Group.objects.select_for_update().get(pk=group.pk)
        clients = list(only) if only is not None else list(group.clients.approved())
        if not clients:
            raise Refusal(
                "group_is_empty",
                _("%(group)s has no approved PC. Approve or move PCs first.") % {"group": group},
            )
        distribution = Distribution.objects.create(
            version=version,
            group=group,
            kind=kind,
            apply=terms.apply.value,
            wave_size=terms.wave_size,
            rate_bytes_s=terms.rate_bytes_s,
            created_by=auditing.actor().name,
            created_at=now,
        )
        auditing.record("distribution.started", distribution, after={"kind": str(kind), "pcs": len(clients)})
        _supersede(Delivery.objects.filter(client__in=clients).for_machine(version.image.machine))
        Delivery.objects.bulk_create([_delivery(distribution, client, now=now) for client in clients])
        pace(distribution, now=now)
    nudge.pages("distributions", *_topics(distribution))
    return distribution


def last_sent(group: Group, machine: Machine = Machine.CLIENT_VM) -> Distribution | None:
    """What this machine of a whole group was last sent."""
    sent = group.distributions.filter(version__image__machine=machine.value)
    return sent.select_related("version__image").exclude(kind=Distribution.Kind.ON_JOIN).first()


def rollback_target(group: Group, machine: Machine = Machine.CLIENT_VM) -> ImageVersion:
    """The version before the one that this group was last sent. Raises Refusal(nothing_before)."""
    last = last_sent(group, machine)
    if last is None:
        raise Refusal("nothing_before", _("%(group)s was never sent a version.") % {"group": group})
    before = (
        last.version.image.versions.ready().filter(number__lt=last.version.number).order_by("-number").first()
    )
    if before is None:
        raise Refusal(
            "nothing_before",
            _("%(version)s is the oldest version that is still ready.") % {"version": last.version},
        )
    return before


def roll_back(
    group: Group,
    *,
    now: datetime,
    to: ImageVersion | None = None,
    terms: Terms | None = None,
    machine: Machine = Machine.CLIENT_VM,
) -> Distribution:
    """Brings the version before back to a machine of a group, under a higher serial."""
    version = to or rollback_target(group, machine)
    return start(version, group, now=now, kind=Distribution.Kind.ROLLBACK, terms=terms)


def retry_failed(distribution: Distribution, *, now: datetime) -> int:
    """Sends the version again to the PCs where it failed, to no other; returns how many."""
    with transaction.atomic():
        failed = list(distribution.deliveries.filter(state=Delivery.State.FAILED).select_related("client"))
        if failed and distribution.state != Distribution.State.RUNNING:
            distribution.move(Distribution.State.RUNNING, finished_at=None)
        for delivery in failed:
            _give_again(delivery, now=now)
        pace(distribution, now=now)
    nudge.pages("distributions", *_topics(distribution))
    return len(failed)


def cancel(distribution: Distribution, *, reason: str, now: datetime) -> None:
    """Stops what has not been staged; PCs keep what they run."""
    with transaction.atomic():
        distribution.move(Distribution.State.CANCELLED, reason=reason, finished_at=now)
        open_ones = distribution.deliveries.open().select_related("client")
        clients = [delivery.client for delivery in open_ones]
        for delivery in open_ones:
            delivery.move(
                Delivery.State.SUPERSEDED, code="cancelled", words=_("The distribution was cancelled.")
            )
    nudge.nodes(clients)
    nudge.pages("distributions", *_topics(distribution))


def pace(distribution: Distribution, *, now: datetime) -> int:
    """Gives the next PCs their turn, `wave_size` at a time; returns how many."""
    with transaction.atomic():
        Distribution.objects.select_for_update().get(pk=distribution.pk)
        busy = distribution.deliveries.filter(
            Q(state=Delivery.State.FETCHING) | Q(state=Delivery.State.WAITING, released_at__isnull=False)
        ).count()
        room = max(0, distribution.wave_size - busy)
        waiting = distribution.deliveries.filter(state=Delivery.State.WAITING, released_at=None)
        turn = list(waiting.select_related("client").order_by("pk")[:room])
        Delivery.objects.filter(pk__in=[delivery.pk for delivery in turn]).update(
            released_at=now, heard_at=now
        )
    if turn:
        nudge.nodes([delivery.client for delivery in turn])
    return len(turn)


def hear(
    client: Client, report: DeliveryReport, *, now: datetime, machine: Machine = Machine.CLIENT_VM
) -> None:
    """Notes how far a machine of a PC has come. Late or repeated reports change nothing."""
    running = report.running if machine is Machine.CLIENT_VM else None
    if running is not None and running != client.running:
        Client.objects.filter(pk=client.pk).update(running=running[:64])
    delivery = (
        Delivery.objects.select_related("distribution__version__image", "client")
        .filter(client=client, serial=report.serial)
        .for_machine(machine.value)
        .first()
    )
    if delivery is None:
        return
    state = STATES[report.stage]
    progress = _progress(report, now=now)
    if delivery.state == state:
        Delivery.objects.filter(pk=delivery.pk, state=state).update(**progress)
    else:
        try:
            delivery.move(state, **progress)
        except WrongState:
            return
        settle(delivery.distribution, now=now)
    nudge.pages(*_topics(delivery.distribution), f"client.{client.pk}")


def settle(distribution: Distribution, *, now: datetime) -> None:
    """Ends a distribution whose PCs have all come to an end, or lets the next ones have their turn."""
    if distribution.deliveries.open().exists():
        pace(distribution, now=now)
        return
    states = set(distribution.deliveries.values_list("state", flat=True))
    end = (
        Distribution.State.SUPERSEDED
        if states == {Delivery.State.SUPERSEDED}
        else Distribution.State.FINISHED
    )
    if distribution.state == Distribution.State.RUNNING:
        try:
            distribution.move(end, finished_at=now)
        except WrongState:
            return
        nudge.pages("distributions", *_topics(distribution))


def sweep_silent(*, now: datetime) -> int:
    """Fails deliveries whose PC had its turn and has not been heard of since; returns how many."""
    silent = Delivery.objects.silent(now - settings.DELIVERY_SILENCE).select_related("distribution", "client")
    count = 0
    for delivery in silent:
        minutes = int(settings.DELIVERY_SILENCE / timedelta(minutes=1))
        words = _("Nothing was heard of this PC for %(minutes)d minutes. Is it on and connected?") % {
            "minutes": minutes
        }
        try:
            delivery.move(Delivery.State.FAILED, code="no_contact", words=words, changed_at=now)
        except WrongState:
            continue
        count += 1
        settle(delivery.distribution, now=now)
        nudge.pages(*_topics(delivery.distribution))
    return count


def on_published(version: ImageVersion, *, now: datetime) -> None:
    """Automatic distribution: groups that take every new version of this image."""
    for subscription in Subscription.objects.filter(image=version.image, on_publish=True).select_related(
        "group"
    ):
        if subscription.group.clients.approved().exists():
            start(version, subscription.group, now=now, kind=Distribution.Kind.ON_PUBLISH)


def on_joined(client: Client, *, now: datetime) -> None:
    """Automatic distribution: a PC that comes to a group gets what the group has, for each machine."""
    if client.group is None:
        return
    for subscription in client.group.subscriptions.filter(on_join=True).select_related("image"):
        _on_joined(client, client.group, subscription, now=now)


def _on_joined(client: Client, group: Group, subscription: Subscription, *, now: datetime) -> None:
    last = group.distributions.select_related("version").filter(version__image=subscription.image).first()
    ready = last is not None and last.version.state == ImageVersion.State.READY
    version = last.version if last is not None and ready else subscription.image.latest()
    if version is not None:
        start(version, group, now=now, kind=Distribution.Kind.ON_JOIN, only=[client])


def _delivery(distribution: Distribution, client: Client, *, now: datetime) -> Delivery:
    serial = next_serial(client)
    return Delivery(
        distribution=distribution,
        client=client,
        serial=serial,
        assignment=_assignment(distribution, client, serial, now),
    )


def _give_again(delivery: Delivery, *, now: datetime) -> None:
    serial = next_serial(delivery.client)
    delivery.move(
        Delivery.State.WAITING,
        serial=serial,
        assignment=_assignment(delivery.distribution, delivery.client, serial, now),
        released_at=None,
        heard_at=None,
        changed_at=now,
        done_bytes=0,
        total_bytes=0,
        peer_bytes=0,
        delta_bytes=0,
        broken_deltas=0,
        code="",
        words="",
    )


def _assignment(distribution: Distribution, client: Client, serial: int, now: datetime) -> bytes:
    version, image = distribution.version, distribution.version.image
    assignment = Assignment(
        client_id=str(client.pk),
        serial=serial,
        image=image.name,
        number=version.number or 0,
        manifest=version.manifest,
        apply=Apply(distribution.apply),
        health=Health(within_s=image.health_within_s, command=image.health_command, agent=image.health_agent),
        expires=now + settings.ASSIGNMENT_LIFE,
        machine=Machine(image.machine),
    )
    return codec.encode(signing.store().seal(assignment, Role.ASSIGNMENT))


def _progress(report: DeliveryReport, *, now: datetime) -> dict[str, Any]:
    """What a report says of how far it is; a later stage does not unsay what an earlier one said."""
    fields: dict[str, Any] = {
        "heard_at": now,
        "changed_at": now,
        "code": report.code[:60],
        "words": report.words[:500],
        "refetched_chunks": report.refetched_chunks,
    }
    if report.total_bytes:
        fields |= {"done_bytes": report.done_bytes, "total_bytes": report.total_bytes}
        fields["peer_bytes"] = min(report.peer_bytes, report.done_bytes)
        fields["delta_bytes"] = min(report.delta_bytes, report.done_bytes)
        fields["broken_deltas"] = max(0, report.broken_deltas)
    if report.boot_s is not None:
        fields["boot_s"] = report.boot_s
    return fields


def _supersede(deliveries: DeliveryQuerySet) -> None:
    touched = set()
    for delivery in deliveries.open().select_related("distribution", "client"):
        delivery.move(
            Delivery.State.SUPERSEDED,
            code="superseded",
            words=_("A later distribution to this PC replaced it."),
        )
        touched.add(delivery.distribution)
    for distribution in touched:
        settle(distribution, now=distribution.created_at)


def _topics(distribution: Distribution) -> tuple[str, str]:
    return f"distribution.{distribution.pk}", f"group.{distribution.group_id}"
