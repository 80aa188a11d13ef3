"""Pages of PCs as an administrator meets them."""

from collections.abc import Callable

import pytest
from django.test import Client as Browser
from django.urls import reverse

from clients import quickstore
from clients.models import Client, Event, Group
from tests.pcs import FakePc

pytestmark = pytest.mark.django_db


def test_one_click_approves_a_waiting_pc(browser: Browser, enrol: Callable[..., FakePc]) -> None:
    waiting = enrol("pc-new", approved=False)

    answer = browser.post(reverse("clients:approve", args=[waiting.client.pk]), follow=True)

    assert "pc-new is approved." in answer.content.decode()
    assert Client.objects.get().state == Client.State.APPROVED
    assert Event.objects.filter(verb="client.approved", actor="admin", origin__startswith="portal").exists()


def test_a_refusal_is_shown_as_a_message_on_the_page_one_came_from(browser: Browser, pc: FakePc) -> None:
    page = reverse("clients:pc", args=[pc.client.pk])

    answer = browser.post(
        reverse("clients:approve", args=[pc.client.pk]),
        headers={"Referer": f"http://testserver{page}"},
        follow=True,
    )

    assert answer.redirect_chain == [(f"http://testserver{page}", 302)]
    assert "[wrong_state]" in answer.content.decode()


def test_a_pc_is_revoked_only_with_a_reason_and_its_name_typed(browser: Browser, pc: FakePc) -> None:
    address = reverse("clients:revoke", args=[pc.client.pk])

    wrong = browser.post(address, {"reason": "stolen", "confirm": "pc-sales-1"})
    assert "Type pc-sales-01 exactly." in wrong.content.decode()
    assert Client.objects.get().state == Client.State.APPROVED

    browser.post(address, {"reason": "stolen", "confirm": "pc-sales-01"})
    assert Client.objects.get().state == Client.State.REVOKED
    assert Event.objects.get(verb="client.revoked").reason == "stolen"


def test_selected_pcs_move_to_a_group_and_the_filter_stays(
    browser: Browser, enrol: Callable[..., FakePc], sales: Group
) -> None:
    first, second, third = enrol("pc-1"), enrol("pc-2"), enrol("pc-3")

    answer = browser.post(
        reverse("clients:bulk"),
        {"act": "move", "group": sales.pk, "pcs": [first.client.pk, third.client.pk], "query": "q=pc-"},
    )

    assert answer["Location"] == f"{reverse('clients:pcs')}?q=pc-"
    assert set(sales.clients.values_list("name", flat=True)) == {"pc-1", "pc-3"}
    assert Client.objects.get(pk=second.client.pk).group is None


def test_the_list_is_searched_filtered_and_sorted_by_its_address(
    browser: Browser, enrol: Callable[..., FakePc], sales: Group
) -> None:
    enrol("aoi", group=sales)
    enrol("beni")
    enrol("cha", approved=False)

    def names(query: str) -> list[str]:
        return [row.name for row in browser.get(f"{reverse('clients:pcs')}?{query}").context["page"]]

    assert names("q=sales") == ["aoi"]
    assert names("state=pending") == ["cha"]
    assert names("state=silent") == ["aoi", "beni"]
    assert names(f"group={sales.pk}") == ["aoi"]
    assert names("group=none&sort=-name") == ["cha", "beni"]
    assert names("page=nonsense&sort=nonsense") == ["aoi", "beni", "cha"]


def test_pages_work_without_redis_and_say_so(browser: Browser, pc: FakePc, settings: object) -> None:
    settings.REDIS = "unix:///nowhere/redis.sock"  # type: ignore[attr-defined]
    quickstore.client.cache_clear()
    try:
        answer = browser.get(reverse("clients:pcs"))
    finally:
        quickstore.client.cache_clear()

    assert answer.status_code == 200
    assert "Redis does not answer" in answer.content.decode()
