"""Data comes back from replicas: in the tree when a PC is off, to its owner on their own page. The real
restic."""

import hashlib
import io
import json
import os
import zipfile
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client as Browser
from django.urls import reverse

from clients.models import Client, Event
from mydoc import bytepaths
from mydoc.models import KeptSnapshot, Look, Opening, Replica, ReplicationRun, Volume
from mydoc.replicas import manifests, passwords
from mydoc.tree import browsing
from tests.mydoc.answering import AnsweringPc, beat, whole
from tests.mydoc.keeping import Copies, folder_as_nas
from tests.mydoc.tree.test_browsing import at, give_reason, looked
from tests.pcs import FakePc
from vrasnode.servicevm.guest import copied, copying

pytestmark = [pytest.mark.slow, pytest.mark.django_db]
HOUR = timedelta(hours=1)
SALES, QUOTE, ODD = "営業".encode(), "営業/見積 2026.txt".encode(), b"caf\xe9 *[x].txt"
Times = list[ReplicationRun]
LISTED = {  # tests that read no bytes
    "test_a_pc_that_went_off_without_locking_is_seen_as_its_last_replica_too",
    "test_what_is_live_is_never_taken_from_a_replica_and_a_guest_sees_no_replica",
    "test_while_it_is_locked_nothing_is_put_back_and_that_is_said",
    "test_it_is_nobody_elses",
    "test_by_rest_nobody_elses_is_there",
    "test_a_replica_that_was_deleted_is_offered_no_more",
}


def replicate(copies: Copies, *, when: datetime, stored: bool) -> ReplicationRun:
    """As a run that ends well: a snapshot, and the manifest that a PC's own program writes of it. Where no
    bytes are read they need not be `stored`."""
    snapshot = copies.copy() if stored else "0" * 64
    run = ReplicationRun.objects.create(
        replica=passwords.replica_of(copies.volume),
        occasion="schedule",
        state="done",
        asked_at=when,
        begun_at=when,
        ended_at=when,
        told={"snapshot": snapshot},
    )
    lines = []
    for file in sorted(copying.walk(copies.data), key=lambda one: one.path):
        content = Path(os.fsdecode(os.fsencode(copies.data) + b"/" + file.path)).read_bytes()
        line = {"mtime_ns": file.mtime_ns, "path": copied.text(file.path), "size_bytes": file.size}
        lines.append(json.dumps({**line, "sha256": hashlib.sha256(content).hexdigest()}))
    manifests.path_of(run).parent.mkdir(parents=True, exist_ok=True)
    copied.write_packed(manifests.path_of(run), lines)
    Replica.objects.filter(volume=copies.volume).update(last_good_at=when)
    return run


@pytest.fixture
def copies(settings: Any, volume: Volume, tmp_path: Path) -> Copies:
    settings.NAS, settings.DATA = folder_as_nas(tmp_path), tmp_path / "data"
    settings.STORE = tmp_path / "store"
    return Copies(volume, tmp_path / "volume")


@pytest.fixture
def times(copies: Copies, now: datetime, request: pytest.FixtureRequest) -> Times:
    """Two replicas: in the second one a file is changed, another gone, another new."""
    stored = request.function.__name__ not in LISTED
    copies.put(QUOTE, b"first quotation")
    copies.put(b"gone.txt", b"was here")
    copies.put(ODD, b"odd")
    first = replicate(copies, when=now - 5 * HOUR, stored=stored)
    copies.put(QUOTE, b"second quotation, longer")
    copies.put("営業-old/x.txt".encode(), b"x")
    (copies.data / "gone.txt").unlink()
    return [first, replicate(copies, when=now - 2 * HOUR, stored=stored)]


@pytest.fixture
def locked(volume: Volume, times: Times) -> Volume:
    """Its owner has logged off."""
    Opening.objects.update(state="closed")
    return volume


@pytest.fixture
def office(client: Browser, admin: User) -> Browser:
    client.force_login(admin)
    return client


@pytest.fixture
def mine(sato: User) -> Browser:
    browser = Browser()
    browser.force_login(sato)
    return browser


def own(name: str, volume: Volume, path: bytes, run: ReplicationRun | None = None) -> str:
    return reverse(f"mydoc:{name}", args=[volume.pk, path]) + (f"?at={run.pk}" if run else "")


