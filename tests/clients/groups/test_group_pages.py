"""Pages of groups."""

import pytest
from django.test import Client as Browser
from django.urls import reverse

from clients.models import Group
from tests.pcs import FakePc

pytestmark = pytest.mark.django_db


def test_two_groups_cannot_have_names_that_look_the_same(browser: Browser, sales: Group) -> None:
    answer = browser.post(reverse("clients:groups"), {"name": "SALES", "note": ""})

    assert "looks the same, is taken" in answer.content.decode()
    assert Group.objects.count() == 1


def test_a_group_with_pcs_is_not_deleted(browser: Browser, pc: FakePc, sales: Group) -> None:
    answer = browser.post(reverse("clients:group-delete", args=[sales.pk]), follow=True)

    assert "[group_in_use]" in answer.content.decode()
    assert Group.objects.filter(pk=sales.pk).exists()
