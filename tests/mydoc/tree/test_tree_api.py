"""What is in user data, over REST: the same acts as on the pages, with the same reason and limits."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client as Browser

from clients.people.rolenames import Role
from clients.tokens import issuing
from mydoc import bytepaths
from mydoc.models import FolderGrant, Look, Volume
from tests.mydoc.answering import AnsweringPc, tell, whole

pytestmark = pytest.mark.django_db
SALES = "営業".encode()
QUOTE = "営業/見積 2026.txt".encode()


@pytest.fixture
def rest(client: Browser, admin: User) -> Browser:
    """An administrator's program."""
    client.force_login(admin)
    return client


def at(volume: Volume, what: str) -> str:
    return f"/api/v1/volumes/{volume.pk}/{what}/"


def test_a_folder_is_listed_with_names_for_people_and_paths_for_programs(
    rest: Browser, volume: Volume, answering: AnsweringPc
) -> None:
    answering.files = {b"caf\xe9": b"x", **answering.files}

    root = rest.get(at(volume, "folders"), {"reason": "backup check"}).json()
    inside = rest.get(at(volume, "folders"), {"reason": "backup check", "path": bytepaths.word(SALES)}).json()

    kinds = {entry["name"]: entry["kind"] for entry in root["entries"]}
    assert kinds == {"caf\\xe9": "file", "notes.txt": "file", "old": "link", "営業": "folder"}
    assert inside["entries"][0]["path"] == bytepaths.word(QUOTE)
    assert root["after"] == ""
    assert [(look.act, bytes(look.path), look.reason) for look in Look.objects.order_by("pk")] == [
        ("list", b"", "backup check"),
        ("list", SALES, "backup check"),
    ]


def test_a_program_pages_until_there_is_no_more(
    rest: Browser, volume: Volume, answering: AnsweringPc
) -> None:
    answering.files = {b"file-%03d" % number: b"" for number in range(250)}
    names, after = [], ""
    while True:
        page = rest.get(at(volume, "folders"), {"reason": "x", "after": after}).json()
        names += [entry["name"] for entry in page["entries"]]
        if not (after := page["after"]):
            break

    assert names == [f"file-{number:03}" for number in range(250)]


def test_a_file_is_found_and_downloaded(rest: Browser, volume: Volume, answering: AnsweringPc) -> None:
    found = rest.get(at(volume, "search"), {"name": "見積", "reason": "x"}).json()["entries"]

    answer = rest.get(at(volume, "files"), {"path": found[0]["path"], "reason": "x"})

    assert whole(answer) == "見積".encode() * 3
    assert answer["Content-Type"] == "application/octet-stream"


@pytest.mark.parametrize("what", ["folders", "files", "search"])
def test_nobody_looks_without_a_reason(
    rest: Browser, volume: Volume, answering: AnsweringPc, what: str
) -> None:
    answer = rest.get(at(volume, what), {"name": "x", "path": bytepaths.word(b"notes.txt")})

    assert (answer.status_code, answer.json()["code"]) == (400, "invalid")
    assert "reason" in answer.json()["errors"]
    assert answering.asked == []


@pytest.mark.parametrize("path", ["Li4", "a", "L2V0Yw", "YS8v"])
def test_a_path_that_leads_elsewhere_is_refused(
    rest: Browser, volume: Volume, answering: AnsweringPc, path: str
) -> None:
    answer = rest.get(at(volume, "files"), {"path": path, "reason": "x"})

    assert answer.status_code == 400
    assert answering.asked == []


@pytest.mark.parametrize("role", [Role.AUDITOR, Role.HELP_DESK, Role.EMPLOYEE])
def test_who_is_no_administrator_sees_no_content(
    client: Browser, volume: Volume, answering: AnsweringPc, being: Callable[..., User], role: Role
) -> None:
    client.force_login(being("ruth", role))
    for what in ("folders", "files", "search"):
        query = {"name": "x", "path": bytepaths.word(b"notes.txt"), "reason": "curious"}
        assert client.get(at(volume, what), query).status_code == 403, what

    looks = client.get(at(volume, "looks")).status_code

    assert looks == (403 if role == Role.EMPLOYEE else 200)
    assert answering.asked == []


def test_a_pc_that_is_off_is_a_problem_with_a_code(rest: Browser, volume: Volume, now: datetime) -> None:
    tell(volume, state="locked", now=now)

    answer = rest.get(at(volume, "folders"), {"reason": "x"})

    assert (answer.status_code, answer.json()["code"]) == (503, "volume_locked")


def share(rest: Browser, volume: Volume, *, match: str = '"0"', **changed: str) -> Any:
    wish = {"path": bytepaths.word(SALES), "person": "kato", "access": "read", "reason": "cover", **changed}
    return rest.post(at(volume, "grants"), wish, content_type="application/json", headers={"If-Match": match})


def test_a_folder_is_shared_and_the_sharing_ended(
    rest: Browser, volume: Volume, kato: User, now: datetime
) -> None:
    made = share(rest, volume)
    assert (made.status_code, made["ETag"], made.json()["progress"]) == (200, '"1"', "pending")
    [grant] = made.json()["grants"]
    assert (grant["folder"], grant["person"], grant["access"]) == ("営業", "kato", "read")
    tell(volume, grants_revision=1, now=now)
    assert rest.get(at(volume, "grants")).json()["progress"] == "applied"

    ended = rest.delete(
        f"{at(volume, 'grants')}{grant['id']}/?reason=back", headers={"If-Match": made["ETag"]}
    )

    assert (ended.json()["grants"], ended.json()["progress"]) == ([], "pending")
    assert [look.act for look in Look.objects.order_by("pk")] == ["share", "unshare"]


@pytest.mark.parametrize(("match", "code"), [('"7"', "sharing_changed"), ("", "if_match_required")])
def test_nobodys_sharing_is_overwritten_unseen(
    rest: Browser, volume: Volume, kato: User, match: str, code: str
) -> None:
    answer = share(rest, volume, match=match)

    assert answer.json()["code"] == code
    assert not FolderGrant.objects.exists()


def test_a_token_that_may_only_read_shares_nothing(
    volume: Volume, kato: User, admin: User, now: datetime
) -> None:
    _row, text = issuing.make(admin, name="x", scope="read", now=now)
    program = Browser(headers={"authorization": f"Bearer {text}"})

    assert program.get(at(volume, "grants")).status_code == 200
    assert share(program, volume).status_code == 403
    assert not FolderGrant.objects.exists()