def test_a_locked_volume_is_seen_as_its_last_replica_has_it_and_that_is_said(
    office: Browser, locked: Volume, times: Times
) -> None:
    give_reason(office, locked)

    top = office.get(at("folder", locked, b"")).content.decode()
    below = office.get(at("folder", locked, SALES)).content.decode()
    found = office.get(at("find", locked), {"name": "見積"}).content.decode()
    file = office.get(at("file", locked, QUOTE))

    assert all("this is the last replica" in html for html in (top, below, found))
    assert "営業-old" in top and "gone.txt" not in top
    assert "見積 2026.txt" in below and "見積 2026.txt" in found
    assert whole(file) == b"second quotation, longer"
    assert file["X-OpenVRAS-As-Of"] == times[1].begun_at.isoformat()
    assert browsing.stamp_of(times[1].begun_at) in file["Content-Disposition"].replace("%20", " ")
    assert [one[1:] for one in looked()] == [
        ("list", b"", "audit of the cellar"),
        ("list", SALES, "audit of the cellar"),
        ("search", "見積".encode(), "audit of the cellar"),
        ("download", QUOTE, "audit of the cellar"),
    ]
    assert set(Look.objects.values_list("as_of", flat=True)) == {times[1].begun_at}
    assert Event.objects.get(verb="volume.downloaded").after["as_of"] == times[1].begun_at.isoformat()


def test_so_is_the_data_of_a_lost_pc_and_by_rest(office: Browser, volume: Volume, times: Times) -> None:
    Client.objects.filter(pk=volume.client_id).update(state=Client.State.LOST)
    rest = f"/api/v1/volumes/{volume.pk}"

    top = office.get(f"{rest}/folders/", {"reason": "stolen"}).json()
    found = office.get(f"{rest}/search/", {"reason": "stolen", "name": "CAF"}).json()
    odd = office.get(f"{rest}/files/", {"reason": "stolen", "path": bytepaths.word(ODD)})

    assert datetime.fromisoformat(top["as_of"]) == times[1].begun_at
    assert [(one["name"], one["kind"]) for one in top["entries"]] == [
        ("caf\\xe9 *[x].txt", "file"),
        ("営業", "folder"),
        ("営業-old", "folder"),
    ]
    assert [one["path"] for one in found["entries"]] == [bytepaths.word(ODD)]
    assert whole(odd) == b"odd"


def test_a_pc_that_went_off_without_locking_is_seen_as_its_last_replica_too(
    office: Browser, pc: FakePc, volume: Volume, times: Times, now: datetime
) -> None:
    assert Opening.objects.current().filter(volume=volume).exists()
    beat(pc, now=now - HOUR)
    give_reason(office, volume)

    top = office.get(at("folder", volume, b"")).content.decode()
    listed = office.get(f"/api/v1/volumes/{volume.pk}/folders/", {"reason": "audit"}).json()

    assert "this is the last replica" in top and "営業-old" in top
    assert datetime.fromisoformat(listed["as_of"]) == times[1].begun_at


def test_what_is_live_is_never_taken_from_a_replica_and_a_guest_sees_no_replica(
    office: Browser, volume: Volume, times: Times, answering: AnsweringPc, kato: User
) -> None:
    give_reason(office, volume)

    assert "this is the last replica" not in office.get(at("folder", volume, b"")).content.decode()
    grant = volume.grants.create(path=SALES, person=kato, access="read", reason="x")
    Opening.objects.update(state="closed")
    guest = Browser()
    guest.force_login(kato)

    html = guest.get(reverse("mydoc:shared", args=[grant.pk, SALES])).content.decode()
    assert "見積" not in html and "volume_locked" in html


def test_an_administrators_own_versions_stand_under_their_own_page_in_the_menu(
    client: Browser, admin: User, locked: Volume, times: Times
) -> None:
    Volume.objects.filter(pk=locked.pk).update(owner=admin)
    client.force_login(admin)

    html = client.get(own("versions", locked, QUOTE)).content.decode()

    menu = html[html.index("<nav") : html.index("<main")]
    (current,) = (line for line in menu.splitlines() if 'aria-current="page"' in line)
    assert 'href="/my/"' in current


def test_the_owner_gets_every_version_a_deleted_file_and_a_folder_as_zip(
    mine: Browser, locked: Volume, times: Times
) -> None:
    listed = mine.get(own("versions", locked, QUOTE)).content.decode()
    before = mine.get(own("earlier", locked, b"", times[0])).content.decode()
    old = whole(mine.get(own("recalled-file", locked, QUOTE, times[0])))
    gone = whole(mine.get(own("recalled-file", locked, b"gone.txt", times[0])))
    packed = whole(mine.get(own("recalled-folder", locked, SALES, times[0])))

    assert all(str(run.pk) in listed for run in times)
    assert "gone.txt" in before
    assert "gone.txt" not in mine.get(own("earlier", locked, b"")).content.decode()
    assert (old, gone) == (b"first quotation", b"was here")
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        contents = {name: archive.read(name) for name in archive.namelist() if not name.endswith("/")}
    assert [name.rpartition("/")[2] for name in contents] == ["見積 2026.txt"]
    assert list(contents.values()) == [b"first quotation"]


