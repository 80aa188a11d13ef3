"""The operator's door to the registry."""

from collections.abc import Callable

import pytest
from django.test import Client as Browser
from django.urls import reverse

from clients.models import Client, Event
from tests.pcs import FakePc

pytestmark = pytest.mark.django_db


def test_the_operators_door_approves_by_the_same_verb(browser: Browser, enrol: Callable[..., FakePc]) -> None:
    waiting = enrol("pc-new", approved=False)

    browser.post(
        reverse("admin:clients_client_changelist"),
        {"action": "approve", "_selected_action": [waiting.client.pk]},
    )

    assert Client.objects.get().state == Client.State.APPROVED
    assert Client.objects.get().certificate


def test_nobody_changes_the_audit_log_in_the_operators_door(browser: Browser, pc: FakePc) -> None:
    event = Event.objects.first()
    assert event is not None

    assert (
        browser.post(reverse("admin:clients_event_change", args=[event.pk]), {"verb": "x"}).status_code == 403
    )
    assert browser.post(reverse("admin:clients_event_delete", args=[event.pk])).status_code == 403
    assert browser.get(reverse("admin:clients_event_add")).status_code == 403
