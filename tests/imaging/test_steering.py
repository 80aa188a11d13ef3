"""A distribution in people's hands: pause, call off, rings, halt; and whose turn it is at which site and hour
(rows T4, T6, T7, T8)."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from clients import auditing
from clients.auditing import Actor
from clients.enrolment import enrolling
from clients.errors import Refusal
from clients.models import Client, Event, Group, Site
from imaging import desktops, distributing, pacing, publishing, reasons, steering, waving
from imaging.distributing import Terms
from imaging.models import Delivery, Distribution, ImageVersion, MasterImage
from tests.images import publish
from tests.imaging.test_distributing import say, states, told
from tests.pcs import FakePc
from vrasnode.wire.imaging import DeliveryStage

Enrol = Callable[..., FakePc]
SUNDAY_NOON = datetime(2026, 11, 29, 3, tzinfo=UTC)  # in Tokyo
MORI = Actor(name="mori", kind="user", origin="test")
SATO = Actor(name="sato", kind="user", origin="test")


@pytest.fixture
def office(enrol: Enrol, sales: Group) -> list[Client]:
    """Ten PCs of the group, pc-00 to pc-09."""
    return [enrol(f"pc-{number:02}", group=sales).client for number in range(10)]


@pytest.fixture
def version(desktop: MasterImage, installation: object, now: datetime) -> ImageVersion:
    return publish(desktop, "a", now=now)


def fetching(clients: list[Client], now: datetime) -> list[Client]:
    return [client for client in clients if desktops.slice_of(client, now).fetch is not None]


def test_a_paused_distribution_stops_fetching_and_switching_and_goes_on_where_it_stood(
    office: list[Client], version: ImageVersion, sales: Group, now: datetime
) -> None:
    sent = distributing.start(version, sales, now=now)
    say(office[0], DeliveryStage.STAGED, now=now)
    say(office[1], DeliveryStage.FETCHING, now=now)

    steering.pause(sent, reason="month's end")

    held = desktops.slice_of(office[0], now).switch
    assert held is not None
    assert held.held
    assert fetching(office, now) == []
    assert distributing.sweep_silent(now=now + timedelta(hours=1)) == 0

    steering.resume(sent, now=now)

    assert fetching(office[1:], now) == office[1:]
    assert not desktops.slice_of(office[0], now).switch.held  # type: ignore[union-attr]
    assert {event.verb for event in Event.objects.all()} >= {"distribution.paused", "distribution.running"}


def test_one_pc_is_paused_goes_on_and_is_called_off_alone(
    office: list[Client], version: ImageVersion, sales: Group, now: datetime
) -> None:
    sent = distributing.start(version, sales, now=now)
    one = sent.deliveries.get(client=office[3])

    steering.pause_pc(one, reason="a meeting", now=now)
    assert fetching(office, now) == [client for client in office if client != office[3]]
    steering.resume_pc(one, now=now)
    assert fetching(office, now) == office
    steering.cancel_pc(one, reason="a test PC", now=now)

    told_off = desktops.slice_of(office[3], now)
    assert (told_off.assignment, told_off.withdrawn) == (None, one.serial)
    assert len(fetching(office, now)) == 9
    with pytest.raises(Refusal) as refusal:
        steering.pause_pc(one, reason="", now=now)
    assert refusal.value.code == "not_under_way"


def test_the_others_wait_for_the_pilots_and_for_a_second_person(
    office: list[Client], version: ImageVersion, sales: Group, now: datetime
) -> None:
    with auditing.acting(MORI):
        sent = distributing.start(
            version, sales, now=now, terms=Terms(pilots=["pc-00", "pc-01"], approval=True)
        )
    assert fetching(office, now) == office[:2]

    for client in office[:2]:
        say(client, DeliveryStage.BOOTED, now=now)

    sent.refresh_from_db()
    assert sent.state == Distribution.State.PILOTED
    assert fetching(office, now) == []
    with auditing.acting(MORI), pytest.raises(Refusal) as refusal:
        steering.approve(sent, now=now)
    assert refusal.value.code == "same_person"
    with pytest.raises(Refusal):
        steering.resume(sent, now=now)
    with auditing.acting(SATO):
        steering.approve(sent, now=now)
    assert sent.approved_by == "sato"
    assert fetching(office, now) == office[2:]


def test_two_failed_pilots_of_ten_halt_it_and_nobody_else_gets_it(
    office: list[Client], enrol: Enrol, version: ImageVersion, sales: Group, now: datetime
) -> None:
    others = [enrol(f"zz-{number}", group=sales).client for number in range(3)]
    names = [client.name for client in office]
    sent = distributing.start(version, sales, now=now, terms=Terms(pilots=names, halt_percent=20))

    say(office[0], DeliveryStage.FAILED, now=now, code="no_answer")
    assert states(sent)["pc-01"] == "waiting"
    sent.refresh_from_db()
    assert sent.state == Distribution.State.RUNNING
    say(office[1], DeliveryStage.FAILED, now=now, code="no_answer")

    sent.refresh_from_db()
    assert (sent.state, sent.stop_code) == (Distribution.State.HALTED, "too_many_failures")
    assert Event.objects.filter(verb="distribution.halted").exclude(reason="").exists()
    assert fetching([*office, *others], now) == []
    steering.resume(sent, now=now, reason="known bug of two PCs")
    for client in office[2:]:
        say(client, DeliveryStage.BOOTED, now=now)
    sent.refresh_from_db()
    assert sent.state == Distribution.State.RUNNING
    assert fetching(others, now) == others


def test_pilots_none_of_which_booted_it_let_nobody_follow(
    office: list[Client], version: ImageVersion, sales: Group, now: datetime
) -> None:
    sent = distributing.start(version, sales, now=now, terms=Terms(pilot_count=1))
    pilot = sent.deliveries.get(ring=0)
    later = now + timedelta(hours=1)

    distributing.sweep_silent(now=later)

    sent.refresh_from_db()
    assert (sent.state, sent.stop_code) == (Distribution.State.HALTED, "no_pilot_booted")
    assert reasons.why(sent.deliveries.get(pk=pilot.pk), now=later).code == "no_contact"  # type: ignore[union-attr]


def test_a_pc_that_is_off_is_no_failure_of_the_version(
    office: list[Client], version: ImageVersion, sales: Group, now: datetime
) -> None:
    sent = distributing.start(version, sales, now=now, terms=Terms(wave_size=5, halt_failures=1))

    distributing.sweep_silent(now=now + timedelta(hours=1))

    sent.refresh_from_db()
    assert sent.state == Distribution.State.RUNNING
    assert sent.deliveries.filter(code="no_contact").count() == 5


def test_a_ring_goes_back_to_what_each_of_its_pcs_ran_before(
    office: list[Client], version: ImageVersion, desktop: MasterImage, sales: Group, now: datetime
) -> None:
    distributing.start(version, sales, now=now)
    for client in office:
        say(client, DeliveryStage.BOOTED, now=now)
    second = publish(desktop, "b", now=now)
    sent = distributing.start(second, sales, now=now, terms=Terms(pilots=["pc-00", "pc-01"]))
    say(office[0], DeliveryStage.BOOTED, now=now)
    say(office[1], DeliveryStage.STAGED, now=now)

    back = steering.roll_back_ring(sent, now=now, reason="no printing")

    assert [row.version.number for row in back] == [1]
    assert states(back[0]) == {"pc-00": "waiting", "pc-01": "waiting"}
    sent.refresh_from_db()
    assert sent.state == Distribution.State.CANCELLED
    for client in office[:2]:
        assignment, _piece = told(client, now)
        assert assignment is not None
        assert assignment.number == 1


def test_a_site_lets_as_many_fetch_as_it_bears_and_divides_its_rate_among_them(
    office: list[Client], version: ImageVersion, sales: Group
) -> None:
    now = SUNDAY_NOON
    Site.objects.create(name="Osaka", ranges="10.2.0.0/16", at_once=2, rates="daily 0-24 10Mbit/s")
    for client in office[:5]:
        Client.objects.filter(pk=client.pk).update(address="10.2.0.9")
    sent = distributing.start(version, sales, now=now)

    assert fetching(office, now) == [*office[:2], *office[5:]]
    pacing.balance(now=now)
    rates = [desktops.slice_of(client, now).fetch.rate_bytes_s for client in office[:2]]  # type: ignore[union-attr]
    assert rates == [625_000, 625_000]
    assert desktops.slice_of(office[7], now).fetch.rate_bytes_s is None  # type: ignore[union-attr]
    say(office[0], DeliveryStage.STAGED, now=now)
    say(office[1], DeliveryStage.STAGED, now=now)
    assert sent.deliveries.filter(released_at__isnull=False).count() == 9


def test_pcs_wait_while_their_site_is_shut_and_go_on_first_when_it_opens(
    office: list[Client], version: ImageVersion, sales: Group
) -> None:
    site = Site.objects.create(name="Osaka", ranges="10.2.0.0/16")
    Client.objects.filter(pk=office[0].pk).update(address="10.2.0.9")
    distributing.start(version, sales, now=SUNDAY_NOON, terms=Terms(wave_size=3))
    site.rates = "sun 12-13 off"
    site.save()

    pacing.balance(now=SUNDAY_NOON)

    assert fetching(office, SUNDAY_NOON) == office[1:3]
    one = Delivery.objects.get(client=office[0])
    assert reasons.why(one, now=SUNDAY_NOON).code == "not_now"  # type: ignore[union-attr]
    assert distributing.sweep_silent(now=SUNDAY_NOON + timedelta(minutes=10)) == 0
    later = SUNDAY_NOON + timedelta(hours=1)
    for delivery in Delivery.objects.filter(client__in=office[1:3]):
        say(delivery.client, DeliveryStage.BOOTED, now=later)
    assert office[0] in fetching(office, later)


def test_hours_of_a_distribution_say_when_to_fetch_and_when_to_switch(
    office: list[Client], version: ImageVersion, sales: Group
) -> None:
    terms = Terms(fetch_hours="sun 22-6", switch_hours="mon 9-11")
    sent = distributing.start(version, sales, now=SUNDAY_NOON, terms=terms)

    assert fetching(office, SUNDAY_NOON) == []
    night = SUNDAY_NOON + timedelta(hours=11)
    distributing.settle(sent, now=night)
    assert fetching(office, night) == office
    switch = desktops.slice_of(office[0], night).switch
    assert switch is not None
    assert switch.windows == [(0, 120)]  # Tokyo's Monday 9 h to 11 h is UTC's 0 h to 2 h


@pytest.mark.parametrize(
    ("terms", "code"),
    [
        (Terms(pilots=["nobody"]), "unknown_pilots"),
        (Terms(approval=True), "no_pilots"),
        (Terms(fetch_hours="noon"), "bad_hours"),
        (Terms(deadline=datetime(2020, 1, 1, tzinfo=UTC)), "deadline_past"),
    ],
)
def test_terms_that_cannot_be_kept_are_refused(
    pc: FakePc, version: ImageVersion, now: datetime, terms: Terms, code: str
) -> None:
    with pytest.raises(Refusal) as refusal:
        distributing.start(version, pc.client.group, now=now, terms=terms)  # type: ignore[arg-type]

    assert refusal.value.code == code
    assert not Distribution.objects.exists()


def test_the_speed_and_the_expected_end_follow_from_what_pcs_report(
    office: list[Client], version: ImageVersion, sales: Group, now: datetime
) -> None:
    sent = distributing.start(version, sales, now=now)
    waving.take_sample(sent, now=now)
    for client in office:
        say(client, DeliveryStage.FETCHING, now=now, done_bytes=400, total_bytes=1000)
    later = now + timedelta(seconds=20)
    assert waving.take_sample(sent, now=later)

    shown = waving.progress(sent, now=later)

    assert (shown.done_bytes, shown.bytes_s) == (4000, 200)
    assert shown.expected_end == later + timedelta(seconds=30)
    drawn = waving.plot(sent)
    assert drawn is not None
    assert [area.state for area in drawn.areas] == ["fetching", "waiting"]
    steering.pause(sent, reason="")
    assert waving.progress(sent, now=later).open_end == "standing"


def test_the_plot_of_a_long_distribution_keeps_few_points(
    pc: FakePc, version: ImageVersion, sales: Group, now: datetime
) -> None:
    sent = distributing.start(version, sales, now=now)

    for minute in range(0, 5 * (waving.MOST + 2), 5):
        waving.take_sample(sent, now=now + timedelta(minutes=minute))

    assert waving.MOST // 2 < sent.samples.count() <= waving.MOST


def test_a_version_that_is_being_distributed_is_not_retired_and_a_newer_one_takes_over(
    office: list[Client], version: ImageVersion, desktop: MasterImage, sales: Group, now: datetime
) -> None:
    first = distributing.start(version, sales, now=now)
    say(office[0], DeliveryStage.FETCHING, now=now)
    with pytest.raises(Refusal) as refusal:
        publishing.retire(version)
    assert refusal.value.code == "version_in_use"
    newer = publish(desktop, "b", now=now)

    distributing.start(newer, sales, now=now)

    first.refresh_from_db()
    assert first.state == Distribution.State.SUPERSEDED
    publishing.retire(version)
    stale = ImageVersion.objects.get(pk=version.pk)
    stale.state = ImageVersion.State.READY  # as whoever looked before the retirement has it
    with pytest.raises(Refusal) as late:
        distributing.start(stale, sales, now=now)
    assert late.value.code == "version_not_ready"


def test_a_pc_that_is_revoked_in_the_middle_has_failed_and_the_others_finish(
    office: list[Client], version: ImageVersion, now: datetime, django_capture_on_commit_callbacks: Any
) -> None:
    sent = distributing.start(version, Group.objects.get(), now=now, terms=Terms(halt_failures=1))
    say(office[0], DeliveryStage.FETCHING, now=now)
    with django_capture_on_commit_callbacks(execute=True):
        enrolling.revoke(office[0], reason="stolen")
    for client in office[1:]:
        say(client, DeliveryStage.BOOTED, now=now)

    sent.refresh_from_db()
    gone = sent.deliveries.get(client=office[0])
    assert sent.state == Distribution.State.FINISHED
    assert (gone.state, reasons.why(gone, now=now).code) == ("failed", "revoked")  # type: ignore[union-attr]
    assert desktops.permits(desktops.permission(office[0].pk, now=now), now=now) is False
    assert distributing.retry_failed(sent, now=now) == 0


def test_who_is_stuck_and_why_is_gathered_with_what_to_do(
    office: list[Client], version: ImageVersion, sales: Group, now: datetime, admin_client: Any
) -> None:
    sent = distributing.start(version, sales, now=now)
    for client in office[:3]:
        say(client, DeliveryStage.FAILED, now=now, code="disk_full")
    steering.pause_pc(sent.deliveries.get(client=office[3]), reason="a meeting", now=now)
    later = now + timedelta(minutes=5)
    for client in office[4:9]:
        say(client, DeliveryStage.FETCHING, now=later)

    found = {reason.code: (count, reason.remedy) for reason, count in reasons.gathered(sent, now=later)}

    assert {code: count for code, (count, _remedy) in found.items()} == {
        "disk_full": 3,
        "paused": 1,
        "silent": 1,
    }
    assert all(remedy for _count, remedy in found.values())
    path = f"/api/v1/deliveries/?distribution={sent.pk}&stuck=true"
    names = {row["client"] for row in admin_client.get(path).json()["results"]}
    assert names >= {"pc-00", "pc-01", "pc-02", "pc-03"}
    told = admin_client.get(f"/api/v1/distributions/{sent.pk}/progress/").json()["stuck"]
    assert {key: told[0][key] for key in ("code", "pcs")} == {"code": "disk_full", "pcs": 3}
    page = admin_client.get(f"/distributions/{sent.pk}/?state=stuck").content.decode()
    assert "pc-03" in page
    assert "disk_full" in page