def test_an_older_version_is_put_back_beside_the_present_one(
    mine: Browser, volume: Volume, times: Times, answering: AnsweringPc
) -> None:
    present = answering.files[QUOTE]

    for _twice in range(2):
        answer = mine.post(own("put-back", volume, QUOTE), {"at": str(times[0].pk)}, follow=True)
        assert "It is put back" in answer.content.decode()

    stamp = browsing.stamp_of(times[0].begun_at)
    assert answering.files[QUOTE] == present
    for name in (f"営業/見積 2026 ({stamp}).txt", f"営業/見積 2026 ({stamp} 2).txt"):
        assert answering.files[name.encode()] == b"first quotation"
    assert answering.begun == {}
    assert Look.objects.filter(act="put_back", as_of=times[0].begun_at).count() == 2
    assert Event.objects.filter(verb="volume.put_back").count() == 2


def test_while_it_is_locked_nothing_is_put_back_and_that_is_said(
    mine: Browser, locked: Volume, times: Times
) -> None:
    answer = mine.post(own("put-back", locked, QUOTE), {"at": str(times[0].pk)}, follow=True)

    assert "volume_locked" in answer.content.decode()
    assert not Look.objects.filter(act="put_back").exists()


def test_it_is_nobody_elses(client: Browser, kato: User, volume: Volume, times: Times) -> None:
    client.force_login(kato)

    for name in ("earlier", "versions", "recalled-file", "recalled-folder"):
        assert client.get(own(name, volume, QUOTE, times[0])).status_code == 404
    assert client.post(own("put-back", volume, QUOTE), {"at": str(times[0].pk)}).status_code == 404


def test_a_copy_that_is_not_what_the_manifest_says_is_never_given_out_whole(
    office: Browser, locked: Volume, times: Times, copies: Copies
) -> None:
    path = manifests.path_of(times[1])
    lines = [json.loads(line) for line in manifests.gzip.open(path)]
    forged = [json.dumps({**line, "sha256": "0" * 64, "path": line["path"]}) for line in lines]
    copied.write_packed(path, forged)
    give_reason(office, locked)

    rest = {"reason": "x", "path": bytepaths.word(QUOTE)}

    answer = office.get(f"/api/v1/volumes/{locked.pk}/files/", rest)

    assert (answer.status_code, answer.json()["code"]) == (503, "replica_damaged")
    assert "replica_damaged" in office.get(at("file", locked, QUOTE), follow=True).content.decode()


def test_a_replica_that_was_deleted_is_offered_no_more(
    mine: Browser, locked: Volume, times: Times, now: datetime
) -> None:
    KeptSnapshot.objects.create(
        replica=times[0].replica, snapshot="a", run=times[0], seen_at=now, gone_at=now
    )

    listed = mine.get(own("versions", locked, QUOTE)).content.decode()

    assert str(times[1].pk) in listed and str(times[0].pk) not in listed
    assert mine.get(own("recalled-file", locked, QUOTE, times[0])).status_code != 200


def test_by_rest_the_owner_finds_a_version_saves_it_and_puts_it_back(
    mine: Browser, volume: Volume, times: Times, answering: AnsweringPc
) -> None:
    rest, path = f"/api/v1/my-volumes/{volume.pk}", bytepaths.word(QUOTE)

    listed = mine.get("/api/v1/my-volumes/").json()["results"]
    kept = mine.get(f"{rest}/times/").json()
    newer, older = mine.get(f"{rest}/versions/", {"path": path}).json()
    below = mine.get(f"{rest}/folders/", {"run": older["run"], "path": bytepaths.word(SALES)}).json()
    saved = whole(mine.get(f"{rest}/files/", {"run": older["run"], "path": path}))
    back = mine.post(f"{rest}/put-back/", {"run": older["run"], "path": path})

    assert [one["id"] for one in listed] == [str(volume.pk)]
    assert (
        [one["run"] for one in kept] == [newer["run"], older["run"]] == [str(run.pk) for run in times[::-1]]
    )
    assert [one["name"] for one in below["entries"]] == ["見積 2026.txt"]
    assert saved == b"first quotation"
    assert answering.files[bytepaths.path_of(back.json()["path"])] == saved
    assert Look.objects.filter(act="put_back").count() == 1


def test_by_rest_nobody_elses_is_there(client: Browser, kato: User, volume: Volume, times: Times) -> None:
    client.force_login(kato)
    rest, wish = f"/api/v1/my-volumes/{volume.pk}", {"run": str(times[0].pk), "path": bytepaths.word(QUOTE)}

    answers = [client.get(f"{rest}/{name}/", wish) for name in ("times", "versions", "folders", "files")]

    assert {one.status_code for one in [*answers, client.post(f"{rest}/put-back/", wish)]} == {404}
    assert client.get("/api/v1/my-volumes/").json()["results"] == []
