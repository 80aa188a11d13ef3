"""Wi-Fi on the PC, with a radio that is told how it stands: what is joined, what the client VM's cable does.

The real card, network and wall are in tests/e2e/test_wifi.py.
"""

from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

import pytest
from msgspec.structs import replace

from vrasnode.errors import HostBroken, Refused, Unreachable
from vrasnode.network.wifi import Standing
from vrasnode.network.wireless import GATEWAY, HOLD_S, LOOK_S, Wireless
from vrasnode.wire import codec
from vrasnode.wire.network import NetworkReport, NetworkSlice, WifiProfile, WifiSecurity, WifiState

MAC, SERVICE_MAC = "52:54:00:aa:bb:cc", "52:54:00:aa:bb:cd"
LAN_MAC, SERVICE_LAN_MAC = "52:54:00:aa:bb:01", "52:54:00:aa:bb:02"
OFFICE = WifiProfile(ssid="office", security=WifiSecurity.PSK, sealed_secret=b"sealed")
SECRET = b"correct horse"


@dataclass
class Pc:
    """A PC's card, wall and machines; `done` is what happened, in order."""

    run: Path = Path("/run/wifi")
    there: bool = True
    standing: Standing = field(default_factory=lambda: Standing(connected=False))
    done: list[str] = field(default_factory=list)
    wifi_cable: str = "down"  # "none": the machine has no such card; "off": it does not run
    broken: HostBroken | None = None
    plugged: dict[tuple[str, str], bool] = field(default_factory=dict)  # by machine and card
    network: str = ""
    config: str = ""
    lan_cable: bool | None = True  # the PC's own; None: nobody knows
    now: float = 0.0

    def card(self) -> str | None:
        return "wlan0" if self.there else None

    def join(self, card: str, config: str, *, ca_certificate: str) -> None:
        self.config = config

    def leave(self, card: str | None) -> None:
        self.config = ""

    def look(self, card: str) -> Standing:
        return self.standing

    def lead(self, bridge: str, card: str) -> None:
        self.done.append("led")

    def wall(self, *, bridge: str, outward: str) -> None:
        if self.broken:
            raise self.broken
        self.done.append("wall")

    def ensure_network(self, network_xml: str) -> bool:
        self.done.append("network")
        self.network = network_xml
        return True

    def cable(self, bridge: str) -> bool | None:
        assert bridge == "br-lan"
        return self.lan_cable

    def set_link(self, name: str, mac: str, *, up: bool) -> None:
        if self.wifi_cable == "none":
            raise HostBroken("no_such_card", "none")
        if self.wifi_cable == "off":
            raise Unreachable("machine_off", "off")
        self.plugged[name, mac] = up
        if mac in (MAC, SERVICE_MAC):
            self.wifi_cable = "up" if up else "down"

    def close(self) -> None:
        pass


@dataclass
class Desk:
    pc: Pc
    part: Wireless
    said: dict[str, bytes]
    told: list[NetworkReport]

    def wants(self, profile: WifiProfile | None) -> None:
        self.said["network"] = codec.encode(NetworkSlice(wifi=profile))

    def look(self) -> None:
        self.pc.now += LOOK_S
        self.part.step()


@pytest.fixture
def desk() -> Desk:
    pc = Pc()
    said: dict[str, bytes] = {}
    told: list[NetworkReport] = []

    def unseal(sealed: bytes) -> bytes:
        if sealed != b"sealed":
            raise Refused("not_for_us", "not for us")
        return SECRET

    part = Wireless(
        radio=pc,
        machines=pc,
        cards={"client-vm": MAC, "virtual-server": SERVICE_MAC},
        lan=("br-lan", {"client-vm": LAN_MAC, "virtual-server": SERVICE_LAN_MAC}),
        pc="pc-1",
        identity=(Path("/state/certificate.pem"), Path("/state/signing.key")),
        unseal=unseal,
        get_slice=said.get,
        report=told.append,
        clock=lambda: pc.now,
    )
    return Desk(pc, part, said, told)


def test_the_client_vms_cable_is_in_for_as_long_as_wifi_is_connected(desk: Desk) -> None:
    desk.wants(OFFICE)
    desk.look()
    assert (desk.pc.wifi_cable, desk.part.routed) == ("down", True)

    desk.pc.standing = Standing(connected=True, address="192.0.2.9")
    desk.look()
    assert desk.pc.wifi_cable == "up"
    desk.pc.standing = Standing(connected=False, code="wifi_out_of_reach")
    desk.look()

    assert desk.pc.wifi_cable == "down"
    assert [one.wifi for one in desk.told] == [WifiState.SEARCHING, WifiState.CONNECTED, WifiState.SEARCHING]
    assert (desk.told[-1].code, desk.told[-1].words) == ("wifi_out_of_reach", "The network is not in reach.")


