"""A version reaches the PCs of a group: waves, reports, silence, retry, rollback (rows T1, T5, T6, I3)."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.conf import settings

from clients.enrolment import enrolling, signing
from clients.errors import Refusal
from clients.models import Client, Event, Group
from imaging import desktops, distributing, steering
from imaging.distributing import Terms
from imaging.models import Delivery, Distribution, MasterImage, Subscription
from tests.images import publish
from tests.pcs import FakePc
from vrasnode.wire.imaging import Assignment, DeliveryReport, DeliveryStage, Health, ImagingSlice
from vrasnode.wire.signatures import Role

Enrol = Callable[..., FakePc]


def told(client: Client, now: datetime) -> tuple[Assignment | None, ImagingSlice]:
    """What the PC reads, after checking the signature as it would."""
    piece = desktops.slice_of(client, now)
    if piece.assignment is None:
        return None, piece
    return signing.store().keyring().open(piece.assignment, Role.ASSIGNMENT, Assignment, at=now), piece


def say(
    client: Client, stage: DeliveryStage, *, now: datetime, serial: int | None = None, **more: object
) -> None:
    """The PC reports on its newest assignment."""
    newest = Delivery.objects.filter(client=client).order_by("-serial").first()
    assert newest is not None
    report = DeliveryReport(serial=serial or newest.serial, stage=stage, **more)  # type: ignore[arg-type]
    distributing.hear(client, report, now=now)


def states(distribution: Distribution) -> dict[str, str]:
    return {str(row.client): row.state for row in distribution.deliveries.select_related("client")}


def test_each_pc_is_told_its_own_signed_assignment(
    pc: FakePc, desktop: MasterImage, sales: Group, now: datetime
) -> None:
    version = publish(desktop, "a", now=now)

    distributing.start(version, sales, now=now)

    assignment, piece = told(pc.client, now)
    assert assignment is not None
    assert assignment.client_id == str(pc.client.pk)
    assert (assignment.manifest, assignment.number) == (version.manifest, 1)
    assert piece.fetch is not None


def test_a_pc_is_told_that_a_guest_has_no_agent(
    pc: FakePc, desktop: MasterImage, sales: Group, now: datetime
) -> None:
    desktop.health_agent, desktop.health_within_s, desktop.health_command = False, 7, []
    desktop.save()
    version = publish(desktop, "a", now=now)

    distributing.start(version, sales, now=now)

    assignment, _piece = told(pc.client, now)
    assert assignment is not None
    assert assignment.health == Health(within_s=7, agent=False)


def test_a_delivery_goes_from_waiting_to_booted_and_the_distribution_ends(
    pc: FakePc, desktop: MasterImage, sales: Group, now: datetime
) -> None:
    distribution = distributing.start(publish(desktop, "a", now=now), sales, now=now)
    assert states(distribution) == {"pc-sales-01": "waiting"}

    seen = []
    for stage in (DeliveryStage.FETCHING, DeliveryStage.STAGED, DeliveryStage.BOOTED):
        say(pc.client, stage, now=now, done_bytes=5, total_bytes=10)
        seen.append(states(distribution)["pc-sales-01"])

    assert seen == ["fetching", "staged", "booted"]
    distribution.refresh_from_db()
    assert distribution.state == Distribution.State.FINISHED


def test_only_a_wave_fetches_at_a_time(
    enrol: Enrol, desktop: MasterImage, sales: Group, now: datetime
) -> None:
    pcs = [enrol(f"pc-{number}", group=sales) for number in range(3)]

    distribution = distributing.start(
        publish(desktop, "a", now=now), sales, now=now, terms=Terms(wave_size=2)
    )

    def turns() -> int:
        return sum(told(pc.client, now)[1].fetch is not None for pc in pcs)

    assert turns() == 2
    first = distribution.deliveries.exclude(released_at=None).first()
    assert first is not None
    say(first.client, DeliveryStage.STAGED, now=now)
    assert turns() == 3


def test_a_silent_pc_fails_by_the_clock_and_goes_on_when_it_speaks(
    pc: FakePc, desktop: MasterImage, sales: Group, now: datetime
) -> None:
    distribution = distributing.start(publish(desktop, "a", now=now), sales, now=now)
    say(pc.client, DeliveryStage.FETCHING, now=now)
    later = now + settings.DELIVERY_SILENCE

    assert distributing.sweep_silent(now=later) == 0
    assert distributing.sweep_silent(now=later + timedelta(seconds=1)) == 1

    delivery = distribution.deliveries.get()
    assert (delivery.state, delivery.code) == ("failed", "no_contact")
    say(pc.client, DeliveryStage.BOOTED, now=later)
    assert states(distribution) == {"pc-sales-01": "booted"}


def test_retry_reaches_the_failed_ones_only_and_under_a_higher_serial(
    enrol: Enrol, desktop: MasterImage, sales: Group, now: datetime
) -> None:
    good, bad = enrol("good", group=sales), enrol("bad", group=sales)
    distribution = distributing.start(publish(desktop, "a", now=now), sales, now=now)
    say(good.client, DeliveryStage.BOOTED, now=now)
    say(bad.client, DeliveryStage.FAILED, now=now, code="disk_full", words="No room.")
    before = told(bad.client, now)[0]

    assert distributing.retry_failed(distribution, now=now) == 1

    assert states(distribution) == {"good": "booted", "bad": "waiting"}
    after = told(bad.client, now)[0]
    assert before is not None
    assert after is not None
    assert after.serial > before.serial


def test_a_late_report_of_an_old_serial_changes_nothing(
    pc: FakePc, desktop: MasterImage, sales: Group, now: datetime
) -> None:
    distribution = distributing.start(publish(desktop, "a", now=now), sales, now=now)
    old = distribution.deliveries.get().serial
    say(pc.client, DeliveryStage.FAILED, now=now, code="disk_full")
    distributing.retry_failed(distribution, now=now)

    say(pc.client, DeliveryStage.BOOTED, now=now, serial=old)

    assert states(distribution) == {"pc-sales-01": "waiting"}


@pytest.mark.parametrize("code", ["unsigned_manifest", "wrong_key", "wrong_bytes"])
def test_what_a_pc_refused_to_run_is_in_the_audit_log_with_why(
    pc: FakePc, desktop: MasterImage, sales: Group, now: datetime, code: str
) -> None:
    distributing.start(publish(desktop, "a", now=now), sales, now=now)
    newest = Delivery.objects.get()
    report = DeliveryReport(serial=newest.serial, stage=DeliveryStage.FAILED, code=code, words="not signed")

    assert pc.post("/node/v1/reports/imaging", report).status_code == 204

    event = Event.objects.get(verb="delivery.failed")
    assert (event.object_id, event.actor, event.reason) == (str(newest.pk), "pc-sales-01", code)


def test_the_later_of_two_distributions_wins(
    pc: FakePc, desktop: MasterImage, sales: Group, now: datetime
) -> None:
    first = distributing.start(publish(desktop, "a", now=now), sales, now=now)
    second = distributing.start(publish(desktop, "b", now=now), sales, now=now)

    assert states(first) == {"pc-sales-01": "superseded"}
    first.refresh_from_db()
    assert first.state == Distribution.State.SUPERSEDED
    assignment, _piece = told(pc.client, now)
    assert assignment is not None
    assert assignment.number == second.version.number


def test_a_rollback_is_a_higher_serial_that_names_the_version_before(
    pc: FakePc, desktop: MasterImage, sales: Group, now: datetime
) -> None:
    for text in ("a", "b"):
        distributing.start(publish(desktop, text, now=now), sales, now=now)
        say(pc.client, DeliveryStage.BOOTED, now=now)
    before = told(pc.client, now)[0]

    distributing.roll_back(sales, now=now)

    after = told(pc.client, now)[0]
    assert before is not None
    assert after is not None
    assert (before.number, after.number) == (2, 1)
    assert after.serial > before.serial


def test_one_pc_goes_back_and_its_group_keeps_what_it_has(
    pc: FakePc, enrol: Enrol, desktop: MasterImage, sales: Group, now: datetime
) -> None:
    other = enrol("pc-sales-02", group=sales)
    Subscription.objects.create(group=sales, image=desktop, on_publish=False)
    versions = [publish(desktop, text, now=now) for text in ("a", "b", "c")]
    for version in versions[1:]:
        distributing.start(version, sales, now=now)
        for each in (pc, other):
            say(each.client, DeliveryStage.BOOTED, now=now)
    before = told(pc.client, now)[0]

    back = distributing.roll_back_pc(Client.objects.get(pk=pc.client.pk), now=now)

    after, others = told(pc.client, now)[0], told(other.client, now)[0]
    assert before is not None
    assert after is not None
    assert others is not None
    assert (before.number, after.number, others.number) == (3, 2, 3)
    assert after.serial > before.serial
    assert states(back) == {"pc-sales-01": "waiting"}
    # Whoever joins gets what the group has, and the way back of the group is that of the group.
    joined = told(enrol("pc-sales-03", group=sales).client, now)[0]
    assert joined is not None
    assert joined.number == 3
    assert distributing.rollback_target(sales) == versions[1]
    assert distributing.pc_rollback_target(pc.client) == versions[0]


def test_a_pc_that_was_sent_nothing_or_is_in_no_group_does_not_go_back(
    enrol: Enrol, desktop: MasterImage, sales: Group, now: datetime
) -> None:
    publish(desktop, "a", now=now)
    for name, group, code in (("pc-1", sales, "nothing_before"), ("pc-2", None, "not_in_a_group")):
        client = Client.objects.get(pk=enrol(name, group=group).client.pk)
        with pytest.raises(Refusal) as refusal:
            distributing.roll_back_pc(client, now=now)
        assert refusal.value.code == code


def test_there_is_nothing_before_the_first_version(
    pc: FakePc, desktop: MasterImage, sales: Group, now: datetime
) -> None:
    with pytest.raises(Refusal) as refusal:
        distributing.roll_back(sales, now=now)
    assert refusal.value.code == "nothing_before"


def test_a_group_that_subscribed_gets_each_new_version(
    pc: FakePc, desktop: MasterImage, sales: Group, now: datetime
) -> None:
    Subscription.objects.create(group=sales, image=desktop)

    publish(desktop, "a", now=now)

    distribution = Distribution.objects.get()
    assert distribution.kind == Distribution.Kind.ON_PUBLISH
    assert states(distribution) == {"pc-sales-01": "waiting"}


def test_a_pc_that_joins_gets_what_its_group_was_sent_last(
    pc: FakePc, enrol: Enrol, desktop: MasterImage, sales: Group, now: datetime
) -> None:
    for text in ("a", "b"):
        distributing.start(publish(desktop, text, now=now), sales, now=now)
    distributing.roll_back(sales, now=now)
    Subscription.objects.create(group=sales, image=desktop)

    newcomer = enrol("newcomer", group=sales)
    moved = enrol("moved")
    enrolling.regroup(moved.client, sales, now=now)

    for client in (newcomer.client, moved.client):
        assignment, _piece = told(client, now)
        assert assignment is not None
        assert assignment.number == 1


def test_an_empty_group_is_refused_with_what_to_do(
    desktop: MasterImage, sales: Group, installation: object, now: datetime
) -> None:
    with pytest.raises(Refusal) as refusal:
        distributing.start(publish(desktop, "a", now=now), sales, now=now)
    assert refusal.value.code == "group_is_empty"


def test_a_cancelled_distribution_leaves_pcs_as_they_are(
    pc: FakePc, desktop: MasterImage, sales: Group, now: datetime
) -> None:
    distribution = distributing.start(publish(desktop, "a", now=now), sales, now=now)

    steering.cancel(distribution, reason="wrong group", now=now)

    assert told(pc.client, now)[0] is None
    assert states(distribution) == {"pc-sales-01": "superseded"}


def test_a_pc_reads_only_what_was_assigned_to_it(
    pc: FakePc, enrol: Enrol, desktop: MasterImage, sales: Group, now: datetime
) -> None:
    stranger = enrol("stranger")
    version = publish(desktop, "a", now=now)
    distributing.start(version, sales, now=now)
    path = f"/node/v1/imaging/{version.manifest}/manifest"

    assert pc.get(path).status_code == 200
    refused = stranger.get(path)
    assert (refused.status_code, refused.json()["code"]) == (403, "not_assigned")


def test_the_permission_to_read_packs_ends_and_cannot_be_made_up(pc: FakePc, now: datetime) -> None:
    text = desktops.permission(pc.client.pk, now=now)

    assert desktops.permits(text, now=now)
    assert not desktops.permits(text, now=now + timedelta(hours=3))
    client_id, until, mac = text.split(".")
    for forged in ("", "a.b.c", f"{client_id}.{int(until) + 3600}.{mac}", f"{client_id}.{until}.{mac[:-1]}0"):
        assert not desktops.permits(forged, now=now) or forged == text


def test_a_revoked_pc_reads_no_more_packs_with_what_it_was_given(
    pc: FakePc, now: datetime, django_capture_on_commit_callbacks: Any
) -> None:
    text = desktops.permission(pc.client.pk, now=now)

    with django_capture_on_commit_callbacks(execute=True):
        enrolling.revoke(pc.client, reason="stolen")

    assert not desktops.permits(text, now=now)
