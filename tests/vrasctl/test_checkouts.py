"""Checkout at the command line, by an employee and an approver, against a real server."""

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

import pytest

from tests.lab.server import Server
from tests.pcs import facts_with_devices
from tests.vrasctl.conftest import Administrator, Pc

pytestmark = [pytest.mark.slow, pytest.mark.soak]

_PEOPLE = """
from django.contrib.auth.models import Group, User
from clients.models import Client
from mydoc.models import Volume
for name, role in (("sato-{pc}", "employee"), ("mori-{pc}", "approver")):
    user = User.objects.create_user(name, password="Logs-on-at-a-shell-1")
    user.groups.set([Group.objects.get_or_create(name=role)[0]])
owner = User.objects.get(username="sato-{pc}")
Volume.objects.create(pk="{volume}", owner=owner, client=Client.objects.get(name="{pc}"), limit_bytes=1,
    server_half=b"wrapped")
"""
PERIOD = ["--from", "2099-01-05T09:00", "--until", "2099-01-06T18:00"]
SAID = ["--purpose", "客先でのデモ", "--destination", "Osaka", "--contact", "090"]


@dataclass
class People:
    pc: str
    sato: Administrator
    mori: Administrator


@pytest.fixture(scope="module")
def people(
    server: Server, administrator: Administrator, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[People]:
    """Sato, who has data on a PC, and Mori, who approves; both logged in by password."""
    name, place = "pc-checkout-1", tmp_path_factory.mktemp("people")
    administrator.json("group", "create", name)
    token = administrator.must("pc", "token", "--group", name, "--approved").out.strip()
    Pc(server.url, token, name=name, directory=place / name).describe(facts_with_devices())
    server.shell(_PEOPLE.format(pc=name, volume=uuid.uuid4()))
    users = []
    for user in (f"sato-{name}", f"mori-{name}"):
        somebody = Administrator(place / user, server.url)
        how = ["--username", user, "--password-file", "-"]
        somebody.must("login", *how, said="Logs-on-at-a-shell-1\n")
        users.append(somebody)
    yield People(name, *users)


@pytest.fixture
def near() -> list[str]:
    """A period that may be asked for: from tomorrow on."""
    day = datetime.now().astimezone() + timedelta(days=1)
    return ["--from", day.isoformat(), "--until", (day + timedelta(days=2)).isoformat()]


def test_an_employee_asks_an_approver_sends_back_it_is_mended_and_approved(
    people: People, near: list[str]
) -> None:
    asked = people.sato.json("checkout", "request", people.pc, *near, *SAID, "--folder", "Documents/plans")
    number = str(asked["id"])
    assert (asked["state"], asked["folders"]) == ("waiting", ["Documents/plans"])
    assert [row["id"] for row in people.mori.json("checkout", "list", "--inbox")] == [asked["id"]]
    own = people.sato.run("checkout", "approve", number)
    assert (own.code, "[own_request]" in own.err) == (3, True)

    people.mori.must("checkout", "send-back", number, "--reason", "Which customer?")
    assert "Which customer?" in people.sato.must("checkout", "show", number).out
    people.sato.must("checkout", "request", people.pc, "--mend", number, *near, *SAID)
    approved = people.mori.json("checkout", "approve", number)

    assert (approved["state"], approved["obstacle"]) == ("permitted", "no_replica")
    assert "key" not in approved
    assert number in people.sato.must("checkout", "list", "--state", "permitted").out
    assert people.sato.run("checkout", "return", number).code == 3  # it is not lent yet
    people.sato.must("checkout", "withdraw", number)
    assert people.mori.run("checkout", "approve", number).code == 3


def test_what_is_refused_says_why_and_ends_with_the_codes_of_the_help(
    people: People, near: list[str], stranger: Administrator
) -> None:
    far = people.sato.run("checkout", "request", people.pc, *PERIOD, *SAID)
    elsewhere = people.sato.run("checkout", "request", "pc-of-somebody", *near, *SAID)
    bad_time = people.sato.run("checkout", "request", people.pc, "--from", "soon", *PERIOD[2:], *SAID)
    unknown = people.mori.run("checkout", "show", "999999")
    stranger.server = people.mori.server
    nobody = stranger.run("checkout", "list")

    assert (far.code, "[bad_period]" in far.err) == (3, True)
    assert (elsewhere.code, "[no_data_there]" in elsewhere.err, people.pc in elsewhere.err) == (1, True, True)
    assert (bad_time.code, unknown.code, nobody.code) == (2, 3, 6)
    assert people.mori.run("pc", "list").code == 3  # an approver's login opens nothing else


def test_a_rejection_needs_a_reason_and_is_read_by_the_requester(people: People, near: list[str]) -> None:
    number = str(people.sato.json("checkout", "request", people.pc, *near, *SAID)["id"])

    assert people.mori.run("checkout", "reject", number).code == 2
    assert people.mori.run("checkout", "reject", number, "--reason", " ").code == 3
    people.mori.must("checkout", "reject", number, "--reason", "not this data")

    assert people.sato.json("checkout", "show", number)["words"] == "not this data"
