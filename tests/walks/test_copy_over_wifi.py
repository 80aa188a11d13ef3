"""A PC whose cable is pulled copies its data to the NAS over Wi-Fi: through the virtual server's second card,
the routed network inside the PC, its wall, and the way on which the control base leads it.

All of that is as it is delivered, and so is the agent. The radio alone is a cable of the lab's: the one that
speaks 802.11 is in tests/e2e/test_wifi.py, in an emulated PC in which restic would take an hour.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from config.demo import bootimage, documents
from config.demo.lan import LAN_BRIDGE, NETWORK, LanPc
from config.demo.office import GROUP, SERVICE_IMAGE, Office
from config.demo.processes import run
from tests.lab.documents import Workday

pytestmark = pytest.mark.soak

CARD = "air0"
SIZE = 3_000_000
# Between a PC and an access point that has a cable into the company's LAN, and translates addresses.
_AIR = f"""
set -e
point=$1
ip link add {CARD} type veth peer name air1 netns "$point"
ip address add 192.0.2.50/24 dev {CARD}
ip link set {CARD} up
ip -n "$point" address add 192.0.2.1/24 dev air1
ip -n "$point" link set air1 up
ip route add default via 192.0.2.1 dev {CARD} metric 600
"""
_POINT = f"""
echo 1 >/proc/sys/net/ipv4/ip_forward
nft add table ip air
nft add chain ip air out '{{ type nat hook postrouting priority 100; }}'
nft add rule ip air out oifname {LAN_BRIDGE} masquerade
"""
AGENT = f"""
import sys
from vrasnode import world
from vrasnode.cli.main import main
from vrasnode.network.wifi import Standing

class Cabled(world.HostRadio):
    def card(self): return "{CARD}"
    def join(self, card, config, *, ca_certificate): pass
    def leave(self, card): pass
    def look(self, card): return Standing(True, "192.0.2.50")

world.HostRadio = Cabled
sys.exit(main())
"""


class Air:
    """What the PC's card and the access point carry."""

    def __init__(self, pc: LanPc, point: LanPc) -> None:
        self._pc, self._point = pc, point
        run(pc.command(["sh", "-c", _AIR, "sh", point.namespace]))
        run(point.command(["sh", "-ec", _POINT]))

    def passed_bytes(self) -> int:
        """What came from the PC since it is up."""
        (link,) = json.loads(run(self._point.command(["ip", "-s", "-json", "link", "show", "air1"])))
        return int(link["stats64"]["rx"]["bytes"])

    def pull_the_cable(self) -> None:
        """The control base has no address in the LAN any more: its network manager gives it back."""
        self._pc.cut()
        run(self._pc.command(["ip", "address", "flush", "dev", LAN_BRIDGE]))

    def plug_it_in(self) -> None:
        address = f"{self._pc.address}/{NETWORK.prefixlen}"
        run(self._pc.command(["ip", "address", "add", address, "dev", LAN_BRIDGE]))
        self._pc.mend()


class Wireless(Workday):
    """A company where the PCs join a Wi-Fi, too."""

    def __init__(self, office: Office, air: Air) -> None:
        super().__init__(office)
        self.air = air

    def wifi(self) -> str:
        """How the PC's Wi-Fi stands, as the server knows it."""
        pc = self.office.ctl("pc", "show", self.pc.name)["id"]
        told = self.office.rest("GET", f"/api/v1/clients/{pc}/devices/")["wifi"] or {}
        return str(told.get("wifi", ""))

    def cable_of_virtual_server(self) -> str:
        """Whether its card in the LAN has a cable: "up" or "down"."""
        argv = ["virsh", "-c", self.pc.lab.uri, "domiflist", SERVICE_IMAGE]
        (mac,) = (line.split()[-1] for line in run(argv).splitlines() if f" {LAN_BRIDGE} " in line)
        return run([*argv[:3], "domif-getlink", SERVICE_IMAGE, mac]).split()[-1]

    def write_large(self, name: str) -> str:
        """A file that nothing makes smaller; its SHA-256."""
        made = f"head -c {SIZE} /dev/urandom >Documents/{name} && sync Documents/{name}"
        answer = self.run(f"{made} && sha256sum Documents/{name}")
        assert answer.exit_code == 0, answer.errors
        return answer.output.decode().split()[0]


@pytest.fixture(scope="module")
def day(swept: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wireless]:
    cache = bootimage.default_cache()
    images = documents.build(cache, say=print)
    agent = (sys.executable, "-c", AGENT)
    place = tmp_path_factory.mktemp("air")
    with Office(place, port=0, count=1, cache=cache, say=print, full=True, agent=agent) as office:
        air = Air(office.pcs[0].lab.place, office.network.join("access point"))
        office.furnish()
        wifi = {"ssid": "office", "security": "psk", "secret": "correct horse battery"}
        office.rest("PUT", f"/api/v1/groups/{GROUP}/wifi/", wifi, revision="*")
        day = Wireless(office, air)
        day.wait("Wi-Fi", lambda: day.wifi() == "connected", known=day.wifi)
        documents.equip(office, images)
        yield day


def test_without_its_cable_a_pc_copies_over_wifi_and_with_it_over_the_cable_again(
    day: Wireless, tmp_path: Path
) -> None:
    day.log_on()
    first = day.write_large("over-wifi")
    day.air.pull_the_cable()
    day.wait("the virtual server's cable", lambda: day.cable_of_virtual_server() == "down")
    before = day.air.passed_bytes()

    copied = day.copy_now()
    over_wifi = day.air.passed_bytes() - before

    day.air.plug_it_in()
    day.wait("the virtual server's cable", lambda: day.cable_of_virtual_server() == "up")
    second: list[str] = []

    def copied_over_the_cable() -> bool:
        """Not while the virtual server still asks for an address there."""
        second[:] = [day.write_large("over-the-cable")]
        before = day.air.passed_bytes()
        return day.copy_now()["state"] == "done" and day.air.passed_bytes() - before < SIZE / 2

    day.wait("a copy over the cable", copied_over_the_cable)

    assert copied["state"] == "done", copied
    assert over_wifi > SIZE
    back = day.restored(tmp_path) / "Documents"
    found = [run(["sha256sum", str(back / name)]).split()[0] for name in ("over-wifi", "over-the-cable")]
    assert found == [first, *second]
    assert day.is_open()
