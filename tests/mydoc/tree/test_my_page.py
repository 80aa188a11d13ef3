"""The page that every account with a role has: its own PCs, its own data, who looked."""

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from asgiref.sync import async_to_sync
from asgiref.testing import ApplicationCommunicator
from django.contrib.auth.models import User
from django.test import Client as Browser

from clients import presence, quickstore
from clients.consumers import PageConsumer
from clients.models import Client
from clients.people.rolenames import Role
from imaging.models import ImageVersion, MasterImage
from mydoc.models import Look, Opening, Volume
from tests.images import publish
from tests.mydoc.answering import AnsweringPc, beat, tell
from tests.pcs import FakePc
from vrasnode.wire.mydoc import LockProof, VolumeState

pytestmark = pytest.mark.django_db


@pytest.fixture
def mine(client: Browser, sato: User) -> Browser:
    """A browser in which Sato is logged in."""
    client.force_login(sato)
    return client


def proof(**changed: object) -> LockProof:
    so = {
        "reason": "left_the_lan",
        "seconds": 1.4,
        "read_failed": True,
        "daemon_gone": True,
        "guest_answered": True,
    }
    return LockProof(**{**so, **changed})  # type: ignore[arg-type]


def test_home_leads_an_employee_to_their_own_page(mine: Browser) -> None:
    assert mine.get("/")["Location"] == "/my/"
    assert mine.get("/my/").status_code == 200


def test_an_employee_sees_nothing_of_the_portal(mine: Browser, volume: Volume) -> None:
    html = mine.get("/my/").content.decode()

    assert "Client PCs" not in html
    assert "/volumes/" not in html
    assert mine.get("/volumes/").status_code == 403


@pytest.mark.parametrize("role", [Role.ADMINISTRATOR, Role.AUDITOR, Role.APPROVER, Role.IMAGE_MAKER])
def test_everybody_with_a_role_has_a_page_of_their_own(
    client: Browser, being: Callable[..., User], role: Role
) -> None:
    client.force_login(being("mori", role))

    assert client.get("/my/").status_code == 200


def test_ones_pcs_and_data_are_shown_and_nobody_elses(
    mine: Browser, volume: Volume, enrol: Callable[..., FakePc], kato: User, sato: User
) -> None:
    given, other = enrol("pc-given"), enrol("pc-other")
    Client.objects.filter(pk=given.client.pk).update(assigned_user=sato)
    Client.objects.filter(pk=other.client.pk).update(assigned_user=kato)

    html = mine.get("/my/").content.decode()

    assert "My data on pc-sales-01" in html
    assert "pc-given" in html
    assert "pc-other" not in html
    assert "in contact" in html


def test_what_ones_pc_runs_is_shown_with_its_note(
    mine: Browser, volume: Volume, desktop: MasterImage, now: datetime
) -> None:
    version = publish(desktop, "a", now=now)
    ImageVersion.objects.filter(pk=version.pk).update(note="経費精算を更新")
    Client.objects.filter(pk=volume.client_id).update(running=version.manifest)
    quickstore.client().delete(presence.HEARD)  # also while the PC is not heard of

    html = mine.get("/my/").content.decode()

    assert "office-desktop@1" in html
    assert "経費精算を更新" in html


def test_open_data_says_since_when_and_how_much_there_is(mine: Browser, volume: Volume) -> None:
    html = mine.get("/my/").content.decode()

    assert "unlocked" in html
    assert "since" in html
    assert "3.0\xa0GB / 100.0\xa0GB" in html


def test_locked_data_says_why_and_what_to_do_and_that_it_was_proven(
    mine: Browser, volume: Volume, now: datetime
) -> None:
    tell(volume, state=VolumeState.LOCKED, proof=proof(), now=now)

    html = mine.get("/my/").content.decode()

    assert "left the company" in html
    assert "log off and log on again" in html
    assert "reading failed, as it must" in html
    assert "locked within 1.4 s" in html


