"""The network inside a PC: up, as it was defined, for its own machines alone."""

import json
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path

import pytest

from config.demo.pcs import LabPc
from tests.vrasnode.waiting import talking_vm
from vrasnode.domainxml import (
    INTERNAL,
    INTERNAL_BRIDGE,
    LOCAL_NAME,
    ClientVm,
    Neighbour,
    Nic,
    client_vm_xml,
    mac_of,
    network_xml,
    routed_network_xml,
)
from vrasnode.errors import HostBroken
from vrasnode.machines.hypervisor import Hypervisor

pytestmark = pytest.mark.slow

GATEWAY = IPv4Interface("192.168.254.1/28")
PC = "5f0c1b7e-6f0e-4f0e-9d55-0a1c4f3f7b01"
CLIENT = Neighbour("client-vm", mac_of(PC, "client/internal"), IPv4Address("192.168.254.3"))
SERVER = Neighbour("virtual-server", mac_of(PC, "service/internal"), IPv4Address("192.168.254.2"))
NETWORK = network_xml(INTERNAL, bridge=INTERNAL_BRIDGE, gateway=GATEWAY, neighbours=[SERVER, CLIENT])
OTHER = network_xml(INTERNAL, bridge=INTERNAL_BRIDGE, gateway=GATEWAY, neighbours=[SERVER])


@pytest.fixture
def hypervisor(lab_pc: LabPc) -> Iterator[Hypervisor]:
    hypervisor = Hypervisor(lab_pc.uri)
    yield hypervisor
    hypervisor.close()


@pytest.fixture
def vm(hypervisor: Hypervisor, tmp_path: Path) -> ClientVm:
    """A client VM with a card on the internal network."""
    return replace(talking_vm(tmp_path), internal=Nic(INTERNAL, CLIENT.mac))


