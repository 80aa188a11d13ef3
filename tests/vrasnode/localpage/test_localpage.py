"""The page inside the PC, asked over real sockets: the client VM's address is one of loopback's."""

import http.client
import json
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Interface

import pytest

from vrasnode.errors import HostBroken
from vrasnode.localpage.part import DeviceLine, LocalPage, LocalState, VolumeLine, language_of
from vrasnode.mydoc import documentsdoor
from vrasnode.wire.mydoc import VolumeReport, VolumeState

GATEWAY = IPv4Interface("127.45.0.1/28")
CLIENT_VM, VIRTUAL_SERVER = "127.45.0.3", "127.45.0.2"
MACS = {"client-vm": "52:00:00:00:00:01", "virtual-server": "52:00:00:00:00:02"}
STATE = LocalState(
    name="<pc-1>",
    contact="2026-11-23T12:00:00+00:00",
    reachable=True,
    client_vm="running",
    virtual_server="absent",
    agent_version="0.1.0",
    devices=(
        DeviceLine("GPU", "passed", "no_reset", True, {}),
        DeviceLine("Stick & co", "hidden", "no_rule", False, {}),
    ),
)


class Networks:
    def __init__(self) -> None:
        self.ensured: list[str] = []
        self.fails: HostBroken | None = None

    def ensure_network(self, network_xml: str) -> bool:
        if self.fails:
            raise self.fails
        self.ensured.append(network_xml)
        return True


class Place:
    def __init__(self) -> None:
        self.networks = Networks()
        self.now = 0.0
        self.state = STATE
        self.given: list[str] = []
        self.logon_url = "https://vras.example/mydoc/logon"
        self.reports: list[VolumeReport] = []
        doors = documentsdoor.doors(
            client_id="pc-1",
            give=self.give,
            get_logon_url=lambda: self.logon_url,
            get_reports=lambda: self.reports,
        )
        self.page = LocalPage(
            networks=self.networks,
            macs=MACS,
            get_state=lambda: self.state,
            clock=lambda: self.now,
            gateway=GATEWAY,
            port=0,
            doors=doors,
        )

    def give(self) -> str:
        self.given.append(f"{len(self.given):032x}")
        return self.given[-1]

    def get(
        self,
        path: str = "/",
        *,
        visitor: str = CLIENT_VM,
        host: str = "vras.internal",
        language: str = "en",
        method: str = "GET",
        body: str | None = None,
        **headers: str,
    ) -> tuple[http.client.HTTPResponse, str]:
        connection = http.client.HTTPConnection(
            str(GATEWAY.ip), self.page.port, timeout=10, source_address=(visitor, 0)
        )
        try:
            known = {"Host": host, "Accept-Language": language}
            more = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body, headers=known | more)
            answer = connection.getresponse()
            return answer, answer.read().decode()
        finally:
            connection.close()


@pytest.fixture
def place() -> Iterator[Place]:
    place = Place()
    place.page.step()
    yield place
    place.page.close()


def test_the_user_reads_how_the_pc_stands(place: Place) -> None:
    answer, body = place.get()

    assert answer.status == 200
    assert "<h1>&lt;pc-1&gt;</h1>" in body
    assert "Stick &amp; co" in body
    assert "No rule grants it" in body
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]


def test_the_user_reads_it_in_japanese(place: Place) -> None:
    _, body = place.get(language="fr;q=0.9, ja-JP;q=0.8, en;q=0.5")

    assert '<html lang="ja">' in body
    assert "クライアント環境" in body
    assert "パススルー" in body


def test_programs_read_the_same(place: Place) -> None:
    _, body = place.get("/state.json")

    found = json.loads(body)
    assert found["client_vm"] == "running"
    assert [line["code"] for line in found["devices"]] == ["no_reset", "no_rule"]


@pytest.mark.parametrize(
    "asked",
    [{"visitor": VIRTUAL_SERVER}, {"visitor": "127.0.0.1"}, {"host": "evil.example"}, {"host": ""}],
    ids=["the virtual server", "someone else", "another name (DNS rebinding)", "no name"],
)
def test_nobody_but_the_client_vm_is_answered(place: Place, asked: dict[str, str]) -> None:
    answer, body = place.get(**asked)

    assert (answer.status, body) == (403, "")