def test_both_machines_have_a_cable_and_an_address_of_their_own(desk: Desk) -> None:
    desk.wants(OFFICE)
    desk.pc.standing = Standing(connected=True)
    desk.look()
    connected = dict(desk.pc.plugged)
    desk.pc.standing = Standing(connected=False)
    desk.look()

    both = [("client-vm", MAC), ("virtual-server", SERVICE_MAC)]
    assert {card: connected[card] for card in both} == dict.fromkeys(both, True)
    assert {card: desk.pc.plugged[card] for card in both} == dict.fromkeys(both, False)
    network = ElementTree.fromstring(desk.pc.network)  # noqa: S314 - our own
    addresses = {host.get("mac"): host.get("ip") for host in network.iter("host")}
    assert addresses == {MAC: str(GATEWAY.ip + 1), SERVICE_MAC: str(GATEWAY.ip + 2)}


def test_the_machines_lan_cables_follow_the_pcs_own_while_it_has_wifi(desk: Desk) -> None:
    desk.wants(OFFICE)
    desk.pc.standing = Standing(connected=True)
    in_lan = [("client-vm", LAN_MAC), ("virtual-server", SERVICE_LAN_MAC)]
    seen = []

    for cable in (True, False, None, True):  # None: the dock with the card in it is gone
        desk.pc.lan_cable = cable
        desk.look()
        seen.append({card: desk.pc.plugged.get(card) for card in in_lan})

    assert seen == [dict.fromkeys(in_lan, is_in) for is_in in (True, False, False, True)]


def test_a_lan_whose_cable_was_never_seen_in_stays_as_it_is(desk: Desk) -> None:
    desk.wants(OFFICE)
    for cable in (None, False):
        desk.pc.lan_cable = cable
        desk.look()

    assert not any(mac in (LAN_MAC, SERVICE_LAN_MAC) for _name, mac in desk.pc.plugged)


def test_a_pulled_lan_cable_comes_in_again_though_the_wifi_card_is_gone(desk: Desk) -> None:
    desk.wants(OFFICE)
    desk.look()
    desk.pc.lan_cable = False
    desk.look()

    desk.pc.there, desk.pc.lan_cable = False, True
    desk.look()

    assert desk.pc.plugged["virtual-server", SERVICE_LAN_MAC] is True


def test_the_wall_stands_before_the_network_and_is_held(desk: Desk) -> None:
    desk.wants(OFFICE)
    desk.look()
    desk.look()
    assert desk.pc.done == ["wall", "network"]

    desk.pc.now += HOLD_S
    desk.look()
    assert desk.pc.done == ["wall", "network"] * 2


def test_without_its_wall_there_is_no_way_out_and_it_is_said(desk: Desk) -> None:
    desk.pc.broken = HostBroken("firewall_failed", "Install nftables.")
    desk.pc.standing = Standing(connected=True)
    desk.wants(OFFICE)

    with pytest.raises(HostBroken):
        desk.look()

    assert "network" not in desk.pc.done
    assert (desk.pc.wifi_cable, desk.part.routed) == ("down", False)
    assert (desk.told[-1].code, desk.told[-1].words) == ("firewall_failed", "Install nftables.")


def test_a_machine_that_starts_later_gets_its_cable_then(desk: Desk) -> None:
    desk.wants(OFFICE)
    desk.pc.standing = Standing(connected=True)
    for absent in ("off", "none"):
        desk.pc.wifi_cable = absent
        desk.look()

    desk.pc.wifi_cable = "down"
    desk.part.nudge()
    desk.look()

    assert desk.pc.wifi_cable == "up"


def test_a_restarted_machine_gets_its_cable_again(desk: Desk) -> None:
    desk.wants(OFFICE)
    desk.pc.standing = Standing(connected=True)
    desk.look()
    desk.pc.wifi_cable = "down"  # as each start begins

    desk.part.nudge()
    desk.look()

    assert desk.pc.wifi_cable == "up"


def test_a_group_without_wifi_and_a_pc_without_a_card_join_nothing(desk: Desk) -> None:
    desk.look()
    desk.wants(OFFICE)
    desk.look()
    assert b"office".hex() in desk.pc.config

    desk.pc.standing = Standing(connected=True)
    desk.look()
    desk.wants(None)
    desk.look()

    assert (desk.pc.config, desk.pc.wifi_cable, desk.part.routed) == ("", "down", False)
    desk.pc.there = False
    desk.look()
    states = [one.wifi.value for one in desk.told]
    assert states == ["off", "searching", "connected", "off", "none"]


def test_the_secret_is_in_the_configuration_alone(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    desk.wants(OFFICE)
    desk.pc.standing = Standing(connected=True, address="192.0.2.9")
    with caplog.at_level("DEBUG"):
        desk.look()

    assert SECRET.hex() in desk.pc.config
    assert SECRET.decode() not in caplog.text + repr(desk.told) + repr(desk.part.standing)


def test_a_secret_that_was_sealed_to_another_pc_is_said(desk: Desk) -> None:
    desk.wants(replace(OFFICE, sealed_secret=b"another's"))

    with pytest.raises(Refused):
        desk.look()

    assert desk.told[-1].code == "not_for_us"
    assert not desk.part.routed


def test_a_slice_that_cannot_be_read_pulls_the_cable(desk: Desk) -> None:
    desk.wants(OFFICE)
    desk.pc.standing = Standing(connected=True)
    desk.look()
    desk.said["network"] = b"{"

    with pytest.raises(Refused):
        desk.look()

    assert desk.pc.wifi_cable == "down"
