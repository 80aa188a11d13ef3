"""Logging in with the company's directory: a real domain controller, its people, and what becomes of them."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client as Browser

from clients.roles import Role, role_of
from tests.lab.directory import Directory

pytestmark = [pytest.mark.slow, pytest.mark.django_db]

LogOn = Callable[..., Any]


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
def person(directory: Directory) -> Iterator[Callable[[str], str]]:
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
