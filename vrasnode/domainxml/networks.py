"""Networks of a PC's machines: addresses that never change, the network inside the PC, the routed one.

The internal network has no way out: the two machines see each other and the control base, nobody else. The
routed one leads out by one interface of the control base, which lends its address: what Wi-Fi needs, whose
stations speak for nobody but themselves. Only cards that are named get an address, always the same.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface
from uuid import UUID, uuid5
from xml.etree.ElementTree import Element

from vrasnode.domainxml.tree import element, to_text
from vrasnode.errors import Refused

INTERNAL = "openvras-internal"
INTERNAL_BRIDGE = "vras-internal"
ROUTED = "openvras-routed"
ROUTED_BRIDGE = "vras-routed"
LOCAL_NAME = "vras.internal"
BRIDGE_NAME_BYTES = 15  # IFNAMSIZ - 1, <linux/if.h>

_NETWORKS = UUID("0f3d2f0e-6a0b-5c55-9a53-2f5f0c6f7c11")  # names networks of ours by uuid5


@dataclass(frozen=True)
class Neighbour:
    """A machine on the internal network: its card gets this address, and nobody else gets it."""

    name: str
    mac: str
    address: IPv4Address


def mac_of(pc_id: UUID | str, role: str) -> str:
    """The MAC address of one card of one PC: always the same, another one for each `role`.

    Locally administered and unicast (IEEE 802: x2), with 44 bits of SHA-256, so two PCs of a LAN do not meet.
    """
    digest = hashlib.sha256(f"{pc_id}/{role}".encode()).digest()
    return ":".join(f"{byte:02x}" for byte in (digest[0] & 0xF0 | 0x02, *digest[1:6]))


def network_xml(
    name: str,
    *,
    bridge: str,
    gateway: IPv4Interface,
    neighbours: Sequence[Neighbour],
    local_name: str = LOCAL_NAME,
) -> str:
    """The XML of a network without a way out. `gateway` is the control base's address on it, which
    `local_name` stands for. Its name server refuses all other names, so that guests ask the LAN's for them.

    Raises Refused: bad_machine_text, bad_network for a bridge name that is too long or an address outside.
    """
    _check(bridge, gateway, neighbours)
    network = element(
        "network",
        element("name", text=name),
        element("uuid", text=str(uuid5(_NETWORKS, name))),
        element("bridge", name=bridge, stp="off", delay="0"),
        element("mac", address=mac_of(name, "gateway")),  # else libvirt throws dice at each definition
        element("domain", name=local_name, localOnly="yes"),
        element("dns", element("host", element("hostname", text=local_name), ip=str(gateway.ip))),
        element(
            "ip",
            element("dhcp", *(_host(neighbour) for neighbour in neighbours)),
            address=str(gateway.ip),
            netmask=str(gateway.netmask),
        ),
    )
    return to_text(network)


def routed_network_xml(
    name: str, *, bridge: str, outward: str, gateway: IPv4Interface, neighbours: Sequence[Neighbour]
) -> str:
    """The XML of a network whose machines reach the world by the interface `outward` alone, under its
    address; nobody from there reaches them. Names are asked of the control base, which asks where it would.

    Raises Refused: bad_machine_text, bad_network.
    """
    _check(bridge, gateway, neighbours)
    network = element(
        "network",
        element("name", text=name),
        element("uuid", text=str(uuid5(_NETWORKS, name))),
        element("forward", mode="nat", dev=outward),
        element("bridge", name=bridge, stp="off", delay="0"),
        element("mac", address=mac_of(name, "gateway")),
        element(
            "ip",
            element("dhcp", *(_host(neighbour) for neighbour in neighbours)),
            address=str(gateway.ip),
            netmask=str(gateway.netmask),
        ),
    )
    return to_text(network)


def _host(neighbour: Neighbour) -> Element:
    return element("host", mac=neighbour.mac, name=neighbour.name, ip=str(neighbour.address))


def _check(bridge: str, gateway: IPv4Interface, neighbours: Sequence[Neighbour]) -> None:
    if not 0 < len(bridge.encode()) <= BRIDGE_NAME_BYTES:
        raise Refused("bad_network", f"{bridge!r} cannot name a bridge: 1 to {BRIDGE_NAME_BYTES} bytes.")
    for neighbour in neighbours:
        if neighbour.address not in gateway.network or neighbour.address == gateway.ip:
            words = f"{neighbour.name} cannot have {neighbour.address} in {gateway.network}."
            raise Refused("bad_network", words)
