"""Logging in with the company's directory: a real domain controller, its people, and what becomes of them."""

import re
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth import authenticate
from django.contrib.auth.models import User
from django.http import HttpRequest
from django.test import Client as Browser

from clients.errors import Refusal
from clients.models import DirectoryUser
from clients.people.roles import Role, role_of
from config.demo.authority import Authority
from config.demo.directory import Directory
from mydoc.tree import sharing

pytestmark = [pytest.mark.slow, pytest.mark.django_db]

LogOn = Callable[..., Any]
Adder = Callable[..., str]


@pytest.fixture
def connected(directory: Directory, settings: Any) -> Directory:
    """The server, told of the directory."""
    settings.DIRECTORY = directory.settings()
    return directory


@pytest.fixture
def log_on(connected: Directory) -> LogOn:
    """Types a name and a password (their own) at the login page; the answer."""

    def type_in(name: str, password: str | None = None, browser: Browser | None = None) -> Any:
        return (browser or Browser()).post(
            "/login/", {"username": name, "password": password or Directory.password_of(name)}
        )

    return type_in


def is_in(answer: Any) -> bool:
    return bool(answer.status_code == 302)


@pytest.fixture
def person(directory: Directory) -> Iterator[Adder]:
    """Adds people for this test alone: `person("zoe", "vras-employees")`."""
    added: list[str] = []

    def add(name: str, *groups: str) -> str:
        guid = directory.add_user(name)
        added.append(guid)
        for group in groups:
            directory.join(group, name)
        return guid

    yield add
    for guid in added:
        directory.remove(guid)


