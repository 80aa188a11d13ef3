"""What tests of the registry share."""

import pytest
from django.contrib.auth.models import User
from django.test import Client as Browser

from clients.enrolment import signing


@pytest.fixture
def browser(client: Browser, admin: User, installation: signing.KeyStore) -> Browser:
    """A browser in which the administrator is logged in."""
    client.force_login(admin)
    return client
