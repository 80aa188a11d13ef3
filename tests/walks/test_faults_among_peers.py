"""What PCs that share a version do to each other, and what their network does to them: each gets it.

Real agents and sockets, in network namespaces; those that misbehave are agents with a part exchanged.
"""

import subprocess
import time

import pytest

from config.demo.lan import LAN_BRIDGE, NETWORK, LanPc
from tests.walks.test_sharing import Office, office

__all__ = ["office"]

pytestmark = pytest.mark.slow

_LIES = """
import sys
from vrasnode.swarm.source import Source
Source.frame = lambda self, piece: bytes(1000)
from vrasnode.cli.main import main
sys.exit(main())
"""
_FLOODS = """
import sys
from vrasnode.swarm.engine import Engine
from vrasnode.wire.swarm import Kind
step = Engine.step
def flooding(self, *how):
    step(self, *how)
    for peering in list(self._by_name.values()):
        for _ in range(100 if peering.line.idle else 0):
            peering.line.say(Kind.ASK, number=0)
Engine.step = flooding
from vrasnode.cli.main import main
sys.exit(main())
"""


def give_another_address(pc: LanPc, address: str) -> None:
    """As DHCP may: what the PC had under the old one is gone."""
    for act, one in (("del", pc.address), ("add", address)):
        argv = ["ip", "-n", pc.namespace, "address", act, f"{one}/{NETWORK.prefixlen}", "dev", LAN_BRIDGE]
        subprocess.run(argv, check=True)


def await_fetching(office: Office, distribution: int) -> None:
    office.wait("PCs that fetch", lambda: any(one["done_bytes"] for one in office.deliveries(distribution)))


def test_a_liar_a_flooder_a_slow_one_a_cut_cable_and_a_new_address_cost_no_pc_the_version(
    office: Office,
) -> None:
    office.publish(1, chunks=48)
    office.hire(6)
    office.hire(1, program=("-c", _LIES))
    office.hire(1, program=("-c", _FLOODS))
    office.await_members(8)
    slow, cut, moved, *_ = office.lan.pcs
    shape = ["tc", "-n", slow.namespace, "qdisc", "add", "dev", "eth0", "root", "tbf"]
    subprocess.run([*shape, "rate", "4mbit", "burst", "32kb", "limit", "256kb"], check=True)

    distribution = office.distribute("--rate", "1500k")
    await_fetching(office, distribution)
    cut.cut()
    give_another_address(moved, "198.18.1.99")
    time.sleep(5)  # long enough for peers to think that it is gone
    cut.mend()

    found = office.settle(distribution)
    assert [one["state"] for one in found] == ["booted"] * 8, office.logs()
    right = (office.directory / "v1.raw").read_bytes()
    images = list(office.directory.glob("pc?/**/*.raw"))
    assert len(images) == 8
    assert all(path.read_bytes() == right for path in images)
    path, token = "/api/v1/events/?verb=client.sent_wrong_bytes", office.server.new_token()
    events = office.server.rest("GET", path, token=token)["results"]
    assert {event["object_name"] for event in events} == {"pc6-001"}
