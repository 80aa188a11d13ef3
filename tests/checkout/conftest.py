"""The cast of checkout: that of My Doc Manager, and a PC of it that was lost."""

from datetime import datetime

import pytest
from django.contrib.auth.models import User

from clients.models import Client
from mydoc import losing
from mydoc.models import Loss, Volume
from tests.mydoc.conftest import being, custodians, kato, sato, volume
from tests.pcs import FakePc

__all__ = ["being", "custodians", "kato", "sato", "volume"]


@pytest.fixture
def loss(pc: FakePc, volume: Volume, admin: User, now: datetime) -> Loss:
    """pc-sales-01 was lost while Sato's data was open on it."""
    client = Client.objects.get(pk=pc.client.pk)
    return losing.declare(client, by=admin, reason="left in a taxi", confirm=client.name, now=now)
