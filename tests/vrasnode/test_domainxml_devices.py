"""Devices of the PC as a machine sees them, recognised again, and the network inside the PC."""

import subprocess
from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path
from uuid import UUID, uuid4
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vrasnode.domainxml import (
    Attached,
    Device,
    Kind,
    Neighbour,
    Optical,
    PciPassed,
    UsbPassed,
    UsbStorage,
    attached_of,
    device_xml,
    handle_of,
    mac_of,
    network_xml,
    routed_network_xml,
)
from vrasnode.errors import Refused

STICK = UsbPassed("0930", "6545", bus=1, device=5, port="1-2.3")
STORAGE = UsbStorage("1-2.3", "sdb", serial="SN123", device=5)
DEVICES: dict[str, Device] = {
    "pci": PciPassed("0000:03:1f.7"),
    "usb": STICK,
    "storage": STORAGE,
    "optical": Optical("sr0"),
}
GATEWAY = IPv4Interface("192.168.254.1/28")
SALES = Neighbour("client-vm", "52:1a:2b:3c:4d:5e", IPv4Address("192.168.254.2"))
each_device = pytest.mark.parametrize("device", DEVICES.values(), ids=DEVICES)


def _tree(xml: str) -> ElementTree.Element:
    return ElementTree.fromstring(xml)  # noqa: S314 - ours


def _domain(*devices: str) -> str:
    return f"<domain><devices>{''.join(devices)}</devices></domain>"


def _attribute(xml: str, path: str, name: str) -> str | None:
    found = _tree(xml).find(path)
    assert found is not None, path
    return found.get(name)


@each_device
def test_a_device_is_recognised_by_its_alias(device: Device) -> None:
    handle = device.handle

    assert handle_of(handle.alias) == handle
    assert attached_of(_domain(device_xml(device))) == [
        Attached(handle.alias, handle.kind, handle.key, handle.part)
    ]


@each_device
def test_a_device_fits_libvirts_schema(device: Device, tmp_path: Path) -> None:
    around = "<domain type='qemu'><name>x</name><memory>1</memory><os><type>hvm</type></os><devices>"
    (tmp_path / "domain.xml").write_text(f"{around}{device_xml(device)}</devices></domain>")

    check = subprocess.run(
        ["virt-xml-validate", tmp_path / "domain.xml", "domain"], capture_output=True, text=True, check=False
    )

    assert check.returncode == 0, check.stderr


@each_device
def test_an_alias_has_only_letters_that_libvirt_takes(device: Device) -> None:
    alias = device.handle.alias

    assert alias.startswith("ua-")
    assert alias.replace("-", "").replace("_", "").isalnum()
    assert alias.isascii()


def test_two_identical_sticks_and_two_plugs_of_one_are_told_apart() -> None:
    sticks = [STICK, replace(STICK, port="1-2.4", device=6), replace(STICK, device=7)]
    disks = [STORAGE, replace(STORAGE, node="sdc"), replace(STORAGE, device=6), replace(STORAGE, port="2-1")]

    assert len({stick.handle.alias for stick in sticks}) == len(sticks)
    assert len({disk.handle.alias for disk in disks}) == len(disks)
    assert len({_attribute(device_xml(disk), "target", "dev") for disk in disks}) == len(disks)


def test_a_stick_is_passed_through_by_what_it_is_and_where_it_is() -> None:
    xml = device_xml(STICK)

    assert _attribute(xml, "source/vendor", "id") == "0x0930"
    assert _attribute(xml, "source/product", "id") == "0x6545"
    assert _attribute(xml, "source/address", "bus") == "1"
    assert _attribute(xml, "source/address", "device") == "5"


def test_a_stick_to_read_is_a_disk_that_cannot_be_written() -> None:
    read, written = _tree(device_xml(STORAGE)), _tree(device_xml(replace(STORAGE, read_only=False)))

    assert read.find("readonly") is not None
    assert written.find("readonly") is None
    assert read.findtext("serial") == "SN123"


def test_a_serial_number_of_a_device_cannot_say_more_than_a_serial_number() -> None:
    xml = device_xml(replace(STORAGE, serial="""A,b"/><x/>\n\0""" + "9" * 99))

    serial = _tree(xml).findtext("serial", "")
    assert serial.startswith("A_b")
    assert set(serial) <= set("Ab9_x")
    assert len(serial) <= 36


def test_a_drive_is_for_reading_and_may_be_gone() -> None:
    xml = device_xml(Optical("sr0"))

    assert _tree(xml).find("readonly") is not None
    assert _attribute(xml, "source", "startupPolicy") == "optional"


@pytest.mark.parametrize(
    "device",
    [
        PciPassed("03:00.0"),
        PciPassed("0000:03:00.8"),
        PciPassed("0000:03:00.0\n"),
        replace(STICK, vendor="xyz1"),
        replace(STICK, port="usb1"),
        replace(STICK, port="1-2."),
        UsbStorage("1-2", "../sda"),
        UsbStorage("1-2", ""),
        Optical("sr0/../sda"),
    ],
)
def test_what_cannot_name_a_device_is_refused(device: Device) -> None:
    with pytest.raises(Refused) as refused:
        device_xml(device)

    assert refused.value.code == "bad_device"


