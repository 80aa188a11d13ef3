"""The page of enrolment tokens."""

import pytest
from django.test import Client as Browser
from django.urls import reverse

from clients.models import EnrolmentToken

pytestmark = pytest.mark.django_db


def test_an_enrolment_token_is_shown_once_with_the_command_that_uses_it(browser: Browser) -> None:
    address = reverse("clients:enrolment")

    made = browser.post(address, {"group": "", "approved": "on"})
    text = made.context["text"]

    assert text in made.content.decode()
    assert "vrasnode enroll --server http://testserver --token-file -" in made.content.decode()
    assert "no-store" in made["Cache-Control"]
    assert text not in browser.get(address).content.decode()
    assert EnrolmentToken.objects.get().approved
