"""What a PC is told of replicas: the slice `replication`, and what is heard of it."""

from datetime import datetime

from django.conf import settings

from clients.enrolment import nodeslice
from clients.models import Client
from clients.signals import client_revoked
from mydoc.models import Volume
from mydoc.nas.settings import GatewaySettings
from mydoc.replicas import gatewaycertificate, lastreplica, replicating
from mydoc.replicas.manifests import Replicas
from vrasnode.wire import codec
from vrasnode.wire.replication import Occasion, ReplicationReport, ReplicationSlice, ReplicationWish

SLICE = "replication"


def register() -> None:
    """Joins the registries: called once when Django starts."""
    nodeslice.register(SLICE, provide=slice_of, hear=_hear)
    lastreplica.register(Replicas())
    client_revoked.connect(_revoked, dispatch_uid="replication")


def slice_of(client: Client, now: datetime) -> ReplicationSlice:
    """This PC's volumes, and which of them is to be copied. No key is in it, for slices lie on disks."""
    door: GatewaySettings | None = settings.GATEWAY
    if door is None or not replicating.enabled() or client.state != Client.State.APPROVED:
        return ReplicationSlice(volumes=[])
    current = replicating.current_of(client)
    wishes = []
    for key in Volume.objects.filter(client=client).order_by("pk").values_list("pk", flat=True):
        run = current.get(key)
        wishes.append(
            ReplicationWish(volume=str(key))
            if run is None
            else ReplicationWish(
                volume=str(key),
                run=str(run.pk),
                occasion=Occasion(run.occasion),
                not_before=run.not_before,
            )
        )
    hold_s = int(settings.REPLICA_HOLD.total_seconds())
    return ReplicationSlice(
        volumes=wishes,
        gateway=door.url,
        authority=gatewaycertificate.authority(door),
        hold_s=hold_s,
        at_shutdown=hold_s > 0,
    )


def _hear(client: Client, body: bytes, now: datetime) -> None:
    replicating.hear(client, codec.decode(body, ReplicationReport), now=now)


def _revoked(*, client: Client, now: datetime, **_signal: object) -> None:
    replicating.close_all_of(client, reason="pc_revoked", now=now)
