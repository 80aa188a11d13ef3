"""Whether the PC's own LAN cable is in, on real bridges in a namespace of their own. Needs root."""

import subprocess
from collections.abc import Iterator

import pytest

from config.demo.lan import LAN_BRIDGE, Lan, LanPc
from vrasnode.network import uplink

pytestmark = pytest.mark.slow


@pytest.fixture
def pc() -> Iterator[LanPc]:
    """Its bridge has a port outward, and one of a machine."""
    with Lan() as lan:
        pc = lan.join("pc")
        ip(pc, "tuntap", "add", "vnet0", "mode", "tap")
        ip(pc, "link", "set", "vnet0", "master", LAN_BRIDGE, "up")
        yield pc


def ip(pc: LanPc, *arguments: str) -> None:
    subprocess.run(pc.command(["ip", *arguments]), check=True)


def test_a_cable_is_in_until_it_is_pulled_whatever_machines_are_on_the_bridge(pc: LanPc) -> None:
    plugged = pc.run_inside(lambda: uplink.carrier(LAN_BRIDGE))
    pc.cut()
    pulled = pc.run_inside(lambda: uplink.carrier(LAN_BRIDGE))
    pc.mend()
    again = pc.run_inside(lambda: uplink.carrier(LAN_BRIDGE))

    assert (plugged, pulled, again) == (True, False, True)


def test_where_nothing_leads_outward_or_there_is_no_bridge_nobody_knows(pc: LanPc) -> None:
    ip(pc, "link", "set", "eth0", "nomaster")

    assert pc.run_inside(lambda: uplink.carrier(LAN_BRIDGE)) is None
    assert pc.run_inside(lambda: uplink.carrier("nothing")) is None
