"""The Wi-Fi card of this PC: joins one network by wpa_supplicant, gets an address by dhclient.

Both programs outlive this process, so a new agent costs nobody their connection; what it finds is asked of
wpa_supplicant's control socket (wpa_supplicant's README, "Control interface commands"). The configuration
holds the network's secret in clear: it lies in `run`, which is memory (/run), for root's eyes alone, and is
written anew after each start of the PC. What the text says is `wpaconfig`'s.
"""

import json
import logging
import re
import socket
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from vrasnode.errors import HostBroken
from vrasnode.host import disk, kerneltree

log = logging.getLogger("vrasnode.wifi")

RUN = Path("/run/openvras/wifi")
METRIC = "600"  # of the control base's own route: a cable that is plugged in goes first
TABLE = "600"  # of routes, for what the client VM sends
ANSWER_S = 3.0  # of wpa_supplicant, which answers at once
START_S = 20.0
MAX_ANSWER_BYTES = 8192

# What wpa_supplicant says by itself of why it does not get on, the most telling first.
_TROUBLES = (
    (re.compile(r"CTRL-EVENT-EAP-TLS-CERT-ERROR"), "wifi_server_unproven"),
    (re.compile(r"CTRL-EVENT-SSID-TEMP-DISABLED .*reason=WRONG_KEY"), "wifi_wrong_secret"),
    (
        re.compile(r"CTRL-EVENT-EAP-FAILURE|CTRL-EVENT-SSID-TEMP-DISABLED .*reason=AUTH_FAILED"),
        "wifi_refused",
    ),
    (re.compile(r"CTRL-EVENT-ASSOC-REJECT"), "wifi_refused"),
    (re.compile(r"CTRL-EVENT-NETWORK-NOT-FOUND"), "wifi_out_of_reach"),
)
_JOINED = re.compile(r"CTRL-EVENT-CONNECTED")


@dataclass(frozen=True)
class Standing:
    """How the card stands. `code`: why it is not connected, "" where nobody knows."""

    connected: bool
    address: str = ""
    code: str = ""


