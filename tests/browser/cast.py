"""A small company for the browser: rows as they come about in use, made by the verbs.

Runs inside an installation (`Portal.act`), where Django is set up.
"""

from datetime import datetime, timedelta
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group as Roles

from checkout import chaining, requesting, wishes
from checkout.models import Lease
from clients import presence
from clients.auditing import Actor, acting
from clients.devices import policing
from clients.devices.policing import Draft
from clients.enrolment import enrolling, signing
from clients.groups import grouping
from clients.models import Client, Group, PublisherKey, Site
from clients.people.rolenames import Role
from imaging import distributing, publishing, waving
from imaging.distributing import Terms
from imaging.models import Delivery, ImageVersion, MasterImage, Subscription
from mydoc.models import Replica, ReplicationRun, Volume
from mydoc.replicas import passwords
from tests import images, pcs
from tests.browser import documents
from tests.checkout.asking import wish
from vrasnode.wire import clients as wire
from vrasnode.wire.checkout import CheckoutReport, Keeper, LeaseReport, LeaseState
from vrasnode.wire.devices import (
    Bus,
    DeviceEvent,
    DeviceHappening,
    DevicesReport,
    DeviceState,
    Fate,
    Rule,
    Scope,
    Verdict,
)
from vrasnode.wire.imaging import DeliveryReport, DeliveryStage

ADMIN = Actor(name="admin", kind="user", origin="portal 192.0.2.10")
GIB = 1 << 30
DELTA = 440 << 20


def company(*, now: datetime) -> None:
    """Two groups, nine PCs, two images with versions, and distributions in all states."""
    signing.store().create(name=settings.INSTALLATION_NAME, now=now)
    with acting(ADMIN):
        sales, design = Group(name="sales", note="Tokyo, 3F"), Group(name="design", note="CAD")
        grouping.keep(sales)
        grouping.keep(design)
        for number in range(1, 7):
            _enrol(f"pc-sales-{number:02}", sales, now=now, silent=number == 6)
        _enrol("pc-design-01", design, now=now)
        _enrol("pc-new-01", None, now=now, approved=False)
        _enrol("pc-new-02", sales, now=now, approved=False)
        office = _image("office-desktop", ("Windows 11, Office", "Security updates"), now=now)
        cad = _image("cad-workstation", ("CAD 2026",), now=now)
        Subscription.objects.create(group=sales, image=office.image)
        distributing.start(cad, design, now=now - timedelta(hours=3))
        boot("pc-design-01", now=now)
        first = office.image.versions.get(number=1)
        distributing.start(first, sales, now=now - timedelta(days=1))
        for number in range(1, 6):
            boot(f"pc-sales-{number:02}", now=now)
        distributing.start(office, sales, now=now, terms=Terms(wave_size=4))
        distributing.settle(office.distributions.get(), now=now)
        broken = publishing.open_version(cad.image, note="CAD 2026 SP1")
        publishing.fail(broken, "image_truncated", "The qcow2 file ends too early. Copy it again.")
        PublisherKey.objects.create(fingerprint="3f9a" * 8, name="mori@image-pc", public_key=bytes(32))
        enrolling.make_token(group=sales, approved=True, now=now)
    _devices(sales, now=now)
    documents.rows(now=now)
    Site.objects.create(name="大阪", ranges="10.2.0.0/16", rates="mon-fri 9-18 10Mbit/s", at_once=20)
    _checkouts(sales, now=now)
    wave = office.distributions.get()
    for minute, name in ((8, "pc-sales-01"), (6, "pc-sales-02"), (5, "pc-sales-04")):
        waving.take_sample(wave, now=now - timedelta(minutes=minute))
        fetch(name, 20, now=now)
    waving.take_sample(wave, now=now - timedelta(minutes=3))
    boot("pc-sales-01", now=now)
    _report("pc-sales-02", DeliveryStage.STAGED, now=now, percent=100)
    waving.take_sample(wave, now=now - timedelta(minutes=1))
    fetch("pc-sales-03", 62, now=now)
    _report(
        "pc-sales-04",
        DeliveryStage.FAILED,
        now=now,
        percent=31,
        code="disk_full",
        words="The state directory has 1.2 GB free, 3.4 GB are needed. Free space, then retry.",
    )
    waving.take_sample(wave, now=now)


