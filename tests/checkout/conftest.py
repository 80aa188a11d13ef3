"""The cast of checkout: that of My Doc Manager, and a PC of it that was lost."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from django.contrib.auth.models import User

from checkout import deciding, requesting
from checkout.models import CheckoutRequest
from clients.models import Client
from clients.people.rolenames import Role
from mydoc.losses import losing
from mydoc.models import Loss, Volume
from mydoc.replicas import lastreplica
from mydoc.replicas.lastreplica import KeptFile, LastReplica
from tests.checkout.asking import wish
from tests.mydoc.conftest import answering, being, custodians, kato, sato, volume
from tests.pcs import FakePc, facts_with_devices
from vrasnode.wire.clients import FactsReport

__all__ = ["answering", "being", "custodians", "kato", "sato", "volume"]


@pytest.fixture
def loss(pc: FakePc, volume: Volume, admin: User, now: datetime) -> Loss:
    """pc-sales-01 was lost while Sato's data was open on it."""
    client = Client.objects.get(pk=pc.client.pk)
    return losing.declare(client, by=admin, reason="left in a taxi", confirm=client.name, now=now)


@dataclass
class Replicas:
    """Who keeps replicas: one of each volume, of `at`; None: none at all."""

    at: datetime | None

    def newest(self, volumes: Sequence[Volume], *, before: datetime) -> dict[UUID, LastReplica]:
        return {one.pk: LastReplica(self.at, 2, 2048) for one in volumes} if self.at else {}

    def files(self, volume: Volume, *, before: datetime) -> Iterator[KeptFile]:
        return iter(())


@pytest.fixture
def replicas(now: datetime) -> Iterator[Replicas]:
    """A whole replica of an hour ago."""
    kept, before = Replicas(now - timedelta(hours=1)), list(lastreplica._kept_by)
    lastreplica.register(kept)
    yield kept
    lastreplica._kept_by[:] = before


@pytest.fixture
def pc_key(pc: FakePc) -> X25519PrivateKey:
    """The private key to which what only this PC may open is sealed."""
    key = X25519PrivateKey.generate()
    Client.objects.filter(pk=pc.client.pk).update(hpke_key=key.public_key().public_bytes_raw())
    return key


@pytest.fixture
def lendable(pc: FakePc, pc_key: X25519PrivateKey, volume: Volume, replicas: Replicas) -> Volume:
    """Sato's data on pc-sales-01, which has a TPM: nothing stands in the way of a key but decisions."""
    pc.post("/node/v1/reports/clients", FactsReport(facts=facts_with_devices()))
    Volume.objects.filter(pk=volume.pk).update(server_half=b"wrapped")
    return Volume.objects.select_related("client__group", "owner").get(pk=volume.pk)


@pytest.fixture
def mori(being: Callable[..., User]) -> User:
    """An approver: the chain of a group that says nothing of its own."""
    return being("mori", Role.APPROVER)


@pytest.fixture
def asked(lendable: Volume, sato: User, now: datetime) -> CheckoutRequest:
    """Sato asks for three days."""
    return requesting.submit(lendable, wish(now), by=sato, now=now)


@pytest.fixture
def lent(asked: CheckoutRequest, mori: User, now: datetime) -> CheckoutRequest:
    """And has the key."""
    deciding.approve(asked, by=mori, now=now)
    assert asked.state == CheckoutRequest.State.LENT
    return asked