def test_a_lock_that_was_not_proven_is_never_called_so(mine: Browser, volume: Volume, now: datetime) -> None:
    tell(volume, state=VolumeState.LOCKED, proof=proof(read_failed=False), now=now)

    html = mine.get("/my/").content.decode()

    assert "not proven" in html
    assert "reading failed" not in html


def test_what_the_server_locked_says_the_servers_own_reason(
    mine: Browser, volume: Volume, now: datetime
) -> None:
    Opening.objects.get().move(Opening.State.CLOSED, closed_at=now)
    Opening.objects.update(reason="account_disabled")
    tell(volume, state=VolumeState.LOCKED, proof=proof(reason="server_said"), now=now)

    html = mine.get("/my/").content.decode()

    assert "has disabled this account" in html


def test_data_that_the_server_no_longer_lets_open_is_not_called_open(mine: Browser, volume: Volume) -> None:
    Opening.objects.get().move(Opening.State.CLOSED)

    assert "being locked" in mine.get("/my/").content.decode()


def test_damaged_data_says_what_the_pc_said_and_that_nothing_was_deleted(
    mine: Browser, volume: Volume, now: datetime
) -> None:
    tell(volume, state=VolumeState.BROKEN, code="volume_damaged", words="The header cannot be read.", now=now)

    html = mine.get("/my/").content.decode()

    assert "The header cannot be read." in html
    assert "Nothing was deleted." in html
    mine.cookies["django_language"] = "ja"
    assert "ドキュメントのボリュームが破損しています。" in mine.get("/my/").content.decode()


def test_data_on_a_pc_that_is_off_says_so(mine: Browser, volume: Volume, pc: FakePc, now: datetime) -> None:
    beat(pc, now=now - timedelta(hours=1))

    html = mine.get("/my/").content.decode()

    assert "PC off" in html
    assert "Start the PC and log on." in html


def test_without_anything_the_page_says_how_it_begins(mine: Browser) -> None:
    html = mine.get("/my/").content.decode()

    assert "for the first time" in html
    assert "No PC is given to you." in html


def test_who_looked_at_what_and_why_is_shown_to_the_owner(
    mine: Browser, volume: Volume, answering: AnsweringPc, admin: User
) -> None:
    office = Browser()
    office.force_login(admin)
    office.post(f"/volumes/{volume.pk}/reason/", {"reason": "理由は監査"})
    office.get(f"/volumes/{volume.pk}/folder/-/")

    html = mine.get("/my/", headers={"accept-language": "ja"}).content.decode()

    assert "admin" in html
    assert "フォルダーを閲覧" in html
    assert "理由は監査" in html


def test_nobody_elses_looks_are_shown(client: Browser, volume: Volume, kato: User, now: datetime) -> None:
    Look.objects.create(volume=volume, at=now, by="admin", act="list", path=b"", reason="secret matter")
    client.force_login(kato)

    assert "secret matter" not in client.get("/my/").content.decode()


@pytest.mark.django_db(transaction=True)  # a socket closes its connection when it ends
def test_the_page_hears_of_its_own_and_of_nothing_else(sato: User, kato: User, admin: User) -> None:
    def hears(user: User, *topics: str) -> bool:
        async def knock() -> bool:
            query = "&".join(f"topic={topic}" for topic in topics)
            scope = {"type": "websocket", "path": "/live/", "query_string": query.encode(), "user": user}
            door = ApplicationCommunicator(PageConsumer.as_asgi(), scope)
            await door.send_input({"type": "websocket.connect"})
            answer = await door.receive_output(timeout=10)
            await door.send_input({"type": "websocket.disconnect", "code": 1000})
            await door.wait(timeout=10)
            return bool(answer["type"] == "websocket.accept")

        return async_to_sync(knock)()

    assert hears(sato, f"my.{sato.pk}")
    assert not hears(sato, f"my.{kato.pk}")
    assert not hears(sato, f"my.{sato.pk}", "clients")
    assert not hears(sato)
    assert hears(admin, "volumes", f"my.{sato.pk}")