def _checkouts(sales: Group, *, now: datetime) -> None:
    """Who asks whom for taking a PC out; one request waits."""
    terms = chaining.Terms(software=True, max_days=31, chain=chaining.ROLE_ALONE)
    with acting(ADMIN):
        chaining.save(sales, terms, reason="")
    volume = Volume.objects.select_related("client__group", "owner").get(owner__username="sato")
    with acting(Actor(name="sato", kind="user", origin="portal 192.0.2.31")):
        requesting.submit(volume, wish(now), by=volume.owner, now=now)


def may_be_lent(owner: str, approver: str, *, now: datetime) -> None:
    """Nothing stands in the way of a key for this one's data, and this one decides."""
    volume = Volume.objects.filter(owner__username=owner).order_by("client__name")[0]
    Volume.objects.filter(pk=volume.pk).update(server_half=b"wrapped")
    key = X25519PrivateKey.generate().public_key().public_bytes_raw()
    Client.objects.filter(pk=volume.client_id).update(hpke_key=key)
    times = {name: now - timedelta(hours=1) for name in ("asked_at", "begun_at", "ended_at")}
    replica = passwords.replica_of(volume)
    ReplicationRun.objects.create(replica=replica, occasion="shutdown", state="done", **times)
    Replica.objects.filter(pk=replica.pk).update(
        last_good_at=now - timedelta(hours=1), files=1, total_bytes=9
    )
    role, _new = Roles.objects.get_or_create(name=Role.APPROVER.value)
    get_user_model()._default_manager.get(username=approver).groups.add(role)


def says_of_the_key(owner: str, state: str, *, now: datetime) -> None:
    """The PC tells how the usage key of this one's data stands there."""
    lease = Lease.objects.current().select_related("client").get(request__requester__username=owner)
    said = LeaseReport(lease=str(lease.pk), state=LeaseState(state), keeper=Keeper.TPM, picked_up=now)
    with acting(Actor(name=lease.client.name, kind="pc", origin="node 192.0.2.24")):
        wishes.hear(lease.client, CheckoutReport(leases=[said]), now=now)


def plug(name: str, *, now: datetime) -> None:
    """A PC gives a stick to its client VM, and says so."""
    client = Client.objects.get(name=name)
    event = DeviceEvent(
        number=client.record.event_number + 1 if client.record else 1,
        at=now,
        happening=DeviceHappening.ATTACHED,
        bus=Bus.USB,
        key="1-2",
        device_id="0930:6545",
        serial="AAAA0002",
        name="Data stick",
        code="rule",
    )
    state = DeviceState(
        bus=Bus.USB, key="1-2", name="Data stick", fate=Fate.PASSED, code="rule", present=True
    )
    with acting(Actor(name=name, kind="pc", origin="node 192.0.2.24")):
        policing.hear(client, DevicesReport(policy="", devices=[state], events=[event]), now=now)


def _devices(sales: Group, *, now: datetime) -> None:
    """What sales may have; one PC that could not do all of it, one with an exception, one that is none."""
    rules = [
        _rule(Verdict.PASS, bus=Bus.PCI, device_class="03", note="Graphics cards"),
        _rule(Verdict.PASS, bus=Bus.USB, interfaces=["03:*:*"], note="Keyboards and mice"),
        _rule(Verdict.READ_ONLY, bus=Bus.USB, device_class="08", valid_until=now + timedelta(days=30)),
        _rule(
            Verdict.PASS, bus=Bus.USB, device_id="0930:6545", serial="AAAA0001", port="1-1", note="Ms Sato"
        ),
        _rule(Verdict.HIDE, bus=Bus.USB, device_class="e0", note="No Bluetooth"),
        _rule(Verdict.PASS, bus=Bus.OPTICAL),
    ]
    with acting(ADMIN):
        policing.save(sales, Draft(rules=rules), revision=0, reason="", now=now)
        user = get_user_model()._default_manager.create_user("sato", first_name="Aoi", last_name="Sato")
        facts = pcs.facts_with_devices()
        assert facts.platform is not None
        for name in ("pc-sales-01", "pc-sales-04", "pc-sales-05"):
            bare = name == "pc-sales-04"
            platform = msgspec.structs.replace(facts.platform, encrypted_state=not bare, swap=bare)
            told = msgspec.structs.replace(facts, platform=platform, simulated=name == "pc-sales-05")
            enrolling.describe(Client.objects.get(name=name), told)
        client = Client.objects.get(name="pc-sales-04")
        enrolling.assign(client, user)
        draft = Draft(rules=[_rule(Verdict.HIDE, bus=Bus.USB, port="1-4", note="Front panel")])
        policing.save(client, draft, revision=0, reason="", now=now)
    plug("pc-sales-04", now=now)
    states = [
        DeviceState(bus=Bus.USB, key="1-1", name="Data stick", fate=Fate.PASSED, code="rule", present=True),
        DeviceState(bus=Bus.USB, key="1-3", name="Keyboard", fate=Fate.PASSED, code="rule", present=True),
        DeviceState(
            bus=Bus.PCI,
            key="0000:03:00.0",
            name="Graphics card",
            fate=Fate.PASSED,
            code="pass_through_failed",
        ),
    ]
    failed = DeviceEvent(
        number=9,
        at=now,
        happening=DeviceHappening.FAILED,
        bus=Bus.PCI,
        key="0000:03:00.0",
        device_id="",
        serial=None,
        name="Graphics card",
        code="pass_through_failed",
    )
    with acting(Actor(name="pc-sales-04", kind="pc", origin="node 192.0.2.24")):
        policing.hear(client, DevicesReport(policy="", devices=states, events=[failed]), now=now)


