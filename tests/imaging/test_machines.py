"""Two machines of a PC, two lines of images: what is sent to one never touches the other (row N1)."""

from datetime import datetime, timedelta

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.test import Client as Browser
from django.urls import reverse

from clients.enrolment import nodeslice, signing
from clients.errors import Refusal
from clients.models import Client, Group
from imaging import desktops, distributing
from imaging.models import Delivery, Distribution, MasterImage, Subscription
from tests.images import publish
from tests.pcs import FakePc
from vrasnode.wire import codec
from vrasnode.wire.imaging import SLICES, Assignment, DeliveryReport, DeliveryStage, ImagingSlice, Machine
from vrasnode.wire.signatures import Role

CLIENT_VM, VIRTUAL_SERVER = Machine.CLIENT_VM, Machine.VIRTUAL_SERVER


@pytest.fixture
def service(db: None) -> MasterImage:
    """A line of virtual servers without versions."""
    return MasterImage.objects.create(name="virtual-server", machine=VIRTUAL_SERVER.value)


@pytest.fixture
def browser(admin: User) -> Browser:
    browser = Browser()
    browser.force_login(admin)
    return browser


def told(client: Client, machine: Machine, now: datetime) -> Assignment | None:
    """What the PC reads in the slice of this machine, after checking the signature as it would."""
    data = nodeslice.desired(client, now=now).slices[SLICES[machine]]
    signed = codec.decode(data, ImagingSlice).assignment
    return signing.store().keyring().open(signed, Role.ASSIGNMENT, Assignment, at=now) if signed else None


def say(pc: FakePc, machine: Machine, serial: int, stage: DeliveryStage, **more: object) -> int:
    """The PC reports at the door of this machine; the answer's status."""
    report = DeliveryReport(serial=serial, stage=stage, **more)  # type: ignore[arg-type]
    return int(pc.post(f"/node/v1/reports/{SLICES[machine]}", report).status_code)


def test_each_machine_has_an_assignment_of_its_own(
    pc: FakePc, desktop: MasterImage, service: MasterImage, sales: Group, now: datetime
) -> None:
    distributing.start(publish(desktop, "a", now=now), sales, now=now)
    distributing.start(publish(service, "s", now=now), sales, now=now)

    for machine, image in ((CLIENT_VM, desktop), (VIRTUAL_SERVER, service)):
        assignment = told(pc.client, machine, now)
        assert assignment is not None
        assert (assignment.machine, assignment.image) == (machine, image.name)


def test_a_pc_without_a_virtual_server_is_told_of_none(
    pc: FakePc, desktop: MasterImage, sales: Group, now: datetime
) -> None:
    distributing.start(publish(desktop, "a", now=now), sales, now=now)

    assert told(pc.client, VIRTUAL_SERVER, now) is None


def test_what_is_sent_to_one_machine_replaces_nothing_of_the_other(
    pc: FakePc, desktop: MasterImage, service: MasterImage, sales: Group, now: datetime
) -> None:
    first = distributing.start(publish(desktop, "a", now=now), sales, now=now)
    distributing.start(publish(service, "s", now=now), sales, now=now)
    second = distributing.start(publish(service, "t", now=now), sales, now=now)

    states = dict(Distribution.objects.values_list("pk", "state"))

    assert states[first.pk] == states[second.pk] == Distribution.State.RUNNING
    assert sorted(states.values()) == ["running", "running", "superseded"]
    assert told(pc.client, CLIENT_VM, now) is not None


def test_a_report_counts_only_at_the_door_of_its_machine(
    pc: FakePc, desktop: MasterImage, service: MasterImage, sales: Group, now: datetime
) -> None:
    distributing.start(publish(service, "s", now=now), sales, now=now)
    assignment = told(pc.client, VIRTUAL_SERVER, now)
    assert assignment is not None

    say(pc, CLIENT_VM, assignment.serial, DeliveryStage.BOOTED)
    at_the_wrong_door = Delivery.objects.get().state
    say(pc, VIRTUAL_SERVER, assignment.serial, DeliveryStage.BOOTED, running="ff" * 32)

    assert at_the_wrong_door == Delivery.State.WAITING
    assert Delivery.objects.get().state == Delivery.State.BOOTED
    pc.client.refresh_from_db()
    assert pc.client.running != "ff" * 32  # that is what the client VM runs


def test_a_rollback_goes_back_in_the_line_of_its_machine(
    pc: FakePc, desktop: MasterImage, service: MasterImage, sales: Group, now: datetime
) -> None:
    for text in ("a", "b"):
        distributing.start(publish(desktop, text, now=now), sales, now=now)
    for text in ("s", "t"):
        distributing.start(publish(service, text, now=now), sales, now=now)

    assert str(distributing.roll_back(sales, now=now).version) == "office-desktop@1"
    back = distributing.roll_back(sales, now=now, machine=VIRTUAL_SERVER)

    assert str(back.version) == "virtual-server@1"
    assignment = told(pc.client, CLIENT_VM, now)
    assert assignment is not None
    assert (assignment.image, assignment.number) == ("office-desktop", 1)


def test_a_group_that_was_sent_no_virtual_server_cannot_roll_one_back(
    pc: FakePc, desktop: MasterImage, sales: Group, now: datetime
) -> None:
    for text in ("a", "b"):
        distributing.start(publish(desktop, text, now=now), sales, now=now)

    with pytest.raises(Refusal) as refusal:
        distributing.roll_back(sales, now=now, machine=VIRTUAL_SERVER)

    assert refusal.value.code == "nothing_before"


