"""How a copy stands, on the pages: how far it is, why it failed; and "copy now", there and by REST."""

from datetime import datetime

import pytest
from django.contrib.auth.models import User
from django.test import Client as Browser

from mydoc.models import ReplicationRun, Volume
from mydoc.replicas import replicating
from tests.mydoc.replicas.test_replicating import ask_key, key_of, rest, somewhere_to_copy_to, tell, wish
from tests.pcs import FakePc
from vrasnode.wire.replication import Occasion, RunState

__all__ = ["rest", "somewhere_to_copy_to"]
pytestmark = pytest.mark.django_db


def test_its_owner_has_it_copied_from_my_page_and_nobody_elses(
    client: Browser, pc: FakePc, volume: Volume, sato: User, kato: User
) -> None:
    client.force_login(sato)
    client.post(f"/my/volumes/{volume.pk}/replicate/")
    client.force_login(kato)
    refused = client.post(f"/my/volumes/{volume.pk}/replicate/")

    assert ReplicationRun.objects.get().occasion == ReplicationRun.Occasion.BY_HAND
    assert refused.status_code == 404


def page_of(browser: Browser, path: str) -> str:
    """In English."""
    return browser.get(path, headers={"Accept-Language": "en"}).content.decode()


def test_why_a_run_failed_is_said_on_the_pages_with_what_to_do(
    client: Browser, rest: Browser, pc: FakePc, volume: Volume, sato: User
) -> None:
    key = key_of(ask_key(pc, volume), volume)
    tell(pc, volume, key.run, RunState.FAILED, code="nas_full", words="500 Internal Server Error")

    said = [page_of(rest, f"/volumes/{volume.pk}/"), page_of(rest, f"/pcs/{pc.client.pk}/volumes/")]
    client.force_login(sato)
    said.append(page_of(client, "/my/"))

    assert all("The NAS is full: make room there." in page for page in said)


def test_how_far_a_run_has_come_stands_on_the_pages(
    client: Browser, rest: Browser, pc: FakePc, volume: Volume, sato: User
) -> None:
    key = key_of(ask_key(pc, volume), volume)
    tell(pc, volume, key.run, RunState.RUNNING, files=12, done_bytes=3 << 20, total_bytes=9 << 30)

    said = [page_of(rest, f"/volumes/{volume.pk}/"), page_of(rest, f"/pcs/{pc.client.pk}/volumes/")]
    client.force_login(sato)
    said.append(page_of(client, "/my/"))

    assert all("Being copied: 12 files, 3.0\xa0MB of 9.0\xa0GB" in page for page in said)


def test_by_hand_it_is_copied_now_and_a_second_wish_is_told_that_it_is(
    rest: Browser, pc: FakePc, volume: Volume, now: datetime
) -> None:
    replicating.plan(now=now)

    answer = rest.post(f"/api/v1/volumes/{volume.pk}/replicate/")

    assert answer.status_code == 200, answer.content
    assert wish(pc, now).not_before is None
    assert wish(pc, now).occasion is Occasion.BY_HAND
    key_of(ask_key(pc, volume, wish(pc, now).run), volume)
    assert rest.post(f"/api/v1/volumes/{volume.pk}/replicate/").json()["code"] == "run_under_way"
    assert rest.get("/api/v1/replications/").json()["results"][0]["state"] == "running"
