"""Pages of publishers' keys."""

import pytest
from django.test import Client as Browser
from django.urls import reverse

from clients.models import Event, PublisherKey

pytestmark = pytest.mark.django_db


def test_a_publishers_key_is_endorsed_and_revoked_with_a_reason(browser: Browser) -> None:
    key = PublisherKey.objects.create(fingerprint="ab" * 16, name="mori", public_key=bytes(range(32)))

    browser.post(reverse("clients:key-endorse", args=[key.pk]))
    assert PublisherKey.objects.get().state == PublisherKey.State.ENDORSED

    browser.post(reverse("clients:key-revoke", args=[key.pk]), {"reason": "left the company"})
    assert Event.objects.get(verb="publisherkey.revoked").reason == "left the company"
