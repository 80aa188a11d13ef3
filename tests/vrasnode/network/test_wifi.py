"""The Wi-Fi card's programs, with something in wpa_supplicant's place at its control socket.

The real ones are in tests/e2e/test_wifi.py.
"""

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from vrasnode.errors import HostBroken
from vrasnode.network.wifi import Standing, Wifi

CARD = "wlan0"


class Supplicant:
    """Answers as wpa_supplicant does (README, "Control interface commands"), and says what it is told to."""

    def __init__(self, run: Path) -> None:
        self.state = "SCANNING"
        self.asked: list[str] = []
        self.attached = threading.Event()
        self._monitor = ""
        self._line = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        (run / "control").mkdir(parents=True, exist_ok=True)
        self._line.bind(str(run / "control" / CARD))
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                data, sender = self._line.recvfrom(4096)
            except OSError:
                return
            command = data.decode()
            if command == "END":
                return
            self.asked.append(command)
            if command == "ATTACH":
                self._monitor = sender
                self.attached.set()
            answers = {"PING": "PONG\n", "STATUS": f"wpa_state={self.state}\nssid=office\n"}
            self._line.sendto(answers.get(command, "OK\n").encode(), sender)

    def says(self, event: str) -> None:
        self._line.sendto(f"<3>{event}".encode(), self._monitor)

    def end(self) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
            line.sendto(b"END", self._line.getsockname())
        self._line.close()


@pytest.fixture
def wifi(tmp_path: Path) -> Iterator[Wifi]:
    wifi = Wifi(tmp_path / "run", sysfs=tmp_path / "sys")
    yield wifi
    wifi.close()


@pytest.fixture
def supplicant(wifi: Wifi) -> Iterator[Supplicant]:
    wifi.run.mkdir(parents=True)
    supplicant = Supplicant(wifi.run)
    yield supplicant
    supplicant.end()


def test_the_card_is_the_interface_that_the_kernel_calls_wireless(wifi: Wifi, tmp_path: Path) -> None:
    root = tmp_path / "sys" / "class" / "net"
    for name in ("eth0", "lo"):
        (root / name).mkdir(parents=True)
    assert wifi.card() is None

    (root / "wlp3s0" / "phy80211").mkdir(parents=True)

    assert wifi.card() == "wlp3s0"


def test_what_wpa_supplicant_says_becomes_the_reason_the_most_telling_one_until_it_is_connected(
    wifi: Wifi, supplicant: Supplicant
) -> None:
    assert wifi.look(CARD) == Standing(connected=False)
    assert supplicant.attached.wait(10)

    for event, code in (
        ("CTRL-EVENT-NETWORK-NOT-FOUND ", "wifi_out_of_reach"),
        ("CTRL-EVENT-EAP-FAILURE EAP authentication failed", "wifi_refused"),
        ("CTRL-EVENT-EAP-TLS-CERT-ERROR reason=7 depth=0 subject='/CN=x' err='x'", "wifi_server_unproven"),
        ("CTRL-EVENT-EAP-FAILURE EAP authentication failed", "wifi_server_unproven"),
        ("CTRL-EVENT-CONNECTED - Connection to 02:00 completed", ""),
        (
            'CTRL-EVENT-SSID-TEMP-DISABLED id=0 ssid="x" auth_failures=1 duration=10 reason=WRONG_KEY',
            "wifi_wrong_secret",
        ),
    ):
        supplicant.says(event)
        assert wifi.look(CARD).code == code, event


def test_a_card_that_is_switched_off_is_said(wifi: Wifi, supplicant: Supplicant) -> None:
    supplicant.state = "INTERFACE_DISABLED"

    assert wifi.look(CARD) == Standing(connected=False, code="wifi_switched_off")


def test_where_no_program_runs_nothing_is_connected(wifi: Wifi) -> None:
    wifi.run.mkdir(parents=True)

    assert wifi.look(CARD) == Standing(connected=False)


def test_the_secret_lies_where_root_alone_reads_it_and_goes_with_the_network(
    wifi: Wifi, supplicant: Supplicant
) -> None:
    wifi.join(CARD, "psk=secret", ca_certificate="")
    config = wifi.run / "wpa.conf"
    assert (config.stat().st_mode & 0o777, wifi.run.stat().st_mode & 0o777) == (0o600, 0o700)
    assert "RECONFIGURE" in supplicant.asked

    supplicant.asked.clear()
    wifi.join(CARD, "psk=secret", ca_certificate="")
    assert "RECONFIGURE" not in supplicant.asked
    wifi.leave(CARD)

    assert not config.exists()
    assert "TERMINATE" in supplicant.asked


def test_programs_that_are_not_there_are_said(wifi: Wifi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")

    with pytest.raises(HostBroken) as broken:
        wifi.join(CARD, "psk=secret", ca_certificate="")

    assert broken.value.code == "wifi_failed"
    assert "Install wpasupplicant" in broken.value.words
    assert "secret" not in broken.value.words
