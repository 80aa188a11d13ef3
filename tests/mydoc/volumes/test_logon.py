"""Logging on with Kerberos: a real domain controller, real tickets, and what they open."""

import base64
import io
import json
import os
import secrets
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import gssapi
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from django.conf import settings
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.test import Client as Browser
from django.utils import timezone

from clients import quickstore
from clients.errors import Refusal
from clients.people import directory as directories
from clients.people.rolenames import Role
from config.demo import domaincontroller
from config.demo.authority import Authority
from config.demo.directory import Directory
from mydoc.models import DirectoryWatch, Opening, Volume
from mydoc.volumes import negotiating, watching
from tests.lab.kerberos import Session
from tests.lab.server import ROOT
from tests.mydoc.unlockingpc import UnlockingPc
from tests.pcs import FakePc

pytestmark = [pytest.mark.slow, pytest.mark.django_db]
Keys = tuple[X25519PrivateKey, X25519PrivateKey]
LogOn = Callable[..., Session]
Adder = Callable[..., str]


@pytest.fixture(scope="session")
def keytab(directory: Directory, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return directory.keytab(tmp_path_factory.mktemp("keytab"))


@pytest.fixture
def company(directory: Directory, keytab: Path, settings: Any) -> Directory:
    """The server, told of the directory and of its own keys there."""
    settings.DIRECTORY, settings.KEYTAB = directory.settings(), keytab
    return directory


@pytest.fixture
def log_on(company: Directory, tmp_path: Path) -> LogOn:
    """Logs on at a PC of the domain: `log_on("alice")`."""

    def make(name: str, password: str | None = None) -> Session:
        return Session(tmp_path, company, name).log_on(password)

    return make


@pytest.fixture
def person(company: Directory) -> Iterator[Adder]:
    """Adds people for this test alone: `person("judy")` is an employee."""
    added: list[str] = []

    def add(name: str, *groups: str) -> str:
        added.append(company.add_user(name))
        for group in groups or ["vras-employees"]:
            company.join(group, name)
        return added[-1]

    yield add
    for guid in added:
        company.remove(guid)


@pytest.fixture
def desk(pc: FakePc, custodians: Keys) -> UnlockingPc:
    return UnlockingPc(pc, timezone.now())


@pytest.fixture
def by_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is looked at again but for a change: what is found is found by that."""
    monkeypatch.setattr(watching, "ROTATION", 0)


def knock(desk: UnlockingPc, header: str, *, nonce: str = "") -> Any:
    """The logon script, at the door."""
    wish = {"nonce": nonce or secrets.token_hex(16), "client": str(desk.pc.client.pk)}
    return Browser().post(
        "/mydoc/logon", json.dumps(wish), content_type="application/json", headers={"authorization": header}
    )


def opened(desk: UnlockingPc, session: Session) -> Any:
    answer = knock(desk, session.header())
    assert answer.status_code == 200, answer.content
    return desk.half(next(wish for wish in desk.slice().volumes if wish.session))


def test_a_ticket_opens_the_volume_of_its_owner_and_the_server_proves_itself_too(
    desk: UnlockingPc, log_on: LogOn, company: Directory
) -> None:
    alice = log_on("alice")

    answer = knock(desk, alice.header(), nonce="a" * 32)

    assert answer.status_code == 200, answer.content
    assert alice.believes(answer["WWW-Authenticate"])
    wish = desk.wish()
    assert answer.json() == {"volume": wish.volume}
    assert (wish.nonce, wish.owner) == ("a" * 32, company.guid("alice"))
    assert len(desk.half(wish)) == 32


def test_what_the_controller_signed_in_the_ticket_names_the_account(
    company: Directory, log_on: LogOn, redis_url: str
) -> None:
    proof = negotiating.proven(log_on("alice").header())

    assert (proof.name, proof.realm) == ("alice", "CORP.OPENVRAS.TEST")
    assert proof.sid is not None
    with directories.asked(company.settings()) as link:
        person = directories.find_by_sid(link, company.settings(), proof.sid)
    assert person is not None
    assert person.name == "alice"


def test_a_ticket_from_before_a_wedding_opens_the_same_volume(
    desk: UnlockingPc, log_on: LogOn, company: Directory, person: Adder
) -> None:
    person("judy")
    judy = log_on("judy")
    before = opened(desk, judy)
    company.rename("judy", "judith")

    assert opened(desk, judy) == before

    assert Volume.objects.get().owner.username == "judith"


@pytest.mark.parametrize("name", ["heidi", "ivan"])
def test_four_hundred_groups_and_groups_in_a_ring_are_no_obstacle(
    desk: UnlockingPc, log_on: LogOn, name: str
) -> None:
    assert opened(desk, log_on(name))


@pytest.mark.parametrize(("name", "code"), [("bob", "no_role"), ("dave", "no_employee")])
def test_who_is_no_employee_opens_nothing(desk: UnlockingPc, log_on: LogOn, name: str, code: str) -> None:
    answer = knock(desk, log_on(name).header())

    assert (answer.status_code, answer.json()["code"]) == (403, code)
    assert not Volume.objects.exists()


def test_a_cached_ticket_of_a_disabled_user_opens_nothing(
    desk: UnlockingPc, log_on: LogOn, company: Directory, person: Adder
) -> None:
    person("judy")
    judy = log_on("judy")
    opened(desk, judy)

    company.disable("judy")

    answer = knock(desk, judy.header())  # Kerberos itself goes on for ten hours
    assert (answer.status_code, answer.json()["code"]) == (403, "account_disabled")


def test_of_a_disabled_or_expired_stranger_with_a_ticket_nothing_is_kept(
    desk: UnlockingPc, log_on: LogOn, company: Directory, person: Adder
) -> None:
    person("judy")
    person("kate")
    sessions = [log_on("judy"), log_on("kate")]
    for session in sessions:
        session.token()  # the ticket for this server is there, too
    company.disable("judy")
    company.expire("kate", timezone.now() - timedelta(hours=1))

    codes = [knock(desk, session.header()).json()["code"] for session in sessions]

    assert codes == ["account_disabled", "account_expired"]
    assert not User.objects.filter(username="judy").exists()
    assert not Volume.objects.exists()


def test_who_is_disabled_between_proof_and_key_gets_no_key(
    desk: UnlockingPc, log_on: LogOn, company: Directory, person: Adder
) -> None:
    person("judy")
    assert knock(desk, log_on("judy").header()).status_code == 200
    wish = desk.wish()

    company.disable("judy")

    assert desk.ask(wish).json()["code"] == "account_disabled"
    assert Opening.objects.get().reason == "account_disabled"
    assert desk.wish().session == ""


@pytest.mark.usefixtures("by_changes")
def test_one_sweep_closes_exactly_those_whom_the_directory_says_no_to(
    desk: UnlockingPc, enrol: Callable[..., FakePc], log_on: LogOn, company: Directory, person: Adder
) -> None:
    other = UnlockingPc(enrol("pc-sales-02"), desk.now)
    for name in ("judy", "kate", "lily"):
        person(name)
        opened(desk, log_on(name))
    opened(other, log_on("judy"))
    assert sweep() == 0

    company.disable("judy")
    company.leave("vras-employees", "kate")

    assert sweep() == 3
    reasons = Opening.objects.values_list("volume__owner__username", "reason")
    assert sorted(reasons) == [
        *[("judy", "account_disabled")] * 2,
        ("kate", "no_employee"),
        ("lily", ""),
    ]
    assert [bool(wish.session) for wish in desk.slice().volumes].count(True) == 1
    assert sweep() == 0


def test_an_account_that_is_locked_out_is_closed(
    desk: UnlockingPc, log_on: LogOn, company: Directory, person: Adder, by_changes: None
) -> None:
    person("judy")
    opened(desk, log_on("judy"))
    sweep()

    company.lock_out("judy")

    assert sweep() == 1
    assert Opening.objects.get().reason == "account_locked_out"


@pytest.mark.usefixtures("by_changes")
def test_an_account_that_expires_later_is_closed_then_though_the_directory_is_away(
    desk: UnlockingPc, log_on: LogOn, company: Directory, person: Adder, settings: Any
) -> None:
    person("judy")
    opened(desk, log_on("judy"))
    sweep()
    ends = timezone.now().replace(microsecond=0) + timedelta(minutes=4)
    company.expire("judy", ends)
    assert sweep() == 0
    settings.DIRECTORY = company.settings(url="ldaps://127.0.0.1:1")

    assert watching.watch(now=ends - timedelta(seconds=1)) == 0
    desk.now = ends
    assert desk.wish().session == ""
    assert watching.watch(now=ends) == 1

    assert Opening.objects.get().reason == "account_expired"


@pytest.mark.usefixtures("by_changes")
def test_who_is_shown_deleted_accounts_finds_them_by_the_change(
    desk: UnlockingPc, log_on: LogOn, company: Directory, person: Adder, settings: Any
) -> None:
    settings.DIRECTORY = company.settings(
        bind_dn=domaincontroller.ADMINISTRATOR, bind_password=domaincontroller.ADMINISTRATOR_PASSWORD
    )
    guid = person("judy")
    opened(desk, log_on("judy"))
    sweep()

    company.remove(guid)

    assert sweep() == 1
    assert Opening.objects.get().reason == "account_gone"


def test_an_account_that_is_deleted_is_closed(
    desk: UnlockingPc, log_on: LogOn, company: Directory, person: Adder
) -> None:
    guid = person("judy")
    opened(desk, log_on("judy"))
    sweep()

    company.remove(guid)

    assert sweep() == 1
    assert Opening.objects.get().reason == "account_gone"


def test_a_group_that_stops_being_one_of_employees_takes_its_members_along(
    desk: UnlockingPc, log_on: LogOn, company: Directory, person: Adder, by_changes: None
) -> None:
    company.add_group("travellers")
    company.join("vras-employees", "travellers")
    person("judy", "travellers")
    opened(desk, log_on("judy"))
    sweep()

    company.leave("vras-employees", "travellers")

    assert sweep() == 1
    assert Opening.objects.get().reason == "no_employee"


@pytest.mark.usefixtures("by_changes")
def test_the_group_of_employees_is_known_however_its_name_is_written(
    desk: UnlockingPc, log_on: LogOn, company: Directory, person: Adder, settings: Any
) -> None:
    roles = dict(company.settings().roles)
    roles["employee"] = roles["employee"].replace(",", " , ").upper()
    settings.DIRECTORY = company.settings(roles=roles)
    person("judy")
    opened(desk, log_on("judy"))
    sweep()

    company.leave("vras-employees", "judy")

    assert sweep() == 1
    assert Opening.objects.get().reason == "no_employee"


def test_a_user_who_is_renamed_keeps_what_is_open(
    desk: UnlockingPc, log_on: LogOn, company: Directory, person: Adder, by_changes: None
) -> None:
    person("judy")
    opened(desk, log_on("judy"))
    sweep()

    company.rename("judy", "judith")

    assert sweep() == 0
    assert desk.wish().session


def test_when_another_controller_answers_everybody_is_looked_at_again(
    desk: UnlockingPc, log_on: LogOn, company: Directory, person: Adder, by_changes: None
) -> None:
    person("judy")
    opened(desk, log_on("judy"))
    sweep()
    company.disable("judy")
    DirectoryWatch.objects.update(controller="another, which counts otherwise", usn=1 << 40)

    assert sweep() == 1

    row = DirectoryWatch.objects.get()
    assert "NTDS Settings" in row.controller
    assert row.usn < 1 << 40


def test_a_directory_that_is_away_gives_no_key_closes_nothing_and_home_says_so(
    desk: UnlockingPc, log_on: LogOn, company: Directory, admin: User, settings: Any
) -> None:
    alice, heidi = log_on("alice"), log_on("heidi")
    opened(desk, alice)
    settings.DIRECTORY = company.settings(timeout_s=1.0)
    assert knock(desk, heidi.header()).status_code == 200
    new = next(wish for wish in desk.slice().volumes if wish.owner == company.guid("heidi"))
    browser = Browser()
    browser.force_login(admin)
    sweep()
    assert "no user data opens" not in browser.get("/").content.decode()

    company.controller.machine.cut()
    try:
        answers = [knock(desk, alice.header()), desk.ask(new)]
        closed = sweep()
    finally:
        company.controller.machine.mend()

    assert [one.status_code for one in answers] == [503, 503]
    assert {one.json()["code"] for one in answers} <= {"directory_away", "directory_slow"}
    assert closed == 0
    assert Opening.objects.current().count() == 2
    assert "no user data opens" in browser.get("/").content.decode()
    sweep()
    assert "no user data opens" not in browser.get("/").content.decode()


def test_a_slow_directory_and_one_with_a_wrong_certificate_are_said_and_close_nothing(
    desk: UnlockingPc, log_on: LogOn, company: Directory, settings: Any, tmp_path: Path
) -> None:
    opened(desk, log_on("alice"))
    stranger = Authority(tmp_path / "other", name="Another").file
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"ldaps://127.0.0.1:{silent.getsockname()[1]}"
        for place in (company.settings(url=url, timeout_s=0.5), company.settings(authority=stranger)):
            settings.DIRECTORY = place

            assert sweep() == 0

            row = watching.trouble()
            assert row is not None
            assert row.trouble in ("directory_slow", "directory_away")
            DirectoryWatch.objects.update(trouble="")
    assert desk.wish().session


def test_a_nonce_is_good_for_one_ticket(desk: UnlockingPc, log_on: LogOn) -> None:
    alice, heidi = log_on("alice"), log_on("heidi")
    assert knock(desk, alice.header(), nonce="a" * 32).status_code == 200

    for again in (alice, heidi):
        answer = knock(desk, again.header(), nonce="a" * 32)
        assert (answer.status_code, answer.json()["code"]) == (403, "nonce_used")


def test_a_nonce_of_another_pc_opens_nothing_here(
    desk: UnlockingPc, enrol: Callable[..., FakePc], log_on: LogOn
) -> None:
    other = UnlockingPc(enrol("pc-sales-02"), desk.now)

    knock(other, log_on("alice").header(), nonce="a" * 32)

    assert other.wish().nonce == "a" * 32  # which that PC gave to nobody: it stays locked there
    assert desk.slice().volumes == []


def test_a_token_that_was_seen_is_refused(desk: UnlockingPc, log_on: LogOn, db: None) -> None:
    header = log_on("alice").header()
    assert knock(desk, header).status_code == 200
    replayed = knock(desk, header)
    quickstore.client().flushdb()  # another web process, that of a thief who waits
    again = knock(desk, header)

    assert [(one.status_code, one.json()["code"]) for one in (replayed, again)] == [(401, "replayed")] * 2


@pytest.mark.parametrize("kind", ["Negotiate", "NTLM"])
@pytest.mark.parametrize(
    "before", [b"", bytes.fromhex("604806062b0601050502a03e303ca00e300c060a2b06010401823702020aa22a0428")]
)
def test_ntlm_is_refused_and_told_why(
    desk: UnlockingPc, company: Directory, kind: str, before: bytes
) -> None:
    token = before + b"NTLMSSP\x00\x01\x00\x00\x00" + bytes(28)

    answer = knock(desk, f"{kind} {base64.b64encode(token).decode()}")

    assert (answer.status_code, answer.json()["code"]) == (401, "ntlm_refused")
    assert answer["WWW-Authenticate"] == "Negotiate"
    assert "Kerberos" in answer.json()["detail"]


@pytest.mark.parametrize(
    "header", ["", "Negotiate", "Negotiate !", "Negotiate YWJj", "Basic YTpi", "Bearer x"]
)
def test_what_proves_nothing_is_refused(desk: UnlockingPc, company: Directory, header: str) -> None:
    answer = knock(desk, header)

    assert answer.status_code == 401
    assert answer.json()["code"] in ("not_proven", "not_authenticated")
    assert answer["WWW-Authenticate"] == "Negotiate"


def test_a_pc_whose_clock_is_hours_off_is_told_so(desk: UnlockingPc, log_on: LogOn) -> None:
    alice = log_on("alice")
    alice.token()  # its ticket is there
    alice.set_clock(2 * 3600)

    answer = knock(desk, alice.header())

    assert (answer.status_code, answer.json()["code"]) == (401, "clock_skew")
    assert not Opening.objects.exists()


@pytest.mark.parametrize(("days", "said"), [(1, "Ticket expired"), (-1, "Ticket not yet valid")])
def test_on_a_pc_whose_clock_is_a_day_off_kerberos_makes_no_proof(
    log_on: LogOn, days: int, said: str
) -> None:
    alice = log_on("alice")
    alice.token()
    alice.set_clock(days * 24 * 3600)

    with pytest.raises(gssapi.exceptions.GSSError, match=said):
        alice.header()


PROVE = """
import sys, django
django.setup()
from mydoc.volumes import negotiating
try:
    print(negotiating.proven(sys.stdin.read()).name)
except negotiating.NotProven as no:
    print(no.code, no.words)
"""


@pytest.mark.parametrize(("days", "code"), [(1, "ticket_expired"), (-1, "server_clock")])
def test_a_server_whose_clock_is_a_day_off_proves_nobody(
    log_on: LogOn, redis_url: str, tmp_path: Path, days: int, code: str
) -> None:
    """The server's own program, under another time; PC and domain controller have the right one."""
    known = {"DJANGO_SETTINGS_MODULE": "config.settings", "OPENVRAS_DATA": str(tmp_path)}
    known |= {"OPENVRAS_REDIS": redis_url, "OPENVRAS_KEYTAB_FILE": str(settings.KEYTAB)}
    program = ["faketime", "-f", f"{days:+}d", sys.executable, "-c", PROVE]

    done = subprocess.run(
        program,
        input=log_on("alice").header(),
        env={**os.environ, **known},
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
    )

    assert done.stdout.split()[:1] == [code], done


@pytest.mark.parametrize("days", [1, -1])
def test_while_the_servers_clock_is_a_day_off_nothing_opens_nothing_closes_and_it_is_said(
    desk: UnlockingPc, log_on: LogOn, client: Browser, admin: User, days: int
) -> None:
    alice, heidi = log_on("alice"), log_on("heidi")
    opened(desk, alice)
    now = timezone.now()
    client.force_login(admin)

    for minutes in (0, 1, 60):
        watching.watch(now=now + timedelta(days=days, minutes=minutes))
    heidi.token()
    heidi.set_clock(2 * 3600)  # the program's own time is right: Kerberos sees what differs by hours
    answer = knock(desk, heidi.header())

    assert (answer.status_code, answer.json()["code"]) == (401, "server_clock")
    assert "server's clock" in answer.json()["detail"]
    assert [one.volume.owner.username for one in Opening.objects.current()] == ["alice"]
    assert f"{'+' if days > 0 else '−'}" in client.get("/").content.decode().partition("This server")[2][:60]

    watching.watch(now=timezone.now())  # somebody has set it
    assert "This server&#x27;s clock" not in client.get("/").content.decode()
    assert knock(desk, log_on("heidi").header()).status_code == 200


def test_a_proof_is_bound_to_the_servers_certificate(
    desk: UnlockingPc, log_on: LogOn, settings: Any, tmp_path: Path
) -> None:
    alice = log_on("alice")
    _key, certificate = Authority(tmp_path).issue(tmp_path, "vras.corp.openvras.test")
    _key, other = Authority(tmp_path).issue(tmp_path, "relay.example")
    settings.TLS_CERTIFICATE = certificate

    unbound = knock(desk, alice.header())
    relayed = knock(desk, alice.header(bound_to=negotiating.endpoint(other)))
    bound = knock(desk, alice.header(bound_to=negotiating.endpoint(certificate)))

    assert [one.json().get("code") for one in (unbound, relayed)] == ["not_bound"] * 2
    assert bound.status_code == 200, bound.content


def test_a_server_without_its_keys_says_so(
    desk: UnlockingPc, log_on: LogOn, settings: Any, tmp_path: Path
) -> None:
    alice = log_on("alice")
    (tmp_path / "empty").touch()

    for keytab in (None, tmp_path / "missing", tmp_path / "empty"):
        settings.KEYTAB = keytab
        answer = knock(desk, alice.header())
        assert (answer.status_code, answer.json()["code"]) == (503, "no_keytab"), keytab


def test_a_ticket_for_another_server_is_refused(
    desk: UnlockingPc, log_on: LogOn, company: Directory, settings: Any, tmp_path: Path
) -> None:
    alice = log_on("alice")
    settings.KEYTAB = tmp_path / "other.keytab"
    company.controller.export_keytab(settings.KEYTAB, "bob@CORP.OPENVRAS.TEST")

    assert knock(desk, alice.header()).json()["code"] == "not_proven"


def test_a_local_account_has_no_user_data_beside_a_directory(
    desk: UnlockingPc, company: Directory, being: Callable[..., User]
) -> None:
    local = being("local", Role.EMPLOYEE)

    with pytest.raises(Refusal) as refusal:
        desk.log_on(local)

    assert refusal.value.code == "not_in_directory"


def sweep() -> int:
    return watching.watch(now=timezone.now())


def test_the_check_of_the_directory_says_what_user_data_lacks(
    company: Directory, settings: Any, tmp_path: Path, admin: User
) -> None:
    def said() -> str:
        words = io.StringIO()
        with suppress(CommandError):
            call_command("directory", "check", "--user-data", "--language", "en", stdout=words)
        return words.getvalue()

    assert "ok  Tickets for HTTP/vras.corp.openvras.test@CORP.OPENVRAS.TEST can be checked." in said()
    assert {"[not_bound]", "[no_custodians]"} <= set(said().split())
    settings.KEYTAB = tmp_path / "missing"
    settings.TLS_CERTIFICATE = tmp_path / "missing"
    employees = {role: group for role, group in settings.DIRECTORY.roles.items() if role != "employee"}
    settings.DIRECTORY = company.settings(roles=employees)

    assert {"[no_keytab]", "[no_tls_certificate]", "[no_employees]"} <= set(said().split())
