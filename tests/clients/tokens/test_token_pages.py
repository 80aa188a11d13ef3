"""The page of one's own tokens."""

import pytest
from django.contrib.auth.models import User
from django.test import Client as Browser
from django.urls import reverse

from clients.models import ApiToken

pytestmark = pytest.mark.django_db


def test_an_api_token_is_shown_once_and_ended_only_by_its_owner(browser: Browser, client: Browser) -> None:
    made = browser.post(reverse("clients:api-tokens"), {"name": "backup host", "scope": "read"})
    assert made.context["text"].startswith("vras_")
    row = ApiToken.objects.get()
    other = Browser()
    other.force_login(User.objects.create_user("other", is_staff=True))

    assert other.post(reverse("clients:api-token-delete", args=[row.pk])).status_code == 404
    browser.post(reverse("clients:api-token-delete", args=[row.pk]))
    assert not ApiToken.objects.exists()
