"""Administrators see how replicas are kept, try the NAS, change the rules, let alarms go: pages and REST."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client as Browser
from django.utils import timezone

from clients.models import Event
from mydoc.models import Keeping, KeptSnapshot, NasLook, ReplicaAlarm
from mydoc.nas import fileserver
from mydoc.nas.settings import NasSettings
from mydoc.replicas import alarming
from tests.mydoc.keeping import Copies

pytestmark = pytest.mark.django_db
RULES = {"last": 1, "daily": 1, "weekly": 1, "monthly": 1, "night_gib": 10, "night_minutes": 30}
RULES |= {"drill_files": 5, "changed_percent": 40}


@pytest.fixture
def now() -> datetime:
    return timezone.now()


@pytest.fixture
def desk(client: Browser, admin: User) -> Browser:
    client.force_login(admin)
    return client


@pytest.fixture
def alarm(copies: Copies, now: datetime) -> ReplicaAlarm:
    """Everything was encrypted; what was there before is kept."""
    before = copies.tell({b"a": b"1"}, now=now - timedelta(days=40))
    run = copies.tell({b"a.locked": b"2"}, now=now)
    for number, one in enumerate((before, run)):
        KeptSnapshot.objects.create(
            replica=run.replica, snapshot=f"{number:064}", whole=True, seen_at=one.begun_at, run=one
        )
    found = {"percent": 100, "before": 1, "changed": 0, "deleted": 1, "ending": "locked", "with_ending": 2}
    kind = ReplicaAlarm.Kind.MASS_CHANGE
    return alarming.raise_alarm(run.replica, kind, found=found, run=run, keeps=before, now=now)


def test_an_alarm_stands_on_home_on_the_page_of_replicas_and_of_the_volume_with_what_to_do(
    desk: Browser, copies: Copies, alarm: ReplicaAlarm
) -> None:
    home = desk.get("/").content.decode()
    pages = [desk.get(path).content.decode() for path in ("/replicas/", f"/volumes/{copies.volume.pk}/")]

    assert "Something is wrong with 1 replica" in home
    assert all("it may be ransomware" in page for page in pages)
    assert all("2 new ones end in .locked" in page for page in pages)


def test_an_alarm_is_let_go_with_a_reason_that_is_kept(desk: Browser, alarm: ReplicaAlarm) -> None:
    path = f"/api/v1/replica-alarms/{alarm.pk}/release/"
    assert desk.post(path, {}, content_type="application/json").status_code == 400

    answer = desk.post(path, {"reason": "packed on purpose"}, content_type="application/json")

    assert (answer.json()["state"], answer.json()["closed_by"]) == ("closed", "admin")
    assert Event.objects.filter(verb="replicaalarm.closed", reason="packed on purpose").exists()
    assert (
        desk.post(path, {"reason": "again"}, content_type="application/json").json()["code"] == "wrong_state"
    )


def test_other_rules_show_first_what_they_delete(desk: Browser, alarm: ReplicaAlarm, now: datetime) -> None:
    alarming.close(alarm, reason="it was meant", now=now)
    Keeping.objects.create(pk=1, last=5)

    shown = desk.post("/replicas/rules/", {**RULES, "reason": "room"})
    kept = Keeping.now().last
    told = desk.post("/api/v1/keeping/", {**RULES, "reason": "room"}, content_type="application/json")
    desk.post("/replicas/rules/", {**RULES, "reason": "room", "confirm": told.json()["confirm"]})

    assert "These rules delete" in shown.content.decode()
    assert kept == 5
    assert told.json()["code"] == "not_confirmed"
    assert (Keeping.now().last, Keeping.now().night_gib) == (1, 10)
    assert Event.objects.filter(verb="keeping.changed", reason="room").exists()


@pytest.mark.slow
def test_the_nas_is_tried_by_a_button_and_by_rest_and_says_what_is_wrong(
    desk: Browser, copies: Copies
) -> None:
    good = desk.post("/replicas/nas/test/", follow=True).content.decode()
    (copies.data.parent / "nas").rmdir()
    bad = desk.post("/api/v1/nas/test/").json()
    page = desk.get("/replicas/nas/").content.decode()

    assert "A file was written there, read back and deleted." in good
    assert (bad["good"], bad["steps"][-1]["code"]) == (False, "folder")
    assert "make the folder" in page
    assert "OPENVRAS_NAS_URL" in page
    assert NasLook.objects.count() == 2
    assert "The NAS could not be used" in desk.get("/").content.decode()


@pytest.mark.parametrize("keytab", [None, Path("replicas.keytab")], ids=["password", "Kerberos"])
def test_the_page_of_the_nas_says_how_it_is_reached(
    desk: Browser, settings: Any, keytab: Path | None
) -> None:
    settings.NAS = NasSettings(url="smb://nas.example/backup", user="replicas", password="x", keytab=keytab)

    page = desk.get("/replicas/nas/").content.decode()

    assert ("OPENVRAS_NAS_KEYTAB_FILE" in page) is (keytab is not None)
    assert ("OPENVRAS_NAS_PASSWORD_FILE" in page) is (keytab is None)


def test_what_was_found_before_is_shown_also_when_no_nas_is_named_any_more(
    desk: Browser, settings: Any, now: datetime
) -> None:
    codes = [
        {"code": code, "good": good}
        for code in (*fileserver.WRONG, *fileserver.SEEN, "new")
        for good in (True, False)
    ]
    NasLook.objects.create(at=now, good=False, found=codes)
    settings.NAS = None

    assert desk.get("/replicas/nas/").status_code == 200


@pytest.mark.parametrize("path", ["replicas", "replica-alarms", "upkeep", "keeping", "nas"])
def test_what_is_known_of_replicas_is_read_by_rest(desk: Browser, alarm: ReplicaAlarm, path: str) -> None:
    assert desk.get(f"/api/v1/{path}/").status_code == 200
