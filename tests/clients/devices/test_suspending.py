"""What closing the lid may do on a PC: by PC, user, model, group; who decided is said where it is shown."""

from datetime import datetime
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client as Browser
from django.urls import reverse

from clients.devices import planning, policing, suspending
from clients.devices.policing import Draft
from clients.devices.suspending import Decider, ModelSuspend
from clients.enrolment import enrolling
from clients.errors import Refusal
from clients.models import Client, Event, Group
from tests.pcs import FakePc, facts_with_devices
from vrasnode.wire import clients as registry
from vrasnode.wire.devices import Suspend

pytestmark = pytest.mark.django_db

POLICY = "/api/v1/groups/sales/device-policy/"


@pytest.fixture
def browser(client: Browser, admin: User) -> Browser:
    """A browser in which the administrator is logged in."""
    client.force_login(admin)
    return client


@pytest.fixture
def described(pc: FakePc) -> Client:
    """A PC of the sales group that told its model: Fabrikam Desk 5."""
    pc.post("/node/v1/reports/clients", registry.FactsReport(facts=facts_with_devices()))
    return Client.objects.get(pk=pc.client.pk)


def models(*entries: tuple[str, Suspend]) -> list[ModelSuspend]:
    return [ModelSuspend(model=model, suspend=suspend) for model, suspend in entries]


def save(owner: Any, *, now: datetime, **says: Any) -> None:
    policing.save(owner, Draft(rules=[], **says), revision=None, reason="", now=now)


def standing(client: Client) -> tuple[Suspend, Decider, str]:
    sleep = planning.sleep(Client.objects.get(pk=client.pk))
    return sleep.suspend, sleep.decider, sleep.entry


def test_the_narrowest_that_says_something_of_sleep_decides(
    described: Client, sales: Group, now: datetime
) -> None:
    sato = User.objects.create_user("sato")
    enrolling.assign(described, sato)
    assert standing(described) == (Suspend.BLOCKED, Decider.NOBODY, "")

    save(sales, suspend=Suspend.HIBERNATE, now=now)
    assert standing(described) == (Suspend.HIBERNATE, Decider.GROUP, "")

    by_model = models(("Contoso *", Suspend.HIBERNATE), ("fabrikam desk *", Suspend.ALLOWED))
    save(sales, suspend=Suspend.HIBERNATE, suspend_by_model=by_model, now=now)
    assert standing(described) == (Suspend.ALLOWED, Decider.MODEL, "fabrikam desk *")

    save(sato, suspend=Suspend.BLOCKED, now=now)
    assert standing(described) == (Suspend.BLOCKED, Decider.USER, "")

    save(described, suspend=Suspend.HIBERNATE, now=now)
    assert standing(described) == (Suspend.HIBERNATE, Decider.CLIENT, "")


def test_the_pc_is_told_what_its_model_may_do(
    pc: FakePc, described: Client, sales: Group, now: datetime
) -> None:
    save(sales, suspend_by_model=models(("*Desk 5", Suspend.ALLOWED), ("*", Suspend.HIBERNATE)), now=now)

    assert policing.policy_of(described, now=now).suspend is Suspend.ALLOWED
    save(sales, suspend_by_model=models(("*Desk ?", Suspend.HIBERNATE)), now=now)
    assert policing.policy_of(described, now=now).suspend is Suspend.HIBERNATE


def test_a_pc_that_did_not_tell_its_model_follows_its_group(pc: FakePc, sales: Group, now: datetime) -> None:
    save(sales, suspend=Suspend.ALLOWED, suspend_by_model=models(("*", Suspend.BLOCKED)), now=now)

    assert standing(pc.client) == (Suspend.ALLOWED, Decider.GROUP, "")


@pytest.mark.parametrize("odd", [{}, {"platform": None}, {"platform": "x"}, {"platform": {"model": 5}}])
def test_facts_that_are_none_have_no_model(pc: FakePc, odd: dict[str, Any]) -> None:
    pc.client.facts = odd

    assert suspending.model_of(pc.client) == ""


def test_a_name_with_brackets_is_taken_by_its_letters_and_many_stars_are_no_burden() -> None:
    assert suspending.is_for("Note [A]", "NOTE [a]")
    assert not suspending.is_for("Note [A]", "Note A")
    assert not suspending.is_for("*a" * 49, "a" * 48 + "b" * 4000)


@pytest.mark.parametrize(
    ("entries", "code"),
    [
        ([("", Suspend.ALLOWED)], "bad_model"),
        ([("   ", Suspend.ALLOWED)], "bad_model"),
        ([("Note\x1b[2J", Suspend.ALLOWED)], "bad_model"),
        ([("x" * 101, Suspend.ALLOWED)], "bad_model"),
        ([("Note 5", Suspend.ALLOWED), ("note 5", Suspend.BLOCKED)], "model_never_counts"),
        ([("Note *", Suspend.ALLOWED), ("Note 5", Suspend.BLOCKED)], "model_never_counts"),
        ([("*", Suspend.ALLOWED), ("Note ?*", Suspend.BLOCKED)], "model_never_counts"),
        ([(f"Note {number}", Suspend.ALLOWED) for number in range(101)], "too_many_models"),
    ],
)
def test_entries_that_cannot_be_or_never_count_are_refused(
    sales: Group, now: datetime, entries: list[tuple[str, Suspend]], code: str
) -> None:
    with pytest.raises(Refusal) as refused:
        save(sales, suspend_by_model=models(*entries), now=now)

    assert refused.value.code == code
    assert policing.stored(sales) is None