def _rule(verdict: Verdict, **says: Any) -> Rule:
    return Rule(id=0, scope=Scope.GROUP, verdict=verdict, **says)


def fetch(name: str, percent: int, *, now: datetime) -> None:
    """A PC says how much it has."""
    _report(name, DeliveryStage.FETCHING, now=now, percent=percent)


def boot(name: str, *, now: datetime) -> None:
    """A PC says that it booted the version."""
    _report(name, DeliveryStage.BOOTED, now=now, percent=100, boot_s=38.4)


def _report(
    name: str,
    stage: DeliveryStage,
    *,
    now: datetime,
    percent: int,
    code: str = "",
    words: str = "",
    boot_s: float | None = None,
) -> None:
    client = Client.objects.get(name=name)
    delivery = Delivery.objects.filter(client=client).order_by("-serial")[0]
    running = delivery.distribution.version.manifest if stage == DeliveryStage.BOOTED else None
    report = DeliveryReport(
        serial=delivery.serial,
        stage=stage,
        done_bytes=DELTA * percent // 100,
        total_bytes=DELTA,
        refetched_chunks=1 if code else 0,
        boot_s=boot_s,
        code=code,
        words=words,
        running=running,
    )
    with acting(Actor(name=name, kind="pc", origin="node")):
        distributing.hear(client, report, now=now)
    if running:
        _beat(client, running, now=now + timedelta(hours=6))


def _beat(client: Client, running: str | None, *, now: datetime) -> None:
    beat = wire.Heartbeat(agent_version="0.1.0", boot_id="1", uptime_s=60, desktop="running", version=running)
    presence.hear(client.pk, beat, now=now)


def _enrol(
    name: str, group: Group | None, *, now: datetime, approved: bool = True, silent: bool = False
) -> None:
    _row, token = enrolling.make_token(group=group, approved=approved, now=now)
    client = enrolling.enrol(pcs.request(name, documents.key_of(name), token=token), now=now)
    if approved:
        # A heartbeat is older than a day for the silent one: it was switched off and went home.
        _beat(client, None, now=now - timedelta(hours=26) if silent else now + timedelta(hours=6))


def _image(name: str, notes: tuple[str, ...], *, now: datetime) -> ImageVersion:
    image = MasterImage.objects.create(name=name)
    for number, note in enumerate(notes, 1):
        version = images.publish(image, "system", f"{name} {number}", now=now)
        # The chunks are small; the figures are those of a real desktop.
        ImageVersion.objects.filter(pk=version.pk).update(
            note=note,
            size_bytes=64 * GIB,
            data_bytes=8 * GIB,
            packed_bytes=3 * GIB + (number - 1) * DELTA,
            new_bytes=DELTA if number > 1 else 3 * GIB,
        )
        version.refresh_from_db()
    return version


def enrol_more(name: str, *, now: datetime) -> None:
    """One more PC asks to join."""
    _enrol(name, None, now=now, approved=False)
