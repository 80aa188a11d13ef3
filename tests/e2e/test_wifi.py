"""Wi-Fi on two radios of the PC's own kernel: the control base joins, the client VM is routed to it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import urllib3

from config.demo.authority import Authority
from tests.lab.outer import airwaves
from tests.lab.outer.airwaves import Network
from tests.lab.outer.member import CLIENT_VM, Member
from vrasnode.domainxml import ROUTED, ROUTED_BRIDGE
from vrasnode.network.wireless import GATEWAY

pytestmark = pytest.mark.slow

SSID, RADIUS = "office", "radius.company.example"
SERVICE = 8099  # some port of the control base
PLUG_IN = f"""
ip netns add guest
ip link add guestcard address "$1" type veth peer name guestplug
ip link set guestcard netns guest
ip link set guestplug master {ROUTED_BRIDGE} up
ip -n guest link set guestcard up
ip netns exec guest dhclient -4 -1 -pf /run/guest.pid -lf /run/guest.leases guestcard
"""
PULL = "pkill -F /run/guest.pid || true; ip netns del guest || true; ip link del guestplug || true"
CALL = """
import socket, sys
try:
    line = socket.create_connection((sys.argv[1], int(sys.argv[2])), float(sys.argv[3]))
except OSError:
    print("closed")
else:
    print(line.recv(64).decode())
"""


class Company:
    """The company's own certificate authority, and what its access point offers."""

    def __init__(self, directory: Path, *, trusted: bytes) -> None:
        self.authority = Authority(directory / "authority", name="Company")
        self._key, self._certificate = (path.read_bytes() for path in self.authority.issue(directory, RADIUS))
        self._trusted = trusted

    def network(self, users: str = "* TLS\n") -> Network:
        return airwaves.enterprise(
            SSID, users=users, trusted=self._trusted, certificate=self._certificate, key=self._key
        )

    def wish(self, **more: Any) -> dict[str, Any]:
        """As an administrator gives it; the PC proves itself by its own certificate."""
        return {
            "ssid": SSID,
            "security": "eap_tls",
            "hidden": True,
            "ca_certificate": self.authority.file.read_text(),
            "server_name": RADIUS,
            **more,
        }


@pytest.fixture
def company(member: Member, tmp_path: Path) -> Iterator[Company]:
    """The PC has a card, in reach of the company's access point."""
    answer = urllib3.request("GET", f"{member.server.url}/node/v1/installation")
    company = Company(tmp_path, trusted=json.loads(answer.data)["ca_certificate"].encode())
    member.bring_up()
    with airwaves.radios(member.outer):
        airwaves.put_up(member.outer, company.network())
        yield company
        member.set_wifi(None)
        member.wait("its leaving", lambda: member.wifi().get("wifi") in ("off", "none"))


def connected(member: Member) -> bool:
    return member.wifi().get("wifi") == "connected" and bool(member.wifi()["address"])


def link(member: Member, mac: str) -> str:
    return member.outer.ask(["virsh", "domif-getlink", CLIENT_VM, mac]).output.split()[-1]


def card_of_client_vm(member: Member) -> str:
    """The address of its card on the routed network; "" when it has none."""
    lines = member.outer.run("virsh", "domiflist", CLIENT_VM).splitlines()
    return next((line.split()[-1] for line in lines if f" {ROUTED} " in line), "")


def called(member: Member, address: str, port: int, *, patience_s: float) -> str:
    """What a machine on the client VM's network hears of whoever it calls."""
    call = ["python3", "-c", CALL, address, str(port), str(patience_s)]
    return member.outer.run("ip", "netns", "exec", "guest", *call).strip()


def test_the_control_base_joins_by_its_own_certificate_and_the_client_vm_reaches_the_world_through_it(
    member: Member, company: Company
) -> None:
    member.set_wifi(company.wish())
    member.wait("Wi-Fi", lambda: connected(member))
    member.restart_client_vm()
    card = card_of_client_vm(member)
    member.wait("its cable", lambda: link(member, card) == "up")
    serve = ["python3", "-m", "http.server", str(SERVICE)]
    service = member.outer.spawn("/var/log/service.log", *serve)
    member.kill_agent()  # whom nobody is to miss

    try:
        member.outer.sh(PLUG_IN, card)
        world = called(member, airwaves.WORLD, airwaves.WORLD_PORT, patience_s=20)
        own = [called(member, str(place), SERVICE, patience_s=2) for place in (GATEWAY.ip, "10.0.2.100")]
    finally:
        member.outer.sh(PULL)
        member.outer.run("kill", str(service))
        member.start_agent()

    assert world == member.wifi()["address"]  # whom the world saw
    assert own == ["closed", "closed"]


def test_a_network_that_only_has_the_companys_name_is_not_joined_and_the_page_says_why(
    member: Member, company: Company
) -> None:
    member.set_wifi(company.wish(server_name="radius.somewhere.example"))

    member.wait("its reason", lambda: member.wifi().get("code") == "wifi_server_unproven")

    assert member.wifi()["wifi"] == "searching"
    assert "AP-STA-CONNECTED" not in airwaves.log(member.outer)