class Wifi:
    """The card. `run` is a folder in memory, `sysfs` where the kernel shows its interfaces."""

    def __init__(self, run: Path = RUN, *, sysfs: Path = Path("/sys")) -> None:
        self.run = run
        self._sysfs = sysfs
        self._events: socket.socket | None = None
        self._trouble = ""
        self._led: tuple[str, str, str] | None = None

    def card(self) -> str | None:
        """The network interface that is Wi-Fi; the first of several, None where there is none."""
        root = self._sysfs / "class" / "net"
        return next((name for name in kerneltree.names(root) if (root / name / "phy80211").exists()), None)

    def join(self, card: str, config: str, *, ca_certificate: str) -> None:
        """Makes it so; to be called again and again, for a program can die. Raises HostBroken."""
        for folder in (self.run, self.run / "control"):
            disk.make_directory(folder, mode=0o700)
        changed = False
        for name, text in (("ca.pem", ca_certificate), ("wpa.conf", config)):
            if disk.read_file(self.run / name) != text.encode():
                disk.write_file(self.run / name, text.encode())
                changed = True
        if self._ask(card, "PING") != "PONG":
            self._start(card)
        elif changed:
            log.info("%s is told another network", card)
            self._end_lease(card)
            self._ask(card, "RECONFIGURE")
            self._trouble = ""

    def leave(self, card: str | None) -> None:
        """No network any more, and nothing of one is left. Without a word where none was joined."""
        if not (self.run / "wpa.conf").exists():
            return
        if card is not None:
            self._end_lease(card)
            self._ask(card, "TERMINATE")
        self._forget_events()
        for name in ("wpa.conf", "ca.pem"):
            (self.run / name).unlink(missing_ok=True)
        self._trouble = ""

    def look(self, card: str) -> Standing:
        """How the card stands now; once it is connected, sees to its address. Raises HostBroken."""
        for line in self._said(card):
            self._take(line)
        status = dict(line.partition("=")[::2] for line in self._ask(card, "STATUS").splitlines())
        state = status.get("wpa_state", "")
        if state == "COMPLETED":
            self._trouble = ""
            self._hold_lease(card)
            return Standing(True, address=status.get("ip_address", ""))
        return Standing(False, code="wifi_switched_off" if state == "INTERFACE_DISABLED" else self._trouble)

    def lead(self, bridge: str, card: str) -> None:
        """What comes from the bridge leaves by the card, whatever else this PC is plugged into. Without an
        address yet: nothing. Raises HostBroken."""
        routes = json.loads(self._run(["ip", "-4", "-json", "route", "show", "default", "dev", card]) or "[]")
        gateway = next((route["gateway"] for route in routes if "gateway" in route), None)
        if gateway is None or (bridge, card, gateway) == self._led:
            return
        self._run(["ip", "-4", "route", "replace", "default", "via", gateway, "dev", card, "table", TABLE])
        rule = ["iif", bridge, "lookup", TABLE]
        if not self._run(["ip", "-4", "rule", "show", *rule]).strip():
            self._run(["ip", "-4", "rule", "add", *rule])
        self._led = bridge, card, gateway

    def close(self) -> None:
        """The connection stays."""
        self._forget_events()

    def _start(self, card: str) -> None:
        self._forget_events()
        self._trouble = ""
        with suppress(OSError):  # of one that was killed
            (self.run / "control" / card).unlink()
        conf, log_file = self.run / "wpa.conf", self.run / "wpa.log"
        argv = ["wpa_supplicant", "-B", "-D", "nl80211", "-i", card, "-c", str(conf), "-f", str(log_file)]
        self._run(argv)
        log.info("wpa_supplicant works on %s", card)

    def _take(self, line: str) -> None:
        if _JOINED.search(line):
            self._trouble = ""
            return
        codes = [code for _, code in _TROUBLES]
        found = next((code for pattern, code in _TROUBLES if pattern.search(line)), "")
        if found and (not self._trouble or codes.index(found) <= codes.index(self._trouble)):
            self._trouble = found

    def _said(self, card: str) -> Iterator[str]:
        """What wpa_supplicant said by itself since the last call."""
        if self._events is None:
            self._events = self._open(card, "events")
            if self._events is not None:
                with suppress(OSError):
                    self._events.send(b"ATTACH")
                self._events.setblocking(False)
        while self._events is not None:
            try:
                yield self._events.recv(MAX_ANSWER_BYTES).decode(errors="replace")
            except BlockingIOError:
                return
            except OSError:
                self._forget_events()

    def _ask(self, card: str, command: str) -> str:
        """wpa_supplicant's answer to a command; "" where none runs."""
        line = self._open(card, "questions")
        if line is None:
            return ""
        with line:
            try:
                line.send(command.encode())
                return line.recv(MAX_ANSWER_BYTES).decode(errors="replace").strip()
            except OSError:
                return ""

    def _open(self, card: str, name: str) -> socket.socket | None:
        """A line to wpa_supplicant, which answers to the name of our end."""
        ours = self.run / f"{name}.sock"
        line = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        line.settimeout(ANSWER_S)
        try:
            ours.unlink(missing_ok=True)
            line.bind(str(ours))
            line.connect(str(self.run / "control" / card))
        except OSError:
            line.close()
            return None
        return line

    def _forget_events(self) -> None:
        if self._events is not None:
            self._events.close()
            self._events = None

    def _hold_lease(self, card: str) -> None:
        if not self._leases():
            self._run([*self._dhclient, "-nw", "-e", f"IF_METRIC={METRIC}", card])

    def _end_lease(self, card: str) -> None:
        if self._leases():
            self._run([*self._dhclient, "-r", card])
            self._led = None

    def _leases(self) -> bool:
        """Whether a dhclient of ours runs."""
        pid = (disk.read_file(self._pid_file) or b"").strip().decode(errors="replace")
        return pid.isdecimal() and kerneltree.text(Path("/proc") / pid / "comm") == "dhclient"

    @property
    def _dhclient(self) -> list[str]:
        return ["dhclient", "-4", "-pf", str(self._pid_file), "-lf", str(self.run / "leases")]

    @property
    def _pid_file(self) -> Path:
        return self.run / "dhclient.pid"

    def _run(self, argv: list[str]) -> str:
        """Runs a program; what goes on by itself is in a session of its own. What it said."""
        try:
            done = subprocess.run(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=START_S,
                start_new_session=True,
                check=False,
            )
        except OSError as error:
            words = f"{argv[0]} cannot be started: {error}. Install wpasupplicant and isc-dhcp-client."
            raise HostBroken("wifi_failed", words) from error
        except subprocess.TimeoutExpired as error:
            raise HostBroken("wifi_failed", f"{argv[0]} did not begin within {START_S:.0f} s.") from error
        if done.returncode:
            said = done.stdout[-500:].decode(errors="replace").strip()
            raise HostBroken("wifi_failed", f"{argv[0]} ended with {done.returncode}: {said}")
        return done.stdout.decode(errors="replace")
