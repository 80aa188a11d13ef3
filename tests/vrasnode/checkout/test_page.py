"""What the local page shows of usage keys, and what its forms do, over real sockets."""

import http.client
import json
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Interface
from urllib.parse import urlencode

import pytest

from tests.vrasnode.checkout.cast import DAY, HOUR, MINUTE, OTHER_PIN, PIN, LeasePc
from tests.vrasnode.localpage.test_localpage import MACS, STATE, Networks
from vrasnode.checkout import page
from vrasnode.checkout.page import OPEN, RETURN
from vrasnode.checkout.page import PIN as CHOOSE
from vrasnode.localpage.part import LocalPage
from vrasnode.wire.checkout import LeaseState
from vrasnode.wire.mydoc import VolumeState

pytestmark = pytest.mark.slow

GATEWAY = IPv4Interface("127.46.0.1/28")
CLIENT_VM = "127.46.0.3"
OWN = {"Origin": "http://vras.internal"}


@dataclass
class Browser:
    """In the client VM."""

    shown: LocalPage
    language: str = "en"

    def ask(self, method: str, path: str, body: str | None = None, **headers: str) -> tuple[int, str, str]:
        """Status, where to go, and what is shown."""
        line = http.client.HTTPConnection(
            str(GATEWAY.ip), self.shown.port, timeout=10, source_address=(CLIENT_VM, 0)
        )
        try:
            known = {"Host": "vras.internal", "Accept-Language": self.language}
            line.request(method, path, body, headers={**known, **headers})
            answer = line.getresponse()
            return answer.status, answer.headers.get("Location", ""), answer.read().decode()
        finally:
            line.close()

    def see(self, path: str = "/") -> str:
        return self.ask("GET", path)[2]

    def send(self, form: str, **fields: str) -> str:
        """A form of the page; what is said afterwards."""
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        status, where, _ = self.ask("POST", form, urlencode(fields), **kind, **OWN)
        assert status == 303
        return self.see(where.partition("#")[0])


@pytest.fixture
def browser(pc: LeasePc) -> Iterator[Browser]:
    shown = LocalPage(
        networks=Networks(),
        macs=MACS,
        get_state=lambda: STATE,
        clock=lambda: 0.0,
        gateway=GATEWAY,
        port=0,
        doors=page.doors(pc.checkout),
        get_section=lambda query, language: page.section(pc.checkout.seen(), query, language),
    )
    shown.step()
    yield Browser(shown)
    shown.close()


def test_a_user_chooses_a_pin_opens_away_from_the_company_and_returns_the_key(
    pc: LeasePc, browser: Browser
) -> None:
    assert "checkout" not in browser.see()
    wish = pc.opened()
    lease = pc.lend(wish.volume)
    assert CHOOSE in browser.see()
    assert "The two PINs are not the same" in browser.send(CHOOSE, lease=lease, pin=PIN, again=OTHER_PIN)

    assert "The PIN is set" in browser.send(CHOOSE, lease=lease, pin=PIN, again=PIN)
    pc.leave()
    assert OPEN in browser.see()
    assert "The PIN is wrong" in browser.send(OPEN, lease=lease, pin=OTHER_PIN)
    assert "9 tries are left" in browser.see()
    assert "The PIN is right" in browser.send(OPEN, lease=lease, pin=PIN)
    pc.until_state(VolumeState.OPEN)
    pc.step()
    assert "open under this usage key" in browser.see()
    assert "tick the box" in browser.send(RETURN, lease=lease)
    assert "is returned" in browser.send(RETURN, lease=lease, sure="1")
    pc.until(lambda: pc.lease(lease).state is LeaseState.ENDED)

    assert not pc.readable(wish.volume)
    assert PIN not in browser.see()


