"""Wi-Fi for the machines: the control base joins the company's network and routes to it.

A Wi-Fi station cannot be bridged: it speaks for its own address alone. So each machine has a card on a
network of its own inside the PC, behind the control base's address, and its cable is in for as long as Wi-Fi
is connected: the client VM's for its user, the virtual server's for what it copies to the company. How a
network is joined is `wifi`'s, what may pass `firewall`'s, the card's looks `domainxml`'s, whether the PC's
own cable is in `uplink`'s.

A network's secret comes sealed to this PC and is opened for each look; it is in no log and in no report.
"""

import logging
from collections.abc import Callable, Mapping
from ipaddress import IPv4Interface
from pathlib import Path
from typing import Protocol

from vrasnode.domainxml import ROUTED, ROUTED_BRIDGE, Neighbour, routed_network_xml
from vrasnode.errors import HostBroken, Unreachable, VrasError
from vrasnode.network import wpaconfig
from vrasnode.network.wifi import Standing
from vrasnode.wire import codec
from vrasnode.wire.network import NetworkReport, NetworkSlice, WifiProfile, WifiState
from vrasnode.words import say

log = logging.getLogger("vrasnode.wireless")

GATEWAY = IPv4Interface("100.127.255.225/28")  # RFC 6598, as the network inside the PC
LOOK_S = 2.0
HOLD_S = 30.0  # between looks at the network and its wall


class Radio(Protocol):
    """The Wi-Fi card and the wall: `world.HostRadio`, or what behaves like it."""

    @property
    def run(self) -> Path: ...
    def card(self) -> str | None: ...
    def join(self, card: str, config: str, *, ca_certificate: str) -> None: ...
    def leave(self, card: str | None) -> None: ...
    def look(self, card: str) -> Standing: ...
    def lead(self, bridge: str, card: str) -> None: ...
    def wall(self, *, bridge: str, outward: str) -> None: ...
    def cable(self, bridge: str) -> bool | None: ...
    def close(self) -> None: ...


class Machines(Protocol):
    """The hypervisor, as far as Wi-Fi needs it."""

    def ensure_network(self, network_xml: str) -> bool: ...
    def set_link(self, name: str, mac: str, *, up: bool) -> None: ...


