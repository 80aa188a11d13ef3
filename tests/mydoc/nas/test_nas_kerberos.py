"""The NAS by Kerberos: Samba's domain controller, and a file server that has a keytab of the domain. Root."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from config.demo.directory import SERVICE, Directory
from config.demo.domaincontroller import REALM
from config.demo.processes import Child, run, wait_for
from mydoc.nas import fileserver, tickets
from mydoc.nas.settings import NasSettings
from tests.mydoc.replicacast import answers, free_port

pytestmark = pytest.mark.slow
NAS = "svc-nas"
NO_PAC = 512 | 0x2000000  # userAccountControl: NORMAL_ACCOUNT, NO_AUTH_DATA_REQUIRED (MS-ADTS 2.2.16)
ACCOUNT = f"{SERVICE}@{REALM}"
CONFIGURATION = """
[global]
server role = standalone
realm = {realm}
workgroup = CORP
kerberos method = dedicated keytab
dedicated keytab file = FILE:{here}/nas.keytab
username map = {here}/people
smb ports = {port}
interfaces = 127.0.0.1
bind interfaces only = yes
private dir = {here}/private
lock directory = {here}/lock
state directory = {here}/state
cache directory = {here}/cache
pid directory = {here}/pid
ncalrpc dir = {here}/ncalrpc
server min protocol = SMB3_00
server smb encrypt = required
ntlm auth = disabled
gensec:require_pac = no
load printers = no
[backup]
path = {here}/share
read only = no
"""


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
def member(directory: Directory, tmp_path_factory: pytest.TempPathFactory) -> Iterator[NasSettings]:
    """A file server of the domain: no password opens it."""
    here, port, controller = tmp_path_factory.mktemp("nas"), free_port(), directory.controller
    for name in ("private", "lock", "state", "cache", "pid", "ncalrpc", "share"):
        (here / name).mkdir()
    directory.add_user(NAS)
    directory.set_control(NAS, NO_PAC)  # smbd without winbindd reads the name alone
    run(["samba-tool", "spn", "add", "cifs/localhost", NAS, "-s", str(controller.directory / "smb.conf")])
    controller.export_keytab(here / "nas.keytab", f"cifs/localhost@{REALM}")
    controller.export_keytab(here / "account.keytab", ACCOUNT)
    (here / "people").write_text(f"root = {ACCOUNT} CORP\\{SERVICE} {SERVICE}\n")
    (here / "smb.conf").write_text(CONFIGURATION.format(here=here, port=port, realm=REALM))
    argv = ["smbd", "-F", "--no-process-group", "-s", str(here / "smb.conf"), "--debug-stdout"]
    with Child("smbd", argv, log=here / "smbd.log", env=dict(os.environ)) as child:
        wait_for("the file server", lambda: answers(port), children=[child])
        url = f"smb://localhost:{port}/backup/replicas"
        yield NasSettings(url=url, user=ACCOUNT, keytab=here / "account.keytab")


@pytest.fixture
def place(member: NasSettings, krb5: Path, tmp_path: Path) -> NasSettings:
    return replace(member, tickets=tmp_path / "data" / "nas-tickets")


def found(place: NasSettings) -> list[tuple[str, bool]]:
    return [(one.code, one.good) for one in fileserver.findings(place)]


def test_it_is_reached_without_any_password_and_the_ticket_is_kept_for_our_eyes(place: NasSettings) -> None:
    print(
        fileserver._run(place, ("lsf", fileserver.root(place), "-vv")).stderr.decode()[-3000:],
        fileserver._run(place, ("mkdir", fileserver.root(place))).stderr.decode()[-1500:],
    )
    print((place.keytab.parent / "smbd.log").read_text()[-3000:])
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
    directory.disable(SERVICE)
    try:
        no_ticket = found(replace(place, tickets=tmp_path / "other-tickets"))[-1]
    finally:
        directory.enable(SERVICE)

    assert no_key == ("keytab", False)
    assert unknown == ("spn", False)
    assert no_kdc == no_kdc_later == ("kdc", False)
    assert no_ticket == ("ticket", False)
    assert "OPENVRAS_NAS_KEYTAB_FILE" in fileserver.words_of("keytab", place)
    assert all(ACCOUNT in fileserver.words_of(code, place) for code in ("keytab", "ticket", "kdc"))
    assert "localhost" in fileserver.words_of("spn", place)


@pytest.mark.soak
def test_a_password_does_not_open_it(place: NasSettings) -> None:
    by_password = NasSettings(url=place.url, user=f"CORP\\{SERVICE}", password=Directory.password_of(SERVICE))

    assert found(by_password)[-1][1] is False