def test_a_wider_entry_may_follow_and_one_letter_is_not_any_letters(sales: Group, now: datetime) -> None:
    wish = models(("Note 5", Suspend.ALLOWED), ("Note ?", Suspend.BLOCKED), ("Note *", Suspend.HIBERNATE))

    save(sales, suspend_by_model=wish, now=now)

    assert policing.draft_of(sales)[0].suspend_by_model == wish


def test_only_groups_speak_of_models(described: Client, now: datetime) -> None:
    save(described, suspend_by_model=models(("*", Suspend.ALLOWED)), now=now)

    assert policing.draft_of(described)[0].suspend_by_model == []


def test_the_audit_log_says_what_was_said_of_models_before_and_after(sales: Group, now: datetime) -> None:
    save(sales, suspend_by_model=models(("Note 5", Suspend.ALLOWED)), now=now)
    save(sales, suspend_by_model=models(("Note 5", Suspend.BLOCKED)), now=now)

    event = Event.objects.filter(verb="group.policy_changed").latest("pk")
    assert event.before["suspend_by_model"] == [{"model": "Note 5", "suspend": "allowed"}]
    assert event.after["suspend_by_model"] == [{"model": "Note 5", "suspend": "blocked"}]


def test_programs_set_preview_and_read_sleep_with_who_decided(browser: Browser, described: Client) -> None:
    wish = {"rules": [], "suspend_by_model": [{"model": "Fabrikam *", "suspend": "allowed"}]}

    preview = browser.post(f"{POLICY}preview/", wish, content_type="application/json").json()
    done = browser.put(POLICY, wish, content_type="application/json", headers={"If-Match": "*"})
    told = browser.get(f"/api/v1/clients/{described.pk}/devices/").json()["sleep"]

    [changing] = preview["pcs"]
    assert changing["sleep"]["before"]["suspend"] == "blocked"
    assert changing["sleep"]["after"]["entry"] == "Fabrikam *"
    assert done.json()["suspend_by_model"] == wish["suspend_by_model"]
    assert (told["suspend"], told["decided_by"]) == ("allowed", "model")
    assert told["words"] == "as the group says of the model “Fabrikam *”"


def test_an_entry_that_cannot_be_is_refused_over_rest(browser: Browser, sales: Group) -> None:
    for wish, code in (
        ([{"model": "Note", "suspend": "maybe"}], "invalid"),
        ([{"model": "Note"}], "invalid"),
        ("Note", "invalid"),
        (
            [{"model": "*", "suspend": "allowed"}, {"model": "Note", "suspend": "blocked"}],
            "model_never_counts",
        ),
    ):
        body = {"rules": [], "suspend_by_model": wish}
        answer = browser.put(POLICY, body, content_type="application/json", headers={"If-Match": "*"})
        assert (answer.status_code, answer.json()["code"]) == (400, code), wish


def filled(*entries: tuple[str, str]) -> dict[str, str]:
    """A form of entries as a browser sends it."""
    fields = {"act": "models", "form-TOTAL_FORMS": str(len(entries)), "form-INITIAL_FORMS": "0"}
    for number, (model, suspend) in enumerate(entries):
        fields |= {f"form-{number}-model": model, f"form-{number}-suspend": suspend}
    return fields


def test_an_administrator_says_it_of_a_model_sees_what_changes_and_reads_it_on_the_pcs_page(
    browser: Browser, described: Client, sales: Group
) -> None:
    policy = reverse("clients:policy", args=["group", sales.pk])
    change = reverse("clients:policy-change", args=["group", sales.pk])
    browser.post(change, filled(("Fabrikam Desk 5", "hibernate"), ("", "blocked")))

    page = browser.get(policy).content.decode()
    assert 'value="Fabrikam Desk 5"' in page
    assert "For 1 PC of this group." in page
    preview = browser.get(reverse("clients:policy-preview", args=["group", sales.pk])).content.decode()
    assert "hibernate instead: as the group says of the model “Fabrikam Desk 5”" in preview
    browser.post(reverse("clients:policy-preview", args=["group", sales.pk]), {"revision": 0})

    browser.cookies["django_language"] = "ja"
    page = browser.get(reverse("clients:pc", args=[described.pk])).content.decode()
    assert "代わりに休止：機種「Fabrikam Desk 5」についてのグループの設定による" in page


def test_an_entry_that_never_counts_is_said_on_the_page_and_the_draft_stays(
    browser: Browser, sales: Group
) -> None:
    policy = reverse("clients:policy", args=["group", sales.pk])
    answer = browser.post(
        reverse("clients:policy-change", args=["group", sales.pk]),
        filled(("*", "hibernate"), ("Fabrikam Desk 5", "blocked")),
        headers={"Referer": f"http://testserver{policy}"},
        follow=True,
    )

    page = answer.content.decode()
    assert "[model_never_counts]" in page
    assert "not saved yet" not in page