class Wireless:
    """The part. `cards` are the addresses of cards by their machines' names, always in the same order; `lan`
    is the LAN's bridge ("": there is none) with the cards behind it; `identity` where certificate and key of
    this PC lie; `unseal` opens what was sealed to it; `report` takes what the server should hear."""

    name = "wireless"

    def __init__(
        self,
        *,
        radio: Radio,
        machines: Machines,
        cards: Mapping[str, str],
        lan: tuple[str, Mapping[str, str]] = ("", {}),
        pc: str,
        identity: tuple[Path, Path],
        unseal: Callable[[bytes], bytes],
        get_slice: Callable[[str], bytes | None],
        report: Callable[[NetworkReport], None],
        clock: Callable[[], float],
    ) -> None:
        self._radio = radio
        self._machines = machines
        self._cards = dict(cards)
        self._bridge, self._lan_cards = lan[0], dict(lan[1])
        self._cable_seen = False
        self._pc = pc
        self._identity = identity
        self._unseal = unseal
        self._get_slice = get_slice
        self._report = report
        self._clock = clock
        self._held: str | None = None  # the card that network and wall were made for
        self._plugged: dict[str, bool] = {}  # whether a card's cable is in, as far as is known
        self._look_at = self._hold_at = clock()
        self._told: NetworkReport | None = None
        self._standing = NetworkReport(wifi=WifiState.NONE)

    @property
    def standing(self) -> NetworkReport:
        """How the Wi-Fi stood at the last look."""
        return self._standing

    @property
    def routed(self) -> bool:
        """Whether a machine that starts now gets a card for it: the network is up, behind its wall."""
        return self._held is not None

    def nudge(self) -> None:
        """A machine changed: the cables are looked at anew. May be called from any thread."""
        self._plugged = {}

    def step(self) -> bool:
        """One look; never more to do at once."""
        if self._clock() < self._look_at:
            return False
        self._look_at = self._clock() + LOOK_S
        card = self._radio.card()
        try:
            profile = self._profile()
            self._standing = self._follow(card, profile)
            self._mind_cable(card)
        except VrasError as error:
            ssid = self._standing.ssid
            self._standing = NetworkReport(
                wifi=WifiState.SEARCHING, ssid=ssid, code=error.code, words=error.words
            )
            self._pull()
            raise
        finally:
            self._tell()
        return False

    def close(self) -> None:
        """Connection, network and wall stay: the machines work on."""
        self._radio.close()

    def _profile(self) -> WifiProfile | None:
        found = self._get_slice("network")
        return codec.decode(found, NetworkSlice).wifi if found is not None else None

    def _follow(self, card: str | None, profile: WifiProfile | None) -> NetworkReport:
        if card is None or profile is None:
            self._radio.leave(card)
            self._pull()
            return NetworkReport(wifi=WifiState.NONE if card is None else WifiState.OFF)
        self._radio.join(card, self._config(profile), ca_certificate=profile.ca_certificate)
        self._hold(card)
        found = self._radio.look(card)
        if found.connected:
            self._radio.lead(ROUTED_BRIDGE, card)
        self._plug(self._cards, found.connected)
        state = WifiState.CONNECTED if found.connected else WifiState.SEARCHING
        words = say(found.code, "en") if found.code else ""
        return NetworkReport(
            wifi=state, ssid=profile.ssid, address=found.address, code=found.code, words=words
        )

    def _config(self, profile: WifiProfile) -> str:
        certificate, key = self._identity
        run = self._radio.run
        files = wpaconfig.Files(
            control=run / "control", ca_certificate=run / "ca.pem", certificate=certificate, key=key
        )
        secret = self._unseal(profile.sealed_secret) if profile.sealed_secret is not None else b""
        return wpaconfig.config_text(profile, secret=secret, files=files, pc=self._pc)

    def _hold(self, card: str) -> None:
        """Network and wall are up, the wall first."""
        if self._held == card and self._clock() < self._hold_at:
            return
        self._held = None
        self._radio.wall(bridge=ROUTED_BRIDGE, outward=card)
        neighbours = [
            Neighbour(name, mac, GATEWAY.ip + 1 + number)
            for number, (name, mac) in enumerate(self._cards.items())
        ]
        xml = routed_network_xml(
            ROUTED, bridge=ROUTED_BRIDGE, outward=card, gateway=GATEWAY, neighbours=neighbours
        )
        self._machines.ensure_network(xml)
        self._held = card
        self._hold_at = self._clock() + HOLD_S

    def _pull(self) -> None:
        """The machines' cables, where they have one."""
        if self._held is not None:
            self._held = None
            self._plug(self._cards, False)

    def _mind_cable(self, card: str | None) -> None:
        """On a PC with Wi-Fi the machines' LAN cables are in when the PC's own is, so that they take the way
        there is. A cable that was never seen in is left alone: it may be a LAN that ends in this PC."""
        pulled = any(self._plugged.get(mac) is False for mac in self._lan_cards.values())
        if not self._lan_cards or (card is None and not pulled):
            return
        is_in = self._radio.cable(self._bridge) is True
        self._cable_seen |= is_in
        if self._cable_seen:
            self._plug(self._lan_cards, is_in)

    def _plug(self, cards: Mapping[str, str], wanted: bool) -> None:
        """The machines' cables. One that is off, or was started before it could have the card, has none."""
        plugged = self._plugged
        for name, mac in cards.items():
            if plugged.get(mac) is wanted:
                continue
            try:
                self._machines.set_link(name, mac, up=wanted)
            except (Unreachable, HostBroken) as error:
                if error.code not in ("machine_off", "no_such_card"):
                    raise
            else:
                plugged[mac] = wanted

    def _tell(self) -> None:
        if self._standing != self._told:
            self._told = self._standing
            if self._standing.code:
                log.warning("Wi-Fi: %s", self._standing.words)
            elif self._standing.wifi is WifiState.CONNECTED:
                log.info("Wi-Fi is connected")
            self._report(self._standing)
