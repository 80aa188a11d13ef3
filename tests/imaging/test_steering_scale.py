"""A distribution to 1,000 PCs: as many questions to the database as to ten."""

from datetime import datetime

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client as Browser
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from clients.models import Client, Group, Site
from imaging import distributing, pacing, waving
from imaging.distributing import Terms
from imaging.models import Delivery, Distribution, MasterImage
from tests.images import publish


@pytest.fixture
def sent(desktop: MasterImage, sales: Group, installation: object, now: datetime) -> Distribution:
    """To 1,000 PCs at a site, half of which fetch."""
    Client.objects.bulk_create(
        Client(name=f"pc-{n:04}", group=sales, state=Client.State.APPROVED, address="10.2.0.9")
        for n in range(1000)
    )
    Site.objects.create(name="Osaka", ranges="10.2.0.0/16", rates="daily 0-24 100Mbit/s")
    return distributing.start(publish(desktop, "a", now=now), sales, now=now, terms=Terms(wave_size=500))


@pytest.mark.soak
def test_the_page_and_the_tick_of_a_thousand_pcs_ask_few_questions(
    sent: Distribution, client: Browser, admin: User, now: datetime
) -> None:
    client.force_login(admin)
    address = reverse("imaging:distribution", args=[sent.pk])

    with CaptureQueriesContext(connection) as page:
        assert client.get(address).status_code == 200
    with CaptureQueriesContext(connection) as tick:
        distributing.settle(sent, now=now)
        pacing.balance(now=now)
        waving.take_sample(sent, now=now)

    assert Delivery.objects.busy().count() == 500
    assert len(page) <= 25
    assert len(tick) <= 25