def test_a_failed_client_vm_is_not_hidden_by_what_the_virtual_server_got_later(
    pc: FakePc, desktop: MasterImage, service: MasterImage, sales: Group, now: datetime
) -> None:
    distributing.start(publish(desktop, "a", now=now), sales, now=now)
    assignment = told(pc.client, CLIENT_VM, now)
    assert assignment is not None
    say(pc, CLIENT_VM, assignment.serial, DeliveryStage.FAILED, code="no_answer")

    distributing.start(publish(service, "s", now=now), sales, now=now)
    failed = Delivery.objects.filter(state=Delivery.State.FAILED).last_sent()
    assert failed.count() == 1

    distributing.start(publish(desktop, "b", now=now), sales, now=now + timedelta(minutes=1))
    assert failed.count() == 0


def test_a_group_gets_both_machines_images_by_itself(
    pc: FakePc, desktop: MasterImage, service: MasterImage, sales: Group, now: datetime
) -> None:
    for image in (desktop, service):
        Subscription.objects.create(group=sales, image=image)

    for image, text in ((desktop, "a"), (service, "s")):
        publish(image, text, now=now)

    assert told(pc.client, CLIENT_VM, now) is not None
    assert told(pc.client, VIRTUAL_SERVER, now) is not None


def test_a_pc_that_joins_gets_both(
    enrol, desktop: MasterImage, service: MasterImage, sales: Group, now: datetime
) -> None:
    for image, text in ((desktop, "a"), (service, "s")):
        publish(image, text, now=now)
        Subscription.objects.create(group=sales, image=image)

    newcomer = enrol("newcomer", group=sales)

    images = {told(newcomer.client, machine, now).image for machine in Machine}
    assert images == {"office-desktop", "virtual-server"}


def test_a_group_gets_one_image_for_each_machine_by_itself(
    desktop: MasterImage, service: MasterImage, sales: Group
) -> None:
    for image in (desktop, service):
        Subscription.objects.create(group=sales, image=image)

    another = MasterImage.objects.create(name="another")
    with pytest.raises(IntegrityError), transaction.atomic():
        Subscription.objects.create(group=sales, image=another)


def test_rest_makes_an_image_for_a_machine_and_keeps_it_there(browser: Browser) -> None:
    made = browser.post(
        "/api/v1/images/", {"name": "vs", "machine": "virtual_server"}, content_type="application/json"
    )
    changed = browser.patch("/api/v1/images/vs/", {"machine": "client_vm"}, content_type="application/json")

    assert (made.status_code, changed.status_code) == (201, 400)
    assert MasterImage.objects.get().machine == VIRTUAL_SERVER.value


def test_rest_takes_one_image_for_each_machine_and_refuses_a_second_one_in_words(
    browser: Browser, desktop: MasterImage, service: MasterImage, sales: Group
) -> None:
    MasterImage.objects.create(name="another")

    answers = [
        browser.post(
            "/api/v1/subscriptions/", {"group": "sales", "image": name}, content_type="application/json"
        )
        for name in (desktop.name, service.name, "another")
    ]

    assert [answer.status_code for answer in answers] == [201, 201, 400]
    assert "another image for this machine" in answers[2].content.decode()


def test_the_portal_makes_images_and_automatic_distribution_for_each_machine(
    browser: Browser, sales: Group, desktop: MasterImage
) -> None:
    wish = {"name": "vs", "machine": "virtual_server", "keep_versions": 3, "health_within_s": 60}
    browser.post(reverse("imaging:images"), wish)
    service = MasterImage.objects.get(name="vs")
    address = reverse("imaging:automatic", args=[sales.pk])

    offered = browser.get(f"{address}?machine=virtual_server").content.decode()
    browser.post(address, {"image": desktop.pk, "on_publish": "on"})
    browser.post(f"{address}?machine=virtual_server", {"image": service.pk, "on_publish": "on"})

    assert service.machine == VIRTUAL_SERVER.value
    assert "vs" in offered
    assert "office-desktop" not in offered
    assert {row.image.name: row.machine for row in Subscription.objects.all()} == {
        "office-desktop": "client_vm",
        "vs": "virtual_server",
    }
    page = browser.get(reverse("clients:group", args=[sales.pk])).content.decode()
    assert f"{address}?machine=virtual_server" in page


def test_an_image_stays_for_its_machine_when_it_is_changed_in_the_portal(
    browser: Browser, service: MasterImage
) -> None:
    wish = {"machine": "client_vm", "keep_versions": 7, "health_within_s": 60}

    browser.post(reverse("imaging:image-edit", args=[service.pk]), wish)

    service.refresh_from_db()
    assert (service.machine, service.keep_versions) == (VIRTUAL_SERVER.value, 7)


def test_the_slice_of_a_machine_is_the_one_that_its_name_says(pc: FakePc, now: datetime) -> None:
    slices = nodeslice.desired(pc.client, now=now).slices

    assert {SLICES[machine] for machine in Machine} <= set(slices)
    assert desktops.slice_of(pc.client, now, VIRTUAL_SERVER) == ImagingSlice(assignment=None)