def test_what_someone_else_attached_is_said() -> None:
    theirs = [
        "<hostdev type='usb'><source><address bus='1'/></source><alias name='hostdev0'/></hostdev>",
        "<disk type='block' device='disk'><source dev='/dev/sda'/><alias name='virtio-disk1'/></disk>",
        "<interface type='hostdev'><alias name='net1'/></interface>",
        "<filesystem type='mount'><source dir='/'/></filesystem>",
    ]
    own = "<disk type='file'><boot order='1'/><alias name='virtio-disk0'/></disk><interface type='network'/>"

    found = attached_of(_domain(own, *theirs))

    assert {one.kind for one in found} == {Kind.OTHER}
    assert [one.alias for one in found] == ["hostdev0", "virtio-disk1", "net1", ""]
    assert [one.key for one in found] == [
        "hostdev usb 1",
        "disk /dev/sda",
        "interface hostdev",
        "filesystem mount /",
    ]


@pytest.mark.parametrize("alias", ["", "hostdev0", "ua-", "ua-gpu-1", "ua-mine"])
def test_an_alias_of_someone_else_names_nothing_of_ours(alias: str) -> None:
    assert handle_of(alias) is None


@pytest.mark.parametrize("xml", ["", "no xml", "<domain/>"])
def test_a_machine_that_cannot_be_read_has_nothing(xml: str) -> None:
    assert attached_of(xml) == []


@given(st.uuids(), st.sampled_from(["lan", "internal"]))
def test_an_address_is_unicast_local_and_stable(pc_id: UUID, role: str) -> None:
    mac = mac_of(pc_id, role)

    assert mac[1] == "2"
    assert len(bytes.fromhex(mac.replace(":", ""))) == 6
    assert mac == mac_of(str(pc_id), role)


def test_cards_of_a_pc_and_of_two_pcs_have_different_addresses() -> None:
    pcs = [uuid4() for _ in range(500)]

    assert len({mac_of(pc, role) for pc in pcs for role in ("lan", "internal")}) == 1000


def test_an_address_stays_for_ever() -> None:
    """Switches and DHCP servers of companies know it: never change how it is made."""
    assert mac_of("5f0c1b7e-6f0e-4f0e-9d55-0a1c4f3f7b01", "lan") == "72:52:30:7f:f5:5e"


def test_the_internal_network_has_no_way_out_and_addresses_for_its_machines_alone(tmp_path: Path) -> None:
    xml = network_xml("openvras-internal", bridge="vras-internal", gateway=GATEWAY, neighbours=[SALES])

    network = _fitting_network(xml, tmp_path)
    assert network.find("forward") is None
    assert network.find("ip/dhcp/range") is None
    assert [host.get("ip") for host in network.findall("ip/dhcp/host")] == ["192.168.254.2"]
    assert [host.get("ip") for host in network.findall("dns/host")] == ["192.168.254.1"]
    assert network.findtext("dns/host/hostname") == "vras.internal"


def test_the_routed_network_leads_out_by_one_interface_and_has_addresses_for_its_machine_alone(
    tmp_path: Path,
) -> None:
    xml = routed_network_xml(
        "openvras-routed", bridge="vras-routed", outward="wlan0", gateway=GATEWAY, neighbours=[SALES]
    )

    network = _fitting_network(xml, tmp_path)
    forward = network.find("forward")
    assert forward is not None and forward.attrib == {"mode": "nat", "dev": "wlan0"}
    assert network.find("ip/dhcp/range") is None
    assert [host.get("ip") for host in network.findall("ip/dhcp/host")] == ["192.168.254.2"]


@pytest.mark.parametrize(
    "make",
    [
        lambda: network_xml("n", bridge="a-name-too-long!", gateway=GATEWAY, neighbours=[]),
        lambda: network_xml("n", bridge="", gateway=GATEWAY, neighbours=[]),
        lambda: network_xml(
            "n", bridge="b", gateway=GATEWAY, neighbours=[replace(SALES, address=IPv4Address("10.0.0.1"))]
        ),
        lambda: network_xml(
            "n", bridge="b", gateway=GATEWAY, neighbours=[replace(SALES, address=GATEWAY.ip)]
        ),
    ],
)
def test_a_network_that_cannot_be_is_refused(make: Callable[[], str]) -> None:
    with pytest.raises(Refused) as refused:
        make()

    assert refused.value.code == "bad_network"


def _fitting_network(xml: str, directory: Path) -> ElementTree.Element:
    """It, once libvirt's schema has found nothing wrong with it."""
    (directory / "network.xml").write_text(xml)
    command = ["virt-xml-validate", directory / "network.xml", "network"]
    check = subprocess.run(command, capture_output=True, text=True, check=False)
    assert check.returncode == 0, check.stderr
    return _tree(xml)
