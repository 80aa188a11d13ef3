"""How a version reaches the PCs of a group: start, hear, settle, sweep, retry, roll back.

Whose turn it is and how fast is in `pacing`; what people do meanwhile in `steering`.
"""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils.translation import gettext as _

from clients import auditing, hours, nudge
from clients.enrolment import signing
from clients.errors import Refusal, WrongState
from clients.models import Client, Group
from imaging import advancing, pacing
from imaging.models import NO_CONTACT, Delivery, DeliveryQuerySet, Distribution, ImageVersion, next_serial
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
    pilots: Sequence[str] = ()  # names of PCs that get it first
    pilot_count: int = 0  # or how many of them, those heard of last
    approval: bool = False  # a second person lets the others follow
    halt_failures: int | None = None
    halt_percent: int | None = None
    fetch_hours: str = ""
    switch_hours: str = ""
    postponements: int = 0
    deadline: datetime | None = None

    def check(self, now: datetime) -> None:
        """Raises Refusal(bad_hours, deadline_past, no_pilots)."""
        hours.windows(self.fetch_hours)
        hours.windows(self.switch_hours)
        if self.deadline is not None and self.deadline <= now:
            raise Refusal("deadline_past", _("The time to switch at the latest has passed."), status=400)
        if self.approval and not self.pilots and not self.pilot_count:
            raise Refusal(
                "no_pilots", _("Name pilot PCs, or how many: somebody approves after them."), status=400
            )

    def pilots_of(self, clients: Sequence[Client]) -> set[Client]:
        """Those of these PCs that get it first. Raises Refusal(unknown_pilots)."""
        named = set(self.pilots)
        if unknown := sorted(named - {client.name for client in clients}):
            words = _("Not among the PCs that would get it: %(names)s.") % {"names": ", ".join(unknown[:10])}
            raise Refusal("unknown_pilots", words, status=400)
        chosen = {client for client in clients if client.name in named}
        rest = [client for client in clients if client not in chosen]
        rest.sort(
            key=lambda client: (-client.last_seen.timestamp() if client.last_seen else 0.0, client.name)
        )
        chosen.update(rest[: max(0, self.pilot_count - len(chosen))])
        return chosen

    def kept(self) -> dict[str, Any]:
        """What the distribution's row keeps of them."""
        names = ("wave_size", "rate_bytes_s", "approval", "halt_failures", "halt_percent", "fetch_hours")
        more = ("switch_hours", "postponements", "deadline")
        return {"apply": self.apply.value, **{name: getattr(self, name) for name in (*names, *more)}}


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
    terms.check(now)
    with transaction.atomic():
        Group.objects.select_for_update().get(pk=group.pk)
        _check_ready(version)
        clients = list(only) if only is not None else list(group.clients.approved())
        if not clients:
            raise Refusal(
                "group_is_empty",
                _("%(group)s has no approved PC. Approve or move PCs first.") % {"group": group},
            )
        pilots = terms.pilots_of(clients)
        distribution = Distribution.objects.create(
            version=version,
            group=group,
            kind=kind,
            rings=2 if 0 < len(pilots) < len(clients) else 1,
            created_by=auditing.actor().name,
            created_at=now,
            **terms.kept(),
        )
        said = {"kind": str(kind), "pcs": len(clients), "pilots": len(pilots)}
        auditing.record("distribution.started", distribution, after=said)
        _supersede(Delivery.objects.filter(client__in=clients).for_machine(version.image.machine), now=now)
        last = distribution.rings - 1
        Delivery.objects.bulk_create(
            [
                _delivery(distribution, client, ring=0 if client in pilots else last, now=now)
                for client in clients
            ]
        )
        pacing.pace(distribution, now=now)
    nudge.pages("distributions", *distribution.topics)
    return distribution


def _check_ready(version: ImageVersion) -> None:
    """Holds the row, so that nobody retires it meanwhile. Raises Refusal(version_not_ready)."""
    rows = ImageVersion.objects.ready().select_for_update()
    if not rows.filter(pk=version.pk).exists():
        raise Refusal(
            "version_not_ready", _("%(version)s is not ready to be distributed.") % {"version": version}
        )


