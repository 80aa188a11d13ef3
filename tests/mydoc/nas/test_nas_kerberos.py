"""The NAS by Kerberos and by password: Samba's domain controller, a file server that is its member. Root."""

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from config.demo import directory as companies
from config.demo.directory import Directory
from config.demo.domaincontroller import REALM
from config.demo.memberserver import ACCOUNT, ACCOUNT_NAME, SHARE, SMB_PORT, MemberServer
from config.demo.processes import run
from config.demo.relay import Relay
from mydoc.nas import fileserver, tickets
from mydoc.nas.settings import NasSettings
from tests.mydoc.replicacast import free_port

pytestmark = pytest.mark.slow


@pytest.fixture
def krb5(directory: Directory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """How this process finds the realm."""
    there = tmp_path / "krb5.conf"
    port = directory.controller.kdc.port
    there.write_text(
        f"[libdefaults]\ndefault_realm = {REALM}\ndns_lookup_kdc = false\nudp_preference_limit = 1\n"
        f"rdns = false\n[realms]\n{REALM} = {{\n kdc = 127.0.0.1:{port}\n}}\n"
        f"[domain_realm]\nlocalhost = {REALM}\n"
    )
    monkeypatch.setenv("KRB5_CONFIG", str(there))
    return there


@pytest.fixture(scope="module")
def member(kept_directory: Path, directory: Directory) -> Iterator[NasSettings]:
    """A file server that has joined the domain, as this machine reaches it: by a relay on loopback."""
    controller = directory.controller
    with tempfile.TemporaryDirectory(
        prefix="openvras-nas-"
    ) as scratch:  # its sockets' paths have to be short
        place = Path(scratch)
        archive = companies.member(kept_directory)
        server = MemberServer(controller, place / "nas", share=place / "share", archive=archive)
        configuration = ["-s", str(controller.directory / "smb.conf")]
        run(["samba-tool", "spn", "add", "cifs/localhost", "NAS1$", *configuration])
        controller.export_keytab(place / "account.keytab", ACCOUNT_NAME)
        with server, Relay(controller.machine, server.machine.address, SMB_PORT) as relay:
            url = f"smb://localhost:{relay.port}/{SHARE}/of-pcs"
            yield NasSettings(url=url, user=ACCOUNT_NAME, keytab=place / "account.keytab")


@pytest.fixture
def place(member: NasSettings, krb5: Path, tmp_path: Path) -> NasSettings:
    return replace(member, tickets=tmp_path / "data" / "nas-tickets")


def found(place: NasSettings) -> list[tuple[str, bool]]:
    return [(one.code, one.good) for one in fileserver.findings(place)]


def test_it_is_reached_without_any_password_and_the_ticket_is_kept_for_our_eyes(place: NasSettings) -> None:
    assert found(place)[:2] == [("tcp", True), ("probe", True)]

    assert place.tickets is not None
    assert place.tickets.stat().st_mode & 0o077 == 0
    assert tickets.left_s(place.tickets) > tickets.LEAST_S
    assert "PASS" not in " ".join(fileserver.environment(place))


@pytest.mark.soak
def test_a_ticket_that_is_good_is_used_again_and_one_that_ends_is_got_anew(
    place: NasSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = tickets.fresh(place).read_bytes()
    again = tickets.fresh(place).read_bytes()
    monkeypatch.setattr(tickets, "LEAST_S", 11 * 3600)  # longer than the directory gives any
    anew = tickets.fresh(place).read_bytes()

    assert first == again
    assert anew != first
    assert found(place)[1] == ("probe", True)


@pytest.mark.soak
def test_what_is_wrong_is_said_in_words(
    place: NasSettings, directory: Directory, krb5: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty = tmp_path / "empty.keytab"
    empty.touch()
    nobody, kdc = free_port(), directory.controller.kdc.port
    (tmp_path / "kdc-away.conf").write_text(krb5.read_text().replace(f":{kdc}", f":{nobody}"))

    no_key = found(replace(place, keytab=empty))[-1]
    unknown = found(replace(place, url=place.url.replace("localhost", "127.0.0.1")))[-1]
    with monkeypatch.context() as away:
        away.setenv("KRB5_CONFIG", str(tmp_path / "kdc-away.conf"))
        no_kdc = found(replace(place, tickets=tmp_path / "no-tickets"))[-1]
        no_kdc_later = found(place)[-1]
    directory.disable(ACCOUNT)
    try:
        no_ticket = found(replace(place, tickets=tmp_path / "other-tickets"))[-1]
    finally:
        directory.enable(ACCOUNT)

    assert no_key == ("keytab", False)
    assert unknown == ("spn", False)
    assert no_kdc == no_kdc_later == ("kdc", False)
    assert no_ticket == ("ticket", False)
    assert "OPENVRAS_NAS_KEYTAB_FILE" in fileserver.words_of("keytab", place)
    assert all(ACCOUNT_NAME in fileserver.words_of(code, place) for code in ("keytab", "ticket", "kdc"))
    assert "localhost" in fileserver.words_of("spn", place)


def test_by_password_the_domain_is_asked_each_time_and_lets_nobody_else_in(
    place: NasSettings, directory: Directory
) -> None:
    def by_password(name: str, password: str) -> NasSettings:
        return NasSettings(url=place.url, user=f"CORP\\{name}", password=password)

    own = by_password(ACCOUNT, Directory.password_of(ACCOUNT))
    good = found(own)[1]
    wrong = found(by_password(ACCOUNT, "not theirs"))[-1]
    other = found(by_password("alice", Directory.password_of("alice")))[-1]
    directory.disable(ACCOUNT)
    try:
        disabled = found(own)[-1]
    finally:
        directory.enable(ACCOUNT)

    assert good == ("probe", True)
    assert wrong == disabled == ("credential", False)
    assert other[1] is False
