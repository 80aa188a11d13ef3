"""The same acts by REST: what the pages refuse, this door refuses as well."""

from datetime import datetime
from typing import Any

import pytest
from django.contrib.auth.models import Group as Roles
from django.contrib.auth.models import User
from django.test import Client as Browser

from checkout.models import CheckoutRequest, Lease
from clients import tokens
from clients.models import ApiToken
from clients.rolenames import Role
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

    assert (answer.status_code, answer.json()["code"]) == (403, "own_request")
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
    _row, text = tokens.make(mori, name="x", scope=ApiToken.Scope.READ, now=now)
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
