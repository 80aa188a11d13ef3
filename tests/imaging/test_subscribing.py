"""What groups get by themselves, on terms of their own: pilots first, also for a PC that joins meanwhile."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.urls import reverse

from clients import auditing
from clients.auditing import Actor
from clients.errors import Refusal
from clients.models import Client, Group
from imaging import desktops, distributing, steering
from imaging.models import Distribution, MasterImage, Subscription
from tests.images import publish
from tests.imaging.test_distributing import say
from tests.pcs import FakePc
from vrasnode.wire.imaging import DeliveryStage

Enrol = Callable[..., FakePc]
SATO = Actor(name="sato", kind="user", origin="test")


@pytest.fixture
def office(enrol: Enrol, sales: Group) -> list[Client]:
    """Four PCs of the group, pc-0 to pc-3."""
    return [enrol(f"pc-{number}", group=sales).client for number in range(4)]


def fetching(clients: list[Client], now: datetime) -> list[str]:
    return [client.name for client in clients if desktops.slice_of(client, now).fetch is not None]


def runs(client: Client, now: datetime) -> str:
    """What the PC is to run, by the server's last word."""
    delivery = client.deliveries.order_by("-serial").first()
    return str(delivery.distribution.version) if delivery else ""


def test_a_published_version_goes_to_the_groups_pilots_first_and_on_its_terms(
    office: list[Client], sales: Group, desktop: MasterImage, now: datetime
) -> None:
    terms: dict[str, Any] = {"pilots": ["pc-2"], "approval": True, "halt_percent": 50, "rate_bytes_s": 9_000}
    Subscription.objects.create(
        group=sales, image=desktop, **terms, postponements=2, deadline_days=3, fetch_hours="daily 0-24"
    )

    publish(desktop, "a", now=now)

    sent = Distribution.objects.get()
    assert (sent.kind, sent.approval, sent.halt_percent, sent.postponements) == ("on_publish", True, 50, 2)
    assert sent.deadline == now + timedelta(days=3)
    assert fetching(office, now) == ["pc-2"]
    say(office[2], DeliveryStage.BOOTED, now=now)
    sent.refresh_from_db()
    assert sent.state == Distribution.State.PILOTED
    with auditing.acting(SATO):
        steering.approve(sent, now=now)
    assert fetching(office, now) == ["pc-0", "pc-1", "pc-3"]


def test_whoever_published_is_not_the_second_person(
    office: list[Client], sales: Group, desktop: MasterImage, now: datetime
) -> None:
    Subscription.objects.create(group=sales, image=desktop, pilot_count=1, approval=True)
    version = publish(desktop, "a", now=now)
    sent = Distribution.objects.get()
    say(sent.deliveries.get(ring=0).client, DeliveryStage.BOOTED, now=now)
    sent.refresh_from_db()

    with (
        auditing.acting(Actor(name=version.published_by, kind="user", origin="test")),
        pytest.raises(Refusal) as refusal,
    ):
        steering.approve(sent, now=now)

    assert refusal.value.code == "same_person"


def test_a_pilot_that_left_the_group_is_replaced_and_never_all_get_it_at_once(
    office: list[Client], sales: Group, desktop: MasterImage, now: datetime
) -> None:
    Subscription.objects.create(group=sales, image=desktop, pilots=["gone", "pc-1"])

    publish(desktop, "a", now=now)

    sent = Distribution.objects.get()
    pilots = {delivery.client.name for delivery in sent.deliveries.filter(ring=0)}
    assert len(pilots) == 2
    assert "pc-1" in pilots


