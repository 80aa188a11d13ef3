"""The same acts by REST: what the pages refuse, this door refuses as well."""

from datetime import datetime
from typing import Any

import pytest
from django.contrib.auth.models import Group as Roles
from django.contrib.auth.models import User
from django.test import Client as Browser

from checkout import chaining
from checkout.models import CheckoutRequest, Lease
from clients.models import ApiToken, Event, Group
from clients.people.rolenames import Role
from clients.tokens import issuing
from mydoc.models import Volume
from tests.checkout.asking import DAY, HOUR
from tests.checkout.test_checkout_pages import browser_of

pytestmark = pytest.mark.django_db
State = CheckoutRequest.State


def post(browser: Browser, path: str, **said: Any) -> Any:
    return browser.post(f"/api/v1/checkouts/{path}", said, content_type="application/json")


def test_a_request_is_submitted_and_approved_by_rest(
    lendable: Volume, sato: User, mori: User, now: datetime
) -> None:
    said = {"purpose": "demo", "destination": "Osaka", "contact": "090"}
    period = {"starts": (now + HOUR).isoformat(), "ends": (now + DAY).isoformat()}
    made = post(browser_of(sato), "", volume=str(lendable.pk), **said, **period)
    assert made.status_code == 201, made.content
    number = made.json()["id"]
    theirs = browser_of(mori)
    (waiting,) = theirs.get("/api/v1/checkouts/inbox/").json()
    assert (waiting["id"], waiting["steps"][0]["decision"]) == (number, "")

    answer = post(theirs, f"{number}/approve/", seen=waiting["steps"][0]["id"])

    assert answer.json()["state"] == "lent"
    assert "key" not in answer.json()
    assert Lease.objects.count() == 1


@pytest.mark.parametrize("act", ["approve", "reject", "send-back"])
def test_nobody_decides_their_own_request_by_rest(asked: CheckoutRequest, sato: User, act: str) -> None:
    for role in (Role.APPROVER, Role.ADMINISTRATOR):
        sato.groups.add(Roles.objects.get_or_create(name=role.value)[0])

    answer = post(browser_of(sato), f"{asked.pk}/{act}/", words="mine")

    assert answer.status_code == 403
    assert answer.json()["code"] == "own_request"
    assert CheckoutRequest.objects.get().state == State.WAITING


def test_somebody_elses_request_is_not_there(asked: CheckoutRequest, kato: User) -> None:
    theirs = browser_of(kato)

    assert theirs.get(f"/api/v1/checkouts/{asked.pk}/").status_code == 404
    for act in ("approve", "withdraw", "return", "waive", "call-back"):
        assert post(theirs, f"{asked.pk}/{act}/", reason="x").status_code == 404
    assert theirs.get("/api/v1/checkouts/").json()["count"] == 0


def test_an_approver_does_not_waive_the_replica_or_call_a_key_back(lent: CheckoutRequest, mori: User) -> None:
    theirs = browser_of(mori)

    assert post(theirs, f"{lent.pk}/call-back/", reason="x").json()["code"] == "not_for_you"
    assert post(theirs, f"{lent.pk}/waive/", reason="x").json()["code"] == "not_for_you"


def test_a_token_that_may_only_read_decides_nothing(
    asked: CheckoutRequest, mori: User, now: datetime
) -> None:
    _row, text = issuing.make(mori, name="x", scope=ApiToken.Scope.READ, now=now)
    headers = {"authorization": f"Bearer {text}"}

    assert Browser().get("/api/v1/checkouts/inbox/", headers=headers).status_code == 200
    assert Browser().post(f"/api/v1/checkouts/{asked.pk}/approve/", headers=headers).status_code == 403
    assert not Lease.objects.exists()


def test_the_requester_names_no_deputy_for_an_approver(mori: User, sato: User) -> None:
    mine = browser_of(sato)
    said = {"principal": "mori", "deputy": "sato", "starts": "2026-01-01", "ends": "2099-01-01"}

    answer = mine.post("/api/v1/deputies/", said, content_type="application/json")

    assert answer.json()["code"] == "bad_deputy"  # `principal` is whoever asks
    assert not mori.deputies.exists()


def test_the_chain_of_a_group_is_read_and_replaced_on_top_of_what_was_looked_at(
    sales: Group, admin: User, mori: User
) -> None:
    mine, path = browser_of(admin), f"/api/v1/groups/{sales.name}/checkout/"
    before = mine.get(path)
    assert before.json()["chain"] == [{"kind": "role", "directory_group": "", "person": None}]
    chain = [{"kind": "manager"}, {"kind": "person", "person": "mori"}]
    wish = {"software": False, "max_days": 14, "chain": chain, "reason": "two pairs of eyes"}

    def put(match: str, **changed: Any) -> Any:
        headers = {"if-match": match} if match else {}
        return mine.put(path, {**wish, **changed}, content_type="application/json", headers=headers)

    kept = put(before["ETag"])

    assert kept.status_code == 200, kept.content
    assert [step["kind"] for step in kept.json()["chain"]] == ["manager", "person"]
    assert [link.words for link in chaining.of(sales).chain] == ["manager", "mori"]
    assert Event.objects.filter(verb="group.checkout_changed", reason="two pairs of eyes").exists()
    assert put(before["ETag"]).json()["code"] == "changed_meanwhile"
    assert put("").json()["code"] == "if_match_required"
    assert put("*", max_days=7).json()["max_days"] == 7


@pytest.mark.parametrize(
    "step",
    [
        {"kind": "group"},
        {"kind": "person"},
        {"kind": "person", "person": "nobody-here"},
        {"kind": "role", "person": "mori"},
        {"kind": "manager", "directory_group": "CN=x"},
        {"kind": "whoever"},
    ],
)
def test_a_step_that_names_nobody_or_two_is_refused(
    step: dict[str, str], sales: Group, admin: User, mori: User
) -> None:
    wish = {"software": False, "max_days": 14, "chain": [step]}

    answer = browser_of(admin).put(
        f"/api/v1/groups/{sales.name}/checkout/",
        wish,
        content_type="application/json",
        headers={"if-match": "*"},
    )

    assert answer.status_code == 400
    assert chaining.of(sales).revision == 0


def test_only_an_administrator_changes_a_chain(sales: Group, mori: User, sato: User) -> None:
    path = f"/api/v1/groups/{sales.name}/checkout/"
    wish = {"software": True, "max_days": 366, "chain": [{"kind": "person", "person": "sato"}]}

    for user in (mori, sato):
        headers = {"if-match": "*"}
        answer = browser_of(user).put(path, wish, content_type="application/json", headers=headers)
        assert answer.status_code == 403

    assert chaining.of(sales).chain == chaining.ROLE_ALONE


def test_what_may_be_asked_for_is_ones_own_data(lendable: Volume, sato: User, kato: User) -> None:
    path = "/api/v1/checkouts/lendable/"

    assert browser_of(sato).get(path).json() == [{"id": str(lendable.pk), "client": "pc-sales-01"}]
    assert browser_of(kato).get(path).json() == []
