"""The registry's pages as an administrator meets them."""

from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.test import Client as Browser
from django.urls import reverse

from clients.enrolment import signing
from clients.models import ApiToken, Client, EnrolmentToken, Event, Group, PublisherKey
from tests.pcs import FakePc

pytestmark = pytest.mark.django_db


@pytest.fixture
def browser(client: Browser, admin: User, installation: signing.KeyStore) -> Browser:
    """A browser in which the administrator is logged in."""
    client.force_login(admin)
    return client


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


def test_an_enrolment_token_is_shown_once_with_the_command_that_uses_it(browser: Browser) -> None:
    address = reverse("clients:enrolment")

    made = browser.post(address, {"group": "", "approved": "on"})
    text = made.context["text"]

    assert text in made.content.decode()
    assert "vrasnode enroll --server http://testserver --token-file -" in made.content.decode()
    assert "no-store" in made["Cache-Control"]
    assert text not in browser.get(address).content.decode()
    assert EnrolmentToken.objects.get().approved


def test_an_api_token_is_shown_once_and_ended_only_by_its_owner(browser: Browser, client: Browser) -> None:
    made = browser.post(reverse("clients:api-tokens"), {"name": "backup host", "scope": "read"})
    assert made.context["text"].startswith("vras_")
    row = ApiToken.objects.get()
    other = Browser()
    other.force_login(User.objects.create_user("other", is_staff=True))

    assert other.post(reverse("clients:api-token-delete", args=[row.pk])).status_code == 404
    browser.post(reverse("clients:api-token-delete", args=[row.pk]))
    assert not ApiToken.objects.exists()


def test_two_groups_cannot_have_names_that_look_the_same(browser: Browser, sales: Group) -> None:
    answer = browser.post(reverse("clients:groups"), {"name": "SALES", "note": ""})

    assert "looks the same, is taken" in answer.content.decode()
    assert Group.objects.count() == 1


def test_a_group_with_pcs_is_not_deleted(browser: Browser, pc: FakePc, sales: Group) -> None:
    answer = browser.post(reverse("clients:group-delete", args=[sales.pk]), follow=True)

    assert "[group_in_use]" in answer.content.decode()
    assert Group.objects.filter(pk=sales.pk).exists()


def test_a_publishers_key_is_endorsed_and_revoked_with_a_reason(browser: Browser) -> None:
    key = PublisherKey.objects.create(fingerprint="ab" * 16, name="mori", public_key=bytes(range(32)))

    browser.post(reverse("clients:key-endorse", args=[key.pk]))
    assert PublisherKey.objects.get().state == PublisherKey.State.ENDORSED

    browser.post(reverse("clients:key-revoke", args=[key.pk]), {"reason": "left the company"})
    assert Event.objects.get(verb="publisherkey.revoked").reason == "left the company"


def test_the_audit_log_is_searched(browser: Browser, pc: FakePc) -> None:
    found = browser.get(reverse("clients:audit"), {"q": "client.approved"}).context["page"].object_list
    assert [event.object_name for event in found] == ["pc-sales-01"]


def test_pages_work_without_redis_and_say_so(browser: Browser, pc: FakePc, settings: object) -> None:
    from clients import quickstore

    settings.REDIS = "unix:///nowhere/redis.sock"  # type: ignore[attr-defined]
    quickstore.client.cache_clear()
    try:
        answer = browser.get(reverse("clients:pcs"))
    finally:
        quickstore.client.cache_clear()

    assert answer.status_code == 200
    assert "Redis does not answer" in answer.content.decode()


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
