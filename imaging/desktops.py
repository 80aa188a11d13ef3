"""What Workgroup Desktop tells a PC (a slice for each machine) and hears; the permission to read packs.

The permission is an HMAC in the path, so that the front server checks it once per transfer and then
serves files by itself.
"""

import hashlib
import hmac
import uuid
from datetime import datetime

from django.conf import settings

from clients.enrolment import identity, nodeslice
from clients.models import Client
from clients.signals import client_joined, client_lost, client_revoked
from imaging import differencing, distributing, pacing, subscribing, swarming
from imaging.models import LOST, REVOKED, Delivery, ImageVersion
from vrasnode.wire import codec
from vrasnode.wire.imaging import SLICES, DeliveryReport, Deltas, Fetch, ImagingSlice, Machine
from vrasnode.wire.signatures import Signed

CONNECTIONS = 4
PERMISSION_S = 3600


def register() -> None:
    """Joins the registry: called once when Django starts."""
    nodeslice.register(SLICES[Machine.CLIENT_VM], provide=_desktop, hear=_hear_desktop)
    nodeslice.register(SLICES[Machine.VIRTUAL_SERVER], provide=_server, hear=_hear_server)
    client_joined.connect(_joined, dispatch_uid="imaging")
    client_revoked.connect(_revoked, dispatch_uid="imaging")
    client_lost.connect(_lost, dispatch_uid="imaging")


def slice_of(client: Client, now: datetime, machine: Machine = Machine.CLIENT_VM) -> ImagingSlice:
    """The newest assignment of this PC's machine; how to fetch it once it is the PC's turn."""
    delivery = (
        Delivery.objects.filter(client=client)
        .for_machine(machine.value)
        .select_related("distribution__version")
        .order_by("-serial")
        .first()
    )
    if delivery is None:
        return ImagingSlice(assignment=None)
    if delivery.state == Delivery.State.SUPERSEDED:
        return ImagingSlice(assignment=None, withdrawn=delivery.serial)
    signed = codec.decode(bytes(delivery.assignment), Signed)
    if delivery.state == Delivery.State.BOOTED:
        return ImagingSlice(assignment=signed)
    stopped = delivery.paused_at is not None or delivery.distribution.stands
    switch = pacing.switch_of(delivery.distribution, paused=stopped, now=now)
    if delivery.released_at is None or delivery.held or stopped:
        return ImagingSlice(assignment=signed, switch=switch)
    digest = delivery.distribution.version.manifest
    return ImagingSlice(
        assignment=signed,
        switch=switch,
        fetch=Fetch(
            manifest_path=f"/node/v1/imaging/{digest}/manifest",
            frames_path=f"/node/v1/imaging/{digest}/frames",
            packs_path=f"/packs/{permission(client.pk, now=now)}/",
            rate_bytes_s=delivery.rate_bytes_s or delivery.distribution.rate_bytes_s,
            connections=CONNECTIONS,
            swarm=swarming.terms(
                client,
                delivery.distribution_id,
                now=now,
                upload_bytes_s=delivery.rate_bytes_s or delivery.distribution.rate_bytes_s,
            ),
            dscp=settings.IMAGE_DSCP,
            deltas=[
                Deltas(base=base, path=f"/node/v1/imaging/{digest}/deltas/{base}")
                for base in differencing.offered(delivery.distribution.version)
            ],
        ),
    )


def may_read(client: Client, digest: str) -> bool:
    """Whether this manifest was ever assigned to this PC and may still be fetched."""
    return (
        ImageVersion.objects.kept().filter(manifest=digest, distributions__deliveries__client=client).exists()
    )


def permission(client_id: uuid.UUID, *, now: datetime) -> str:
    """`<client>.<until>.<mac>`: lets this PC read packs until `until` (Unix seconds). Changes once an hour,
    so that an unchanged slice keeps its revision."""
    until = (int(now.timestamp()) // PERMISSION_S + 2) * PERMISSION_S
    return f"{client_id.hex}.{until}.{_mac(client_id.hex, until)}"


def permits(text: str, *, now: datetime) -> bool:
    """Whether a permission is ours and has not ended, by time or because its PC was revoked
    or lost."""
    parts = text.split(".")
    if len(parts) != 3 or not parts[1].isdecimal() or len(parts[1]) > 12:
        return False
    client_hex, until, mac = parts[0], int(parts[1]), parts[2]
    if now.timestamp() >= until or not hmac.compare_digest(mac.encode(), _mac(client_hex, until).encode()):
        return False
    return not identity.is_refused(uuid.UUID(client_hex))


def _mac(client_hex: str, until: int) -> str:
    key = hashlib.sha256(b"openvras packs v1\n" + settings.SECRET_KEY.encode()).digest()
    return hmac.new(key, f"{client_hex}.{until}".encode(), hashlib.sha256).hexdigest()[:40]


def _desktop(client: Client, now: datetime) -> ImagingSlice:
    return slice_of(client, now, Machine.CLIENT_VM)


def _server(client: Client, now: datetime) -> ImagingSlice:
    return slice_of(client, now, Machine.VIRTUAL_SERVER)


def _hear_desktop(client: Client, body: bytes, now: datetime) -> None:
    distributing.hear(client, codec.decode(body, DeliveryReport), now=now, machine=Machine.CLIENT_VM)


def _hear_server(client: Client, body: bytes, now: datetime) -> None:
    distributing.hear(client, codec.decode(body, DeliveryReport), now=now, machine=Machine.VIRTUAL_SERVER)


def _joined(*, client: Client, now: datetime, **_signal: object) -> None:
    subscribing.on_joined(client, now=now)


def _revoked(*, client: Client, now: datetime, **_signal: object) -> None:
    distributing.part_with(client, REVOKED, now=now)


def _lost(*, client: Client, now: datetime, **_signal: object) -> None:
    distributing.part_with(client, LOST, now=now)
