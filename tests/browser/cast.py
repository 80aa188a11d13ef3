"""A small company for the browser: rows as they come about in use, made by the verbs.

Runs inside an installation (`Portal.act`), where Django is set up.
"""

from datetime import datetime, timedelta

from cryptography.hazmat.primitives.asymmetric import ec
from django.conf import settings

from clients import enrolling, grouping, presence, signing
from clients.auditing import Actor, acting
from clients.models import Client, Group, PublisherKey
from imaging import distributing, publishing
from imaging.distributing import Terms
from imaging.models import Delivery, ImageVersion, MasterImage, Subscription
from tests import images, pcs
from vrasnode.wire import clients as wire
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
    boot("pc-sales-01", now=now)
    _report("pc-sales-02", DeliveryStage.STAGED, now=now, percent=100)
    fetch("pc-sales-03", 62, now=now)
    _report(
        "pc-sales-04",
        DeliveryStage.FAILED,
        now=now,
        percent=31,
        code="disk_full",
        words="The state directory has 1.2 GB free, 3.4 GB are needed. Free space, then retry.",
    )


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
        _beat(client, running, now=now)


def _beat(client: Client, running: str | None, *, now: datetime) -> None:
    beat = wire.Heartbeat(agent_version="0.1.0", boot_id="1", uptime_s=60, desktop="running", version=running)
    presence.hear(client.pk, beat, now=now)


def _enrol(
    name: str, group: Group | None, *, now: datetime, approved: bool = True, silent: bool = False
) -> None:
    _row, token = enrolling.make_token(group=group, approved=approved, now=now)
    key = ec.generate_private_key(ec.SECP256R1())
    client = enrolling.enrol(pcs.request(name, key, token=token), now=now)
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