def _inside(pc: LabPc, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(pc.command(command), capture_output=True, text=True, check=False)


def _virsh(pc: LabPc, *arguments: str | Path) -> str:
    virsh = ["virsh", "--quiet", "--connect", pc.uri, *arguments]
    return subprocess.run(virsh, capture_output=True, text=True, check=True).stdout


def _bridge_number(pc: LabPc) -> int:
    """Another one after each start of the network."""
    shown = _inside(pc, "ip", "--json", "link", "show", "dev", INTERNAL_BRIDGE).stdout
    return int(json.loads(shown)[0]["ifindex"])


def _plug_in(pc: LabPc, mac: str) -> None:
    """A machine's card on the network, as far as the network can tell."""
    for words in (
        f"link add card address {mac} type veth peer name plug",
        f"link set plug master {INTERNAL_BRIDGE} up",
        "link set card up",
    ):
        assert _inside(pc, "ip", *words.split()).returncode == 0


def _asks_for_an_address(pc: LabPc) -> subprocess.CompletedProcess[str]:
    ask = ["udhcpc", "--interface", "card", "--now", "--quit", "--foreground", "--script", "/bin/true"]
    return _inside(pc, "busybox", *ask, "--retries", "3", "--timeout", "1")


def test_the_network_is_up_at_its_address(hypervisor: Hypervisor, lab_pc: LabPc) -> None:
    assert hypervisor.ensure_network(NETWORK)

    assert f"inet {GATEWAY} " in _inside(lab_pc, "ip", "address", "show", INTERNAL_BRIDGE).stdout


def test_a_network_that_is_as_defined_is_left_alone(hypervisor: Hypervisor, lab_pc: LabPc) -> None:
    hypervisor.ensure_network(NETWORK)
    before = _bridge_number(lab_pc)

    assert hypervisor.ensure_network(NETWORK)

    assert _bridge_number(lab_pc) == before


def test_its_machines_get_their_own_address_and_the_control_base_by_name(
    hypervisor: Hypervisor, lab_pc: LabPc
) -> None:
    hypervisor.ensure_network(NETWORK)
    _plug_in(lab_pc, CLIENT.mac)

    answer = _asks_for_an_address(lab_pc)
    name = _inside(lab_pc, "busybox", "nslookup", LOCAL_NAME, str(GATEWAY.ip))

    assert f"lease of {CLIENT.address} obtained" in answer.stderr
    assert str(GATEWAY.ip) in name.stdout.partition(LOCAL_NAME)[2]


def test_the_routed_network_leads_out_by_its_interface_and_by_no_other(
    hypervisor: Hypervisor, lab_pc: LabPc
) -> None:
    xml = routed_network_xml(
        "openvras-routed", bridge=INTERNAL_BRIDGE, outward="wlan0", gateway=GATEWAY, neighbours=[CLIENT]
    )
    assert hypervisor.ensure_network(xml)
    _plug_in(lab_pc, CLIENT.mac)

    answer = _asks_for_an_address(lab_pc)
    translated = _inside(lab_pc, "iptables", "-t", "nat", "-S", "LIBVIRT_PRT").stdout.splitlines()
    passed = _inside(lab_pc, "iptables", "-S", "LIBVIRT_FWO").stdout.splitlines()

    assert f"lease of {CLIENT.address} obtained" in answer.stderr
    ways = [rule for rule in translated if "MASQUERADE" in rule]
    assert ways and all("-o wlan0" in rule for rule in ways)
    out = [rule for rule in passed if rule.endswith("-j ACCEPT")]
    assert out and all("-o wlan0" in rule for rule in out)


def test_a_stranger_gets_no_address_and_no_name_of_the_world(hypervisor: Hypervisor, lab_pc: LabPc) -> None:
    hypervisor.ensure_network(NETWORK)
    _plug_in(lab_pc, mac_of(PC, "stranger"))

    assert _asks_for_an_address(lab_pc).returncode != 0
    assert _inside(lab_pc, "busybox", "nslookup", "example.org", str(GATEWAY.ip)).returncode != 0


def test_a_network_that_someone_stopped_or_edited_is_put_right(hypervisor: Hypervisor, lab_pc: LabPc) -> None:
    hypervisor.ensure_network(NETWORK)
    _virsh(lab_pc, "net-destroy", INTERNAL)
    assert hypervisor.ensure_network(NETWORK)

    host = "<host mac='52:54:00:00:00:01' ip='192.168.254.9'/>"
    _virsh(lab_pc, "net-update", INTERNAL, "add-last", "ip-dhcp-host", host, "--live", "--config")
    assert hypervisor.ensure_network(NETWORK)

    assert "192.168.254.9" not in _virsh(lab_pc, "net-dumpxml", INTERNAL)


def test_a_changed_network_waits_for_the_machines_that_are_on_it(
    hypervisor: Hypervisor, lab_pc: LabPc, vm: ClientVm
) -> None:
    hypervisor.ensure_network(NETWORK)
    hypervisor.start(client_vm_xml(vm))
    before = _bridge_number(lab_pc)

    assert not hypervisor.ensure_network(OTHER)
    assert _bridge_number(lab_pc) == before

    hypervisor.destroy(vm.name)
    assert hypervisor.ensure_network(OTHER)
    assert str(CLIENT.address) not in _virsh(lab_pc, "net-dumpxml", INTERNAL)


def test_a_network_of_that_name_that_is_not_ours_gives_way(
    hypervisor: Hypervisor, lab_pc: LabPc, tmp_path: Path
) -> None:
    (tmp_path / "theirs.xml").write_text(f"<network><name>{INTERNAL}</name><bridge name='theirs'/></network>")
    _virsh(lab_pc, "net-define", tmp_path / "theirs.xml")
    _virsh(lab_pc, "net-start", INTERNAL)

    assert hypervisor.ensure_network(NETWORK)

    assert f"inet {GATEWAY} " in _inside(lab_pc, "ip", "address", "show", INTERNAL_BRIDGE).stdout


def test_a_network_that_cannot_be_started_is_a_fault_of_the_host(
    hypervisor: Hypervisor, lab_pc: LabPc
) -> None:
    assert _inside(lab_pc, "ip", "link", "add", INTERNAL_BRIDGE, "type", "bridge").returncode == 0

    with pytest.raises(HostBroken) as broken:
        hypervisor.ensure_network(NETWORK)

    assert broken.value.code == "network_failed"
    assert INTERNAL in broken.value.words


def test_a_machine_has_its_card_on_the_network(hypervisor: Hypervisor, lab_pc: LabPc, vm: ClientVm) -> None:
    hypervisor.ensure_network(NETWORK)

    hypervisor.start(client_vm_xml(replace(vm, name="other")))

    assert CLIENT.mac in _virsh(lab_pc, "domiflist", "other")
    ports = _inside(lab_pc, "ip", "--json", "link", "show", "master", INTERNAL_BRIDGE).stdout
    assert len(json.loads(ports)) == 1