@pytest.mark.parametrize(
    "origin",
    [
        "http://elsewhere.example",
        pytest.param("null", marks=pytest.mark.soak),
        pytest.param("", marks=pytest.mark.soak),
    ],
)
def test_no_page_of_elsewhere_sends_the_form(origin: str, pc: LeasePc, browser: Browser) -> None:
    wish = pc.opened()
    lease = pc.lend(wish.volume)
    pc.checkout.pick_up(lease, PIN)
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    form = urlencode({"lease": lease, "sure": "1"})

    status, _, _ = browser.ask("POST", RETURN, form, **kind, **({"Origin": origin} if origin else {}))

    assert status == 403
    assert pc.lease(lease).state is LeaseState.READY


@pytest.mark.parametrize(
    ("left", "words"),
    [
        pytest.param(4 * DAY, "", marks=pytest.mark.soak),
        pytest.param(3 * DAY - MINUTE, "ends in 2 days", marks=pytest.mark.soak),
        pytest.param(DAY - MINUTE, "ends in 23 h 58 min", marks=pytest.mark.soak),
        (HOUR - MINUTE, "ends in 0 h 58 min"),
        (9 * MINUTE, "ends in 0 h 8 min"),
    ],
)
def test_the_end_is_said_beforehand(left: object, words: str, pc: LeasePc, browser: Browser) -> None:
    wish = pc.opened()
    lease = pc.lend(wish.volume, ends=pc.clocks.true() + left, budget_s=10 * 86400)
    pc.checkout.pick_up(lease, PIN)

    shown = browser.see()

    assert ("role=alert" in shown) is bool(words)
    assert words in shown


def test_what_is_kept_without_a_tpm_is_said_in_both_languages(pc: LeasePc, browser: Browser) -> None:
    wish = pc.opened()
    lease = pc.lend(wish.volume, folders=[b"Documents/<A>"])
    assert "This PC has no TPM that keeps the key" in browser.see()
    pc.checkout.pick_up(lease, PIN)

    assert "This PC has no TPM that keeps the key" in browser.see()
    assert "Documents/&lt;A&gt;" in browser.see()
    assert "only these folders are there" in browser.see()
    browser.language = "ja"
    assert "TPMがありません" in browser.see()


def test_no_secret_is_shown_logged_or_written(
    pc: LeasePc, browser: Browser, caplog: pytest.LogCaptureFixture
) -> None:
    wish = pc.opened()
    lease = pc.lend(wish.volume)
    browser.send(CHOOSE, lease=lease, pin=PIN, again=PIN)
    pc.leave()
    browser.send(OPEN, lease=lease, pin=PIN)
    pc.until_state(VolumeState.OPEN)
    (key,) = pc.volumes.lease_keys
    secrets = [PIN.encode(), key, key.hex().encode()]
    files = [
        path.read_bytes() for path in pc.directory.rglob("*") if path.is_file() and path.suffix != ".luks"
    ]
    said = [caplog.text.encode(), browser.see().encode(), repr(vars(pc.checkout)).encode()]

    found = [secret for secret in secrets for text in [*files, *said] if secret in text]

    assert found == []


def test_who_does_not_look_hears_each_stage_of_the_end_once_and_of_a_key_that_waits(
    pc: LeasePc, browser: Browser
) -> None:
    def notice() -> tuple[str, str]:
        told = json.loads(browser.see("/checkout/notice"))
        return told["stage"].rpartition("/")[2], told["words"]

    wish = pc.opened()
    assert notice() == ("", "")
    lease = pc.lend(wish.volume, ends=pc.clocks.true() + 4 * DAY, budget_s=864000)
    assert notice() == (
        "pin",
        "A usage key is here. Choose its PIN at http://vras.internal/ before you leave.",
    )
    pc.checkout.pick_up(lease, PIN)
    assert notice() == ("", "")

    stages, left = [], 4 * DAY
    for until in (3 * DAY, 3 * DAY - HOUR, DAY - MINUTE, HOUR - MINUTE, 10 * MINUTE - MINUTE / 2):
        pc.clocks.pass_on(left - until)
        left = until
        pc.step()
        stages.append(notice()[0])

    assert stages == ["259200", "259200", "86400", "3600", "600"]
    assert "0 h 9 min" in notice()[1]
    browser.language = "ja"
    assert "作業を保存してください" in notice()[1]
