"""Networks of libvirt: makes one run as it is defined. What it looks like is said in `domainxml`."""

from typing import Any
from xml.etree import ElementTree

import libvirt

from vrasnode.machines.libvirtd import Libvirtd


def ensure(libvirtd: Libvirtd, network_xml: str) -> bool:
    """Makes the network of this definition run, and whether it is as defined: where machines are on an older
    one, that goes on until they have stopped and this is called again. What someone edited is put right.

    Raises HostBroken(libvirt_gone, network_failed).
    """
    name = _read(network_xml).findtext("name", "")
    with libvirtd.session("network_failed", f"Network {name} cannot be started") as connection:
        network = _define(connection, name, network_xml)
        if network.isActive() and _is_as_defined(network):
            return True
        if network.isActive():
            if int(_read(network.XMLDesc()).get("connections", "0")):
                return False
            network.destroy()
        network.create()
        return True


def _define(connection: Any, name: str, network_xml: str) -> Any:
    """One of that name that is not ours (another uuid) has to go first."""
    for network in connection.listAllNetworks():
        if network.name() != name:
            continue
        if _lasting(_defined(network)) == _lasting(network_xml):
            return network
        if network.UUIDString() != _read(network_xml).findtext("uuid"):
            if network.isActive():
                network.destroy()
            network.undefine()
    return connection.networkDefineXMLFlags(network_xml, libvirt.VIR_NETWORK_DEFINE_VALIDATE)


def _is_as_defined(network: Any) -> bool:
    return _lasting(network.XMLDesc()) == _lasting(_defined(network))


def _defined(network: Any) -> str:
    return str(network.XMLDesc(libvirt.VIR_NETWORK_XML_INACTIVE))


def _lasting(xml: str) -> str:
    """Without what changes while a network runs."""
    root = _read(xml)
    root.attrib.pop("connections", None)
    return ElementTree.canonicalize(ElementTree.tostring(root), strip_text=True)


def _read(xml: str) -> ElementTree.Element:
    return ElementTree.fromstring(xml)  # noqa: S314 - made by domainxml or by libvirt
