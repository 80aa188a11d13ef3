"""Lost PCs at the portal, on one's own page and over REST: who may, what is asked first and said after."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client as Browser

from clients.models import ApiToken, Client
from clients.tokens import issuing
from mydoc.losses import lockingout, losing
from mydoc.models import Lockout, Loss, Volume
from tests.pcs import FakePc
from vrasnode.wire.mydoc import KillReport

pytestmark = pytest.mark.django_db
DAY = timedelta(days=1)
WISH = {"reason": "left in a taxi", "seen_at": "2026-11-26T18:30", "seen_where": "品川駅"}


@pytest.fixture
def desk(client: Browser, admin: User) -> Browser:
    """An administrator's browser."""
    client.force_login(admin, backend="django.contrib.auth.backends.ModelBackend")
    return client


@pytest.fixture
def phone(client: Browser, sato: User) -> Browser:
    """Sato's browser."""
    client.force_login(sato, backend="django.contrib.auth.backends.ModelBackend")
    return client


def text(answer: Any) -> str:
    return str(answer.content.decode())


def test_one_is_told_what_it_means_and_types_the_name(desk: Browser, pc: FakePc, volume: Volume) -> None:
    address = f"/pcs/{pc.client.pk}/lost/"

    page = text(desk.get(address))
    assert "no replica" in page
    assert "only the two recovery custodians" in page
    assert "Type pc-sales-01 exactly." in text(desk.post(address, {**WISH, "confirm": "pc"}))
    assert not Loss.objects.exists()

    assert desk.post(address, {**WISH, "confirm": "pc-sales-01"}).status_code == 302

    loss = Loss.objects.get()
    assert (loss.declared_by, loss.seen_where) == ("admin", "品川駅")
    assert loss.seen_at is not None


def test_the_pcs_page_says_how_far_it_came(desk: Browser, pc: FakePc, volume: Volume, now: datetime) -> None:
    desk.post(f"/pcs/{pc.client.pk}/lost/", {**WISH, "confirm": "pc-sales-01"})
    address = f"/pcs/{pc.client.pk}/"
    assert "it waits for a contact that may never come" in text(desk.get(address))
    assert "kept until" in text(desk.get(address))

    assert pc.get("/node/v1/mydoc/kill").status_code == 200
    assert "given to the PC" in text(desk.get(address))
    report = KillReport(serial=Loss.objects.get().pk, volumes=[str(volume.pk)], unread=1, wiped=1)
    pc.post("/node/v1/mydoc/kill", report)

    assert "thrown its keys away" in text(desk.get(address))
    losing.delete_halves(now=now + DAY)
    assert "deleted" in text(desk.get(address))
    assert "Lost PCs" in text(desk.get("/"))
    assert "pc-sales-01" in text(desk.get("/pcs/?state=lost"))


def test_a_pc_is_found_again_with_a_reason(desk: Browser, pc: FakePc, volume: Volume) -> None:
    desk.post(f"/pcs/{pc.client.pk}/lost/", {**WISH, "confirm": "pc-sales-01"})
    assert "opens by a logon as before" in text(desk.get(f"/pcs/{pc.client.pk}/found/"))

    desk.post(f"/pcs/{pc.client.pk}/found/", {"reason": "under the seat"})

    assert Client.objects.get().state == Client.State.APPROVED
    assert Loss.objects.get().ended_reason == "under the seat"


def test_who_has_a_pc_says_so_from_their_own_page(phone: Browser, pc: FakePc, volume: Volume) -> None:
    address = f"/my/pcs/{pc.client.pk}/lost/"
    assert address in text(phone.get("/my/"))

    assert phone.post(address, {**WISH, "confirm": "pc-sales-01"})["Location"] == "/my/"

    assert Loss.objects.get().declared_by == "sato"
    page = text(phone.get("/my/"))
    assert "Did you find it?" in page
    assert address not in page


def test_nobody_says_so_of_a_pc_that_is_not_theirs(
    phone: Browser, pc: FakePc, enrol: Callable[..., FakePc], volume: Volume
) -> None:
    other = enrol("pc-other")

    for address in (f"/my/pcs/{other.client.pk}/lost/", f"/pcs/{pc.client.pk}/lost/"):
        assert phone.get(address).status_code == 403
        assert phone.post(address, {**WISH, "confirm": "pc-other"}).status_code == 403
    assert phone.post(f"/pcs/{pc.client.pk}/found/", {"reason": "mine"}).status_code == 403
    assert not Loss.objects.exists()


def test_over_rest_one_is_told_first_and_then_does_it(
    client: Browser, admin: User, pc: FakePc, volume: Volume, now: datetime
) -> None:
    call = Rest(client, admin, now=now)
    address = f"/api/v1/clients/{pc.client.pk}/lost/"

    told = call.post(address, {"reason": "stolen"})
    assert (told.status_code, told.json()["code"]) == (400, "not_confirmed")
    assert told.json()["confirm"] == "pc-sales-01"

    done = call.post(address, {"reason": "stolen", "confirm": "pc-sales-01"})
    assert (done.status_code, done.json()["order"]) == (200, "queued")
    (listed,) = call.get("/api/v1/losses/").json()["results"]
    assert (listed["client"], listed["ended_at"]) == ("pc-sales-01", None)

    found = call.post(f"/api/v1/clients/{pc.client.pk}/found/", {"reason": "a mistake"})
    assert found.json()["order"] == "withdrawn"
    assert call.post(address, {"reason": "x", "confirm": "pc-sales-01"}).status_code == 200


def test_over_rest_who_has_a_pc_says_so_too_but_no_stranger_and_no_reading_token(
    client: Browser, kato: User, volume: Volume, now: datetime
) -> None:
    sato = volume.owner
    address = f"/api/v1/clients/{volume.client_id}/lost/"
    wish = {"reason": "stolen", "confirm": "pc-sales-01"}

    assert Rest(client, kato, now=now).post(address, wish).status_code == 403
    assert Rest(client, sato, now=now, scope="read").post(address, wish).status_code == 403
    assert Rest(client, sato, now=now).post(address, wish).status_code == 200
    assert Rest(client, sato, now=now).post(address.replace("lost", "found"), wish).status_code == 403


def test_a_pc_that_was_away_for_too_long_is_listed_and_let_in(
    desk: Browser, pc: FakePc, volume: Volume, now: datetime
) -> None:
    Lockout.objects.create(client=pc.client, at=now, last_contact=now - 40 * DAY)
    assert "Locked-out PCs" in text(desk.get("/"))
    assert "pc-sales-01" in text(desk.get("/pcs/locked-out/"))
    assert "This PC is locked out" in text(desk.get(f"/pcs/{pc.client.pk}/"))

    desk.post(f"/pcs/{pc.client.pk}/let-in/", {"reason": "back from leave"})

    assert not Lockout.objects.current().exists()
    assert lockingout.sweep(now=now) == 0


class Rest:
    """A program with somebody's token."""

    def __init__(self, browser: Browser, user: User, *, now: datetime, scope: str = "write") -> None:
        _row, token = issuing.make(user, name="test", scope=ApiToken.Scope(scope), now=now)
        self.browser, self.headers = browser, {"authorization": f"Bearer {token}"}

    def get(self, path: str) -> Any:
        return self.browser.get(path, headers=self.headers)

    def post(self, path: str, body: object) -> Any:
        return self.browser.post(path, body, content_type="application/json", headers=self.headers)