@pytest.fixture
def silent() -> Iterator[int]:
    """A port of loopback that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def test_an_administrator_logs_in_with_the_companys_password(log_on: LogOn) -> None:
    browser = Browser()

    assert is_in(log_on("carol", browser=browser))

    assert browser.get("/pcs/").status_code == 200
    user = User.objects.get(username="carol")
    assert role_of(user) == {Role.ADMINISTRATOR, Role.EMPLOYEE}
    assert user.is_staff
    assert not user.is_superuser
    assert not user.has_usable_password()


def test_a_wrong_password_opens_nothing(log_on: LogOn) -> None:
    answer = log_on("carol", "not hers")

    assert not is_in(answer)
    assert not User.objects.exists()


def test_a_group_in_a_group_in_a_group_counts(log_on: LogOn) -> None:
    log_on("alice")

    assert role_of(User.objects.get(username="alice")) == {Role.EMPLOYEE}


def test_an_employee_is_known_and_has_a_page_of_their_own_and_no_other(log_on: LogOn) -> None:
    browser = Browser()

    assert is_in(log_on("alice", browser=browser))

    assert browser.get("/")["Location"] == "/my/"
    assert browser.get("/my/").status_code == 200
    assert browser.get("/pcs/").status_code == 403
    assert browser.post("/groups/", {"name": "hers"}).status_code == 403


@pytest.mark.parametrize(
    ("name", "role"), [("dave", Role.APPROVER), ("erin", Role.AUDITOR), ("frank", Role.HELP_DESK)]
)
def test_each_group_means_its_role(log_on: LogOn, name: str, role: Role) -> None:
    log_on(name)

    assert role_of(User.objects.get(username=name)) == {role}


def test_a_user_in_four_hundred_groups_logs_in(log_on: LogOn) -> None:
    assert is_in(log_on("heidi"))

    assert role_of(User.objects.get(username="heidi")) == {Role.EMPLOYEE}


def test_groups_that_contain_each_other_are_no_trap(log_on: LogOn) -> None:
    assert is_in(log_on("ivan"))

    assert role_of(User.objects.get(username="ivan")) == {Role.EMPLOYEE}


def test_a_user_of_the_directory_without_a_role_is_refused_with_words(log_on: LogOn) -> None:
    answer = log_on("bob")

    assert "no_role" in answer.content.decode()
    assert "have no role here" in answer.content.decode()
    assert not User.objects.exists()


def test_who_is_not_in_the_directory_hears_what_a_wrong_password_hears(log_on: LogOn) -> None:
    unknown, wrong = log_on("nobody", "a password"), log_on("carol", "a password")

    assert not is_in(unknown)
    assert unknown.context["form"].non_field_errors() == wrong.context["form"].non_field_errors()


@pytest.mark.parametrize("name", ["*", "car*", "carol)(objectClass=*", "\\2a", "carol\x00", "キャロル"])
def test_a_name_is_never_read_as_a_question_to_the_directory(log_on: LogOn, name: str) -> None:
    assert not is_in(log_on(name, Directory.password_of("carol")))


def test_nobody_logs_in_without_a_password(log_on: LogOn, connected: Directory) -> None:
    assert authenticate(HttpRequest(), username="carol", password="") is None


def test_a_disabled_user_does_not_log_in(log_on: LogOn, connected: Directory, person: Adder) -> None:
    person("judy", "vras-employees")
    assert is_in(log_on("judy"))

    connected.disable("judy")

    assert not is_in(log_on("judy"))


def test_a_role_ends_with_the_membership(log_on: LogOn, connected: Directory, person: Adder) -> None:
    person("judy", "vras-administrators")
    log_on("carol")
    log_on("judy")
    connected.leave("vras-administrators", "judy")
    connected.join("vras-auditors", "judy")
    browser = Browser()

    log_on("judy", browser=browser)

    assert role_of(User.objects.get(username="judy")) == {Role.AUDITOR}
    assert browser.get("/pcs/").status_code == 200
    assert browser.post("/groups/", {"name": "new"}).status_code == 403


def test_a_renamed_user_stays_the_same_account(log_on: LogOn, connected: Directory, person: Adder) -> None:
    guid = person("judy", "vras-employees")
    log_on("judy")
    before = DirectoryUser.objects.get(guid=guid)
    connected.rename("judy", "judith")

    log_on("judith", Directory.password_of("judy"))

    after = DirectoryUser.objects.get(guid=guid)
    assert after.user_id == before.user_id
    assert after.user.username == "judith"


def test_somebody_new_with_an_old_name_is_another_account(
    log_on: LogOn, connected: Directory, person: Adder
) -> None:
    old = person("judy", "vras-approvers")
    log_on("judy")
    connected.rename("judy", "judith")
    new = person("judy", "vras-employees")

    assert is_in(log_on("judy"))

    assert role_of(DirectoryUser.objects.get(guid=new).user) == {Role.EMPLOYEE}
    assert DirectoryUser.objects.get(guid=old).user.username == "judith"
    assert role_of(DirectoryUser.objects.get(guid=old).user) == {Role.APPROVER}


def test_a_name_whose_holder_is_gone_goes_to_the_new_one_without_the_old_roles(
    log_on: LogOn, connected: Directory, person: Adder
) -> None:
    old = person("judy", "vras-approvers")
    log_on("judy")
    connected.remove(old)
    person("judy", "vras-employees")

    assert is_in(log_on("judy"))

    gone = DirectoryUser.objects.get(guid=old).user
    assert gone.username == f"judy~{old[:8]}"
    assert role_of(gone) == set()


def test_a_directory_with_the_certificate_of_another_authority_is_not_asked(
    log_on: LogOn, connected: Directory, settings: Any, tmp_path: Path
) -> None:
    settings.DIRECTORY = connected.settings(authority=Authority(tmp_path, name="Another").file)

    answer = log_on("carol")

    assert "directory_away" in answer.content.decode()
    assert not User.objects.exists()


def test_while_the_directory_is_away_local_administrators_log_in_and_others_are_told(
    log_on: LogOn, connected: Directory, admin: User
) -> None:
    connected.controller.machine.cut()
    try:
        answer = log_on("carol")
        local = log_on("admin", "correct horse battery")
    finally:
        connected.controller.machine.mend()

    assert "directory_away" in answer.content.decode()
    assert "can log in meanwhile" in answer.content.decode()
    assert is_in(local)


def test_a_directory_that_never_answers_costs_the_time_out_and_is_told(
    log_on: LogOn, connected: Directory, settings: Any, silent: int
) -> None:
    settings.DIRECTORY = connected.settings(url=f"ldaps://127.0.0.1:{silent}", timeout_s=0.5)

    answer = log_on("carol")

    assert re.search(r"directory_(slow|away)", answer.content.decode())


def test_a_program_that_logs_in_hears_the_same(connected: Directory, settings: Any, silent: int) -> None:
    settings.DIRECTORY = connected.settings(url=f"ldaps://127.0.0.1:{silent}", timeout_s=0.5)

    answer = Browser().post(
        "/api/v1/tokens/login/",
        {"username": "carol", "password": "hers", "name": "x", "scope": "read"},
    )

    assert answer.status_code == 503
    assert answer.json()["code"] in ("directory_slow", "directory_away")


def test_an_employees_token_opens_what_is_their_own_and_whoever_has_no_role_gets_none(
    connected: Directory,
) -> None:
    def wish(name: str) -> dict[str, str]:
        return {"username": name, "password": Directory.password_of(name), "name": "x", "scope": "read"}

    made = Browser().post("/api/v1/tokens/login/", wish("alice"))
    refused = Browser().post("/api/v1/tokens/login/", wish("bob"))

    headers = {"authorization": f"Bearer {made.json()['token']}"}
    assert Browser().get("/api/v1/checkouts/", headers=headers).status_code == 200
    for path in ("clients/", "volumes/", "events/", "groups/"):
        assert Browser().get(f"/api/v1/{path}", headers=headers).status_code == 403
    assert (refused.status_code, refused.json()["code"]) == (403, "no_role")


def test_the_last_administrator_keeps_the_role_and_home_says_why(
    log_on: LogOn, connected: Directory, person: Adder
) -> None:
    person("judy", "vras-administrators")
    log_on("judy")
    connected.leave("vras-administrators", "judy")
    browser = Browser()

    assert is_in(log_on("judy", browser=browser))

    assert role_of(User.objects.get(username="judy")) == {Role.ADMINISTRATOR}
    assert "judy is no administrator in the directory any more" in browser.get("/").content.decode()

    User.objects.create_superuser("admin", password="correct horse battery")
    log_on("judy")

    assert role_of(User.objects.get(username="judy")) == set()


def test_no_password_is_in_the_log(log_on: LogOn, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    log_on("carol")
    log_on("bob")
    log_on("alice", "not-hers-but-secret")

    assert "Logs-on-as" not in caplog.text
    assert "not-hers-but-secret" not in caplog.text


def test_somebody_who_was_never_here_is_named_by_their_name_in_the_directory(
    connected: Directory, person: Adder
) -> None:
    guid = person("zoe", "vras-employees")
    person("max")

    zoe = sharing.from_directory("zoe")

    assert zoe is not None
    assert str(DirectoryUser.objects.get(user=zoe).guid) == guid
    assert role_of(zoe) == {Role.EMPLOYEE}
    assert sharing.from_directory("nobody-at-all") is None
    with pytest.raises(Refusal, match="no_role_there"):
        sharing.from_directory("max")
    assert not User.objects.filter(username="max").exists()