def last_sent(group: Group, machine: Machine = Machine.CLIENT_VM) -> Distribution | None:
    """What this machine of a whole group was last sent."""
    sent = group.distributions.filter(version__image__machine=machine.value)
    of_one = [Distribution.Kind.ON_JOIN, Distribution.Kind.ONE_PC]
    return sent.select_related("version__image").exclude(kind__in=of_one).first()


def rollback_target(group: Group, machine: Machine = Machine.CLIENT_VM) -> ImageVersion:
    """The version before the one that this group was last sent. Raises Refusal(nothing_before)."""
    last = last_sent(group, machine)
    if last is None:
        raise Refusal("nothing_before", _("%(group)s was never sent a version.") % {"group": group})
    return _before(last.version)


def last_sent_to(client: Client, machine: Machine = Machine.CLIENT_VM) -> Distribution | None:
    """What this machine of a PC was last sent, and was not called off."""
    sent = client.deliveries.all().for_machine(machine.value).exclude(state=Delivery.State.SUPERSEDED)
    newest = sent.select_related("distribution__version__image").order_by("-serial").first()
    return newest.distribution if newest is not None else None


def pc_rollback_target(client: Client, machine: Machine = Machine.CLIENT_VM) -> ImageVersion:
    """The version before the one that this PC was last sent. Raises Refusal(nothing_before)."""
    last = last_sent_to(client, machine)
    if last is None:
        raise Refusal("nothing_before", _("%(pc)s was never sent a version.") % {"pc": client})
    return _before(last.version)


def _before(version: ImageVersion) -> ImageVersion:
    older = version.image.versions.ready().filter(number__lt=version.number)
    before = older.order_by("-number").first()
    if before is None:
        words = _("%(version)s is the oldest version that is still ready.") % {"version": version}
        raise Refusal("nothing_before", words)
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


def roll_back_pc(
    client: Client,
    *,
    now: datetime,
    to: ImageVersion | None = None,
    terms: Terms | None = None,
    machine: Machine = Machine.CLIENT_VM,
) -> Distribution:
    """Brings the version before back to a machine of one PC; what its group has stays what it is."""
    if client.group is None or client.state != Client.State.APPROVED:
        raise Refusal("not_in_a_group", _("Approve %(pc)s and move it to a group first.") % {"pc": client})
    version = to or pc_rollback_target(client, machine)
    kind = Distribution.Kind.ONE_PC
    return start(version, client.group, now=now, kind=kind, terms=terms, only=[client])


def retry_failed(distribution: Distribution, *, now: datetime) -> int:
    """Sends the version again to the PCs where it failed, to no other; returns how many."""
    failed = distribution.deliveries.filter(
        state=Delivery.State.FAILED, client__state=Client.State.APPROVED
    ).select_related("client")
    return retry(distribution, failed, now=now)


def retry(distribution: Distribution, deliveries: Iterable[Delivery], *, now: datetime) -> int:
    """Sends the version again to these PCs of a distribution; returns to how many."""
    with transaction.atomic():
        failed = list(deliveries)
        if failed and not distribution.is_open:
            distribution.move(Distribution.State.RUNNING, finished_at=None)
        for delivery in failed:
            _give_again(delivery, distribution, now=now)
        pacing.pace(distribution, now=now)
    nudge.pages("distributions", *distribution.topics)
    return len(failed)


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
            delivery.move(state, reason=progress["code"], **progress)
        except WrongState:
            return
        settle(delivery.distribution, now=now)
    nudge.pages(*delivery.distribution.topics, f"client.{client.pk}")


def settle(distribution: Distribution, *, now: datetime) -> None:
    """Ends a distribution whose PCs have all come to an end; else halts it, lets the others follow the
    pilots, or gives the next ones their turn."""
    rows = distribution.deliveries.all()
    if not rows.open().exists():
        _end(distribution, now=now)
    elif distribution.state == Distribution.State.RUNNING and not advancing.look_at_failures(distribution):
        through = distribution.pilots_first and not rows.filter(ring__lte=distribution.ring).open().exists()
        if not through or advancing.advance(distribution):
            if through:
                admit_newcomers(distribution, now=now)
            pacing.pace(distribution, now=now)