@pytest.mark.parametrize(
    "sent",
    [
        {"X_OpenVRAS": "logon"},
        {"Content_Type": "application/json; charset=utf-8"},
        {"X_OpenVRAS": "logon", "Content_Type": "application/x-www-form-urlencoded"},  # as curl -d sends it
    ],
)
def test_a_logon_script_gets_a_number_good_once_and_where_to_go(place: Place, sent: dict[str, str]) -> None:
    answer, body = place.get("/logon", method="POST", body="{}", **sent)

    assert answer.status == 200
    assert json.loads(body) == {
        "nonce": "0" * 32,
        "client": "pc-1",
        "server": "https://vras.example/mydoc/logon",
        "expires_s": 120,
    }


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"body": "a=b", "Content_Type": "application/x-www-form-urlencoded"},
        {"Content_Type": "application/x-www-form-urlencoded", "Origin": "http://evil.example"},
        {"body": "{}", "Content_Type": "text/plain"},
        {"X_OpenVRAS": "logon", "visitor": VIRTUAL_SERVER},
        {"X_OpenVRAS": "logon", "host": "evil.example"},
        {"X_OpenVRAS": "logon", "method": "GET"},
        {"X_OpenVRAS": "logon", "method": "OPTIONS"},
    ],
    ids=[
        "bare",
        "a form",
        "another page's form",
        "a script of a page",
        "the virtual server",
        "rebinding",
        "GET",
        "preflight",
    ],
)
def test_no_web_page_and_nobody_else_gets_a_number(place: Place, asked: dict[str, str]) -> None:
    answer, _ = place.get("/logon", **{"method": "POST", **asked})

    assert answer.status >= 400
    assert "Access-Control-Allow-Origin" not in answer.headers
    assert place.given == []


def test_before_the_server_has_said_where_to_log_on_nobody_is_sent_anywhere(place: Place) -> None:
    place.logon_url = ""

    answer, body = place.get("/logon", method="POST", X_OpenVRAS="logon", language="ja")

    assert answer.status == 503
    assert json.loads(body)["code"] == "no_logon_url"
    assert place.given == []


def test_a_logon_script_hears_how_the_documents_stand(place: Place) -> None:
    broken = VolumeReport(volume="b", state=VolumeState.BROKEN, code="volume_damaged", words="Damaged.")
    place.reports = [broken, VolumeReport(volume="o", state=VolumeState.OPEN)]

    first, of_b, none = (
        json.loads(place.get(path)[1])
        for path in ("/documents", "/documents?volume=b", "/documents?volume=x")
    )

    assert first == {"state": "open", "code": "", "words": ""}
    assert (of_b["state"], of_b["code"]) == ("broken", "volume_damaged")
    assert "administrator" in of_b["words"]
    assert none == {"state": "locked", "code": "", "words": ""}


@pytest.mark.parametrize(
    ("language", "said"), [("en", ("being opened", "for trials only")), ("ja", ("開いています", "試験用"))]
)
def test_the_user_reads_how_the_documents_stand_and_what_was_allowed(
    place: Place, language: str, said: tuple[str, str]
) -> None:
    line = VolumeLine("<alice>", "opening", "service_silent", "…")
    place.state = replace(STATE, volumes=(line,), unencrypted=True)

    _, body = place.get(language=language)

    assert "&lt;alice&gt;" in body
    assert all(words in body for words in said)


@pytest.mark.parametrize(
    ("language", "said"), [("en", "differ by 24:05 (hours"), ("ja", "24:05（時間:分）ずれて")]
)
def test_a_clock_that_keeps_logons_from_being_proven_is_said(place: Place, language: str, said: str) -> None:
    place.state = replace(STATE, clock_off_s=-86700)

    _, body = place.get(language=language)

    assert said in body


def test_what_is_not_there_is_said(place: Place) -> None:
    answer, body = place.get("/../identity/key")

    assert (answer.status, body) == (404, "There is no such page.")


def test_the_network_is_kept_up(place: Place) -> None:
    place.now += 60
    place.page.step()

    assert len(place.networks.ensured) == 2
    assert all(str(GATEWAY.ip) in xml and CLIENT_VM in xml for xml in place.networks.ensured)


def test_without_the_network_there_is_no_page_until_it_comes() -> None:
    place = Place()
    place.networks.fails = HostBroken("network_failed", "No dnsmasq.")
    with pytest.raises(HostBroken, match="network_failed"):
        place.page.step()

    place.networks.fails = None
    place.now += 60
    place.page.step()
    try:
        assert place.get()[0].status == 200
    finally:
        place.page.close()


@pytest.mark.parametrize(
    ("accepted", "language"), [("", "en"), ("ja", "ja"), ("en-GB,ja", "en"), ("*;;,", "en"), ("JA-jp", "ja")]
)
def test_the_first_language_that_we_speak_is_taken(accepted: str, language: str) -> None:
    assert language_of(accepted) == language
