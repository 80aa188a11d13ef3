"""The page of the audit log."""

import pytest
from django.test import Client as Browser
from django.urls import reverse

from tests.pcs import FakePc

pytestmark = pytest.mark.django_db


def test_the_audit_log_is_searched(browser: Browser, pc: FakePc) -> None:
    found = browser.get(reverse("clients:audit"), {"q": "client.approved"}).context["page"].object_list
    assert [event.object_name for event in found] == ["pc-sales-01"]