def test_a_pc_that_joins_while_pilots_try_gets_what_the_group_has_and_then_the_new_one_with_the_others(
    office: list[Client], enrol: Enrol, sales: Group, desktop: MasterImage, now: datetime
) -> None:
    proven = publish(desktop, "a", now=now)
    distributing.start(proven, sales, now=now)
    Subscription.objects.create(group=sales, image=desktop, pilots=["pc-0"], rate_bytes_s=50_000)
    tried = publish(desktop, "b", now=now)
    sent = Distribution.objects.get(kind="on_publish")

    newcomer = enrol("newcomer", group=sales).client

    assert runs(newcomer, now) == str(proven)
    assert newcomer.deliveries.get().distribution.rate_bytes_s == 50_000
    say(office[0], DeliveryStage.BOOTED, now=now)
    assert runs(newcomer, now) == str(tried)
    assert "newcomer" in fetching([newcomer], now)
    assert sent.deliveries.filter(client=newcomer, ring=1).exists()


def test_a_pc_that_joins_before_any_version_is_proven_waits_for_the_pilots(
    office: list[Client], enrol: Enrol, sales: Group, desktop: MasterImage, now: datetime
) -> None:
    Subscription.objects.create(group=sales, image=desktop, pilot_count=1, approval=True)
    publish(desktop, "a", now=now)
    sent = Distribution.objects.get()

    newcomer = enrol("newcomer", group=sales).client
    assert runs(newcomer, now) == ""
    say(sent.deliveries.get(ring=0).client, DeliveryStage.BOOTED, now=now)
    sent.refresh_from_db()
    with auditing.acting(SATO):
        steering.approve(sent, now=now)

    assert runs(newcomer, now) == str(sent.version)


def test_a_pc_that_joins_gets_nothing_that_was_halted(
    office: list[Client], enrol: Enrol, sales: Group, desktop: MasterImage, now: datetime
) -> None:
    proven = publish(desktop, "a", now=now)
    distributing.start(proven, sales, now=now)
    Subscription.objects.create(group=sales, image=desktop, halt_failures=1)
    publish(desktop, "b", now=now)
    say(office[0], DeliveryStage.FAILED, now=now, code="no_answer")

    newcomer = enrol("newcomer", group=sales).client

    assert runs(newcomer, now) == str(proven)


def test_terms_are_written_on_the_page_and_shown_again(
    admin_client: Any, sales: Group, desktop: MasterImage
) -> None:
    address = reverse("imaging:automatic", args=[sales.pk])
    wish = {"image": desktop.pk, "on_publish": "on", "rate_mib_s": "2", "pilots": "pc-1, pc-2"}

    admin_client.post(address, {**wish, "approval": "on", "fetch_hours": "daily 20-6", "deadline_days": "5"})

    kept = Subscription.objects.get()
    assert (kept.pilots, kept.approval, kept.rate_bytes_s) == (["pc-1", "pc-2"], True, 2 << 20)
    assert (kept.fetch_hours, kept.deadline_days, kept.wave_size) == ("daily 20-6", 5, 50)
    shown = admin_client.get(address).content.decode()
    assert "pc-1, pc-2" in shown
    assert "daily 20-6" in shown
    refused = admin_client.post(address, {"image": desktop.pk, "approval": "on"})
    assert refused.status_code in (200, 422)
    assert Subscription.objects.get().pilots == ["pc-1", "pc-2"]


def test_terms_are_written_by_rest_and_what_cannot_be_kept_is_refused(
    admin_client: Any, sales: Group, desktop: MasterImage
) -> None:
    path = "/api/v1/subscriptions/"
    wish = {"group": "sales", "image": desktop.name, "pilots": ["pc-1"], "approval": True}

    made = admin_client.post(path, {**wish, "halt_percent": 10}, content_type="application/json")

    assert made.status_code == 201, made.content
    assert made.json()["pilots"] == ["pc-1"]
    one = f"{path}{made.json()['id']}/"
    wrong: list[dict[str, Any]] = [{"pilots": []}, {"fetch_hours": "never"}, {"halt_percent": 101}]
    for bad in (*wrong, {"rate_bytes_s": 1}):
        assert admin_client.patch(one, bad, content_type="application/json").status_code == 400, bad
    assert Subscription.objects.get().halt_percent == 10
