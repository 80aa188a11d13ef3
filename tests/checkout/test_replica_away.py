"""A PC that is checked out makes no replicas: the alarm about them says so, and when it should be back."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from checkout.models import CheckoutRequest, Lease
from mydoc.models import Volume
from mydoc.nas.settings import GatewaySettings, NasSettings
from mydoc.replicas import hindering

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def somewhere_to_copy_to(settings: Any, tmp_path: Path) -> None:
    settings.NAS = NasSettings(url=f"file://{tmp_path}")
    settings.GATEWAY = GatewaySettings(url="http://10.0.0.1:8443")


@pytest.fixture
def late(lendable: Volume, now: datetime) -> Volume:
    """No good replica of it has come for a month."""
    Volume.objects.filter(pk=lendable.pk).update(created_at=now - timedelta(days=30))
    return lendable


@pytest.mark.parametrize(
    ("days", "code"),
    [((1, 2), "not_begun"), ((-4, 2), "checked_out"), ((-4, -1), "checkout_overdue")],
    ids=["not yet", "away", "not back"],
)
def test_a_pc_that_is_away_on_purpose_is_told_apart_from_one_that_should_be_back(
    late: Volume, lent: CheckoutRequest, now: datetime, days: tuple[int, int], code: str
) -> None:
    starts, ends = (now + timedelta(days=count) for count in days)
    Lease.objects.filter(request=lent).update(starts=starts, ends=ends)

    found = hindering.of_each([late], now=now)[late.pk]

    assert found.code == code
    assert found.to_do