def _end(distribution: Distribution, *, now: datetime) -> None:
    if not distribution.is_open:
        return
    ends = set(distribution.deliveries.values_list("state", "code"))
    end = Distribution.State.FINISHED
    if {state for state, _code in ends} == {Delivery.State.SUPERSEDED}:
        called_off = {code for _state, code in ends} == {"cancelled"}
        end = Distribution.State.CANCELLED if called_off else Distribution.State.SUPERSEDED
    with suppress(WrongState):
        distribution.move(end, finished_at=now)
        nudge.pages("distributions", *distribution.topics)


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
            delivery.move(
                Delivery.State.FAILED, reason=NO_CONTACT, code=NO_CONTACT, words=words, changed_at=now
            )
        except WrongState:
            continue
        count += 1
        settle(delivery.distribution, now=now)
        nudge.pages(*delivery.distribution.topics)
    return count


def part_with(client: Client, code: str, *, now: datetime) -> None:
    """A PC that was revoked or lost gets nothing any more: what was under way to it has failed, and is said;
    the others go on."""
    for delivery in Delivery.objects.filter(client=client).open().select_related("distribution"):
        with suppress(WrongState):
            delivery.move(Delivery.State.FAILED, reason=code, code=code, changed_at=now)
            settle(delivery.distribution, now=now)
            nudge.pages(*delivery.distribution.topics)


def admit_newcomers(distribution: Distribution, *, now: datetime) -> int:
    """PCs that came to a group which gets this image by itself while the pilots tried the version get it with
    the others; returns how many."""
    group, image = distribution.group, distribution.version.image
    if distribution.rings < 2 or not group.subscriptions.filter(image=image, on_join=True).exists():
        return 0
    known = distribution.deliveries.values("client")
    newcomers = list(group.clients.approved().exclude(pk__in=known))
    last = distribution.rings - 1
    _supersede(Delivery.objects.filter(client__in=newcomers).for_machine(image.machine), now=now)
    Delivery.objects.bulk_create(
        [_delivery(distribution, client, ring=last, now=now) for client in newcomers]
    )
    return len(newcomers)


def _delivery(distribution: Distribution, client: Client, *, ring: int, now: datetime) -> Delivery:
    serial = next_serial(client)
    return Delivery(
        ring=ring,
        distribution=distribution,
        client=client,
        serial=serial,
        assignment=_assignment(distribution, client, serial, now),
    )


def _give_again(delivery: Delivery, distribution: Distribution, *, now: datetime) -> None:
    serial = next_serial(delivery.client)
    delivery.move(
        Delivery.State.WAITING,
        serial=serial,
        assignment=_assignment(distribution, delivery.client, serial, now),
        paused_at=None,
        rate_bytes_s=None,
        postponed=0,
        postponed_until=None,
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
    if report.postponed:
        fields |= {"postponed": report.postponed, "postponed_until": report.postponed_until}
    if report.total_bytes:
        fields |= {"done_bytes": report.done_bytes, "total_bytes": report.total_bytes}
        fields["peer_bytes"] = min(report.peer_bytes, report.done_bytes)
        fields["delta_bytes"] = min(report.delta_bytes, report.done_bytes)
        fields["broken_deltas"] = max(0, report.broken_deltas)
    if report.boot_s is not None:
        fields["boot_s"] = report.boot_s
    return fields


def _supersede(deliveries: DeliveryQuerySet, *, now: datetime) -> None:
    touched = set()
    for delivery in deliveries.open().select_related("distribution", "client"):
        delivery.move(
            Delivery.State.SUPERSEDED,
            code="superseded",
            words=_("A later distribution to this PC replaced it."),
        )
        touched.add(delivery.distribution)
    for distribution in touched:
        settle(distribution, now=now)
