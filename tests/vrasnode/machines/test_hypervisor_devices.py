"""Devices come and go while a real machine runs; who looks later, or again, sees what is there."""

import subprocess
import threading
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Interface
from pathlib import Path

import pytest

from config.demo.pcs import LabPc
from tests.lab.libvirtd import LIMIT_S
from tests.vrasnode.waiting import talking_vm
from vrasnode.domainxml import (
    INTERNAL,
    ClientVm,
    Device,
    Kind,
    Nic,
    Optical,
    UsbStorage,
    client_vm_xml,
    device_xml,
    mac_of,
    network_xml,
)
from vrasnode.errors import HostBroken, Unreachable
from vrasnode.machines.hypervisor import Hypervisor, MachineState

pytestmark = pytest.mark.slow

WAIT_S = 20.0


@pytest.fixture
def node(tmp_path: Path) -> Iterator[str]:
    """A block device of the control base, as a plugged stick or a disc becomes one."""
    (tmp_path / "stick").write_bytes(b"stick".ljust(1 << 20, b"\0"))
    looped = subprocess.run(
        ["losetup", "--find", "--show", tmp_path / "stick"], capture_output=True, text=True, check=True
    )
    device = Path(looped.stdout.strip())
    yield device.name
    subprocess.run(["losetup", "--detach", device], check=True)


@pytest.fixture
def hypervisor(libvirtd: str) -> Iterator[Hypervisor]:
    hypervisor = Hypervisor(libvirtd)
    yield hypervisor
    hypervisor.close()


@pytest.fixture
def vm(hypervisor: Hypervisor, tmp_path: Path) -> Iterator[ClientVm]:
    """A client VM that runs and waits."""
    vm = talking_vm(tmp_path)
    hypervisor.start(client_vm_xml(vm))
    yield vm
    hypervisor.destroy(vm.name)


def _qemu(uri: str, vm: ClientVm, command: str) -> str:
    """What QEMU itself says; the guest has what QEMU has."""
    monitor = ["virsh", "--quiet", "--connect", uri, "qemu-monitor-command", "--hmp", vm.name, command]
    return subprocess.run(monitor, capture_output=True, text=True, check=True).stdout


def _virsh(uri: str, *arguments: str | Path) -> None:
    subprocess.run(["virsh", "--quiet", "--connect", uri, *arguments], check=True)


def _devices(node: str) -> list[Device]:
    return [UsbStorage("1-2.3", node, serial="SN123", device=5), Optical(node)]


def test_a_stick_to_read_comes_and_goes(
    hypervisor: Hypervisor, vm: ClientVm, node: str, libvirtd: str
) -> None:
    stick = UsbStorage("1-2.3", node, serial="SN123", device=5)
    assert "QEMU USB MSD" not in _qemu(libvirtd, vm, "info usb")

    hypervisor.attach(vm.name, device_xml(stick))

    assert [one.handle for one in hypervisor.attached(vm.name)] == [stick.handle]
    assert "QEMU USB MSD" in _qemu(libvirtd, vm, "info usb")
    assert f"/dev/{node} (raw, read-only)" in _qemu(libvirtd, vm, "info block")

    hypervisor.detach(vm.name, stick.handle.alias, wait_s=WAIT_S)

    assert hypervisor.attached(vm.name) == []
    assert "QEMU USB MSD" not in _qemu(libvirtd, vm, "info usb")
    assert node not in _qemu(libvirtd, vm, "info block")


def test_an_optical_drive_comes_and_goes(
    hypervisor: Hypervisor, vm: ClientVm, node: str, libvirtd: str
) -> None:
    drive = Optical(node)

    hypervisor.attach(vm.name, device_xml(drive))

    assert [one.handle for one in hypervisor.attached(vm.name)] == [drive.handle]
    assert "scsi-cd" in _qemu(libvirtd, vm, "info qtree")

    hypervisor.detach(vm.name, drive.handle.alias, wait_s=WAIT_S)

    assert hypervisor.attached(vm.name) == []
    assert "scsi-cd" not in _qemu(libvirtd, vm, "info qtree")


def test_a_drive_that_was_there_at_the_start_goes_like_any_other(
    hypervisor: Hypervisor, node: str, tmp_path: Path
) -> None:
    vm = replace(talking_vm(tmp_path), opticals=(Optical(node),))
    hypervisor.start(client_vm_xml(vm))
    assert [one.kind for one in hypervisor.attached(vm.name)] == [Kind.OPTICAL]

    hypervisor.detach(vm.name, Optical(node).handle.alias, wait_s=WAIT_S)
    assert hypervisor.attached(vm.name) == []

    hypervisor.destroy(vm.name)
    assert node in (hypervisor.definition(vm.name) or "")
    assert hypervisor.attached(vm.name) == []


def test_a_drive_that_is_gone_does_not_keep_a_machine_from_starting(
    hypervisor: Hypervisor, tmp_path: Path
) -> None:
    vm = replace(talking_vm(tmp_path), opticals=(Optical("sr77"),))

    hypervisor.start(client_vm_xml(vm))

    assert hypervisor.state(vm.name) is MachineState.RUNNING
    hypervisor.destroy(vm.name)


def test_two_devices_at_once_are_told_apart(hypervisor: Hypervisor, vm: ClientVm, node: str) -> None:
    first, second = _devices(node)
    hypervisor.attach(vm.name, device_xml(first))
    hypervisor.attach(vm.name, device_xml(second))

    hypervisor.detach(vm.name, first.handle.alias, wait_s=WAIT_S)

    assert [one.handle for one in hypervisor.attached(vm.name)] == [second.handle]


def test_to_attach_or_detach_twice_is_to_do_it_once(hypervisor: Hypervisor, vm: ClientVm, node: str) -> None:
    for device in _devices(node):
        hypervisor.attach(vm.name, device_xml(device))
        hypervisor.attach(vm.name, device_xml(device))
        assert len(hypervisor.attached(vm.name)) == 1

        hypervisor.detach(vm.name, device.handle.alias, wait_s=WAIT_S)
        hypervisor.detach(vm.name, device.handle.alias, wait_s=WAIT_S)
        assert hypervisor.attached(vm.name) == []


def test_the_agent_is_woken_when_a_device_goes(hypervisor: Hypervisor, vm: ClientVm, node: str) -> None:
    stick, _ = _devices(node)
    hypervisor.attach(vm.name, device_xml(stick))
    woken = threading.Event()
    hypervisor.on_change(lambda name: woken.set() if name == vm.name else None)

    hypervisor.detach(vm.name, stick.handle.alias, wait_s=WAIT_S)

    assert woken.wait(LIMIT_S)


def test_a_device_that_is_gone_is_waited_for_no_longer(
    hypervisor: Hypervisor, vm: ClientVm, node: str
) -> None:
    stick, _ = _devices(node)
    hypervisor.attach(vm.name, device_xml(stick))
    gone = threading.Event()

    def detach() -> None:
        hypervisor.detach(vm.name, stick.handle.alias, wait_s=100 * LIMIT_S)
        gone.set()

    threading.Thread(target=detach, daemon=True).start()

    assert gone.wait(LIMIT_S)


def test_a_new_agent_sees_what_another_attached(
    hypervisor: Hypervisor, vm: ClientVm, node: str, libvirtd: str
) -> None:
    stick, _ = _devices(node)
    hypervisor.attach(vm.name, device_xml(stick))
    newcomer = Hypervisor(libvirtd)

    assert [one.handle for one in newcomer.attached(vm.name)] == [stick.handle]
    newcomer.detach(vm.name, stick.handle.alias, wait_s=WAIT_S)

    assert hypervisor.attached(vm.name) == []
    newcomer.close()


def test_what_hangs_there_is_known_after_libvirtd_was_away(lab_pc: LabPc, node: str, tmp_path: Path) -> None:
    hypervisor, vm, (stick, _) = Hypervisor(lab_pc.uri), talking_vm(tmp_path), _devices(node)
    hypervisor.start(client_vm_xml(vm))
    hypervisor.attach(vm.name, device_xml(stick))

    lab_pc.end_libvirtd()
    lab_pc.start()

    assert [one.handle for one in hypervisor.attached(vm.name)] == [stick.handle]
    hypervisor.detach(vm.name, stick.handle.alias, wait_s=WAIT_S)
    assert hypervisor.attached(vm.name) == []
    hypervisor.close()


def test_what_someone_attached_behind_our_back_is_seen_and_can_be_taken_off(
    hypervisor: Hypervisor, vm: ClientVm, node: str, libvirtd: str
) -> None:
    _virsh(libvirtd, "attach-disk", vm.name, f"/dev/{node}", "sdz", "--targetbus", "usb")

    (found,) = hypervisor.attached(vm.name)
    assert found.kind is Kind.OTHER
    assert node in found.key

    hypervisor.detach(vm.name, found.alias, wait_s=WAIT_S)
    assert hypervisor.attached(vm.name) == []


def test_a_guest_that_does_not_let_go_is_said_and_asked_again(
    hypervisor: Hypervisor, vm: ClientVm, node: str, libvirtd: str
) -> None:
    """This guest has no system that would answer a PCI hot-unplug."""
    _virsh(libvirtd, "attach-disk", vm.name, f"/dev/{node}", "vdz", "--targetbus", "virtio")
    (found,) = hypervisor.attached(vm.name)

    for _ in range(2):
        with pytest.raises(Unreachable) as held:
            hypervisor.detach(vm.name, found.alias, wait_s=0.1)
        assert held.value.code == "device_held"

    assert hypervisor.attached(vm.name) == [found]


def test_a_definition_that_someone_edited_is_seen_and_made_anew_by_the_next_start(
    hypervisor: Hypervisor, vm: ClientVm, node: str, libvirtd: str
) -> None:
    before = hypervisor.definition(vm.name)
    edit = ["attach-disk", vm.name, f"/dev/{node}", "sdz", "--targetbus", "usb", "--config"]
    _virsh(libvirtd, *edit)
    edited = hypervisor.definition(vm.name)
    assert before is not None and edited is not None
    assert node not in before
    assert node in edited
    assert hypervisor.edited(vm.name)
    hypervisor.destroy(vm.name)

    hypervisor.start(client_vm_xml(vm))

    assert not hypervisor.edited(vm.name)
    assert hypervisor.attached(vm.name) == []
    assert node not in (hypervisor.definition(vm.name) or "")


def test_what_we_did_ourselves_is_no_edit(
    hypervisor: Hypervisor, vm: ClientVm, node: str, libvirtd: str
) -> None:
    assert not hypervisor.edited(vm.name)

    hypervisor.attach(vm.name, device_xml(Optical(node)))
    assert not hypervisor.edited(vm.name)
    hypervisor.destroy(vm.name)
    assert not hypervisor.edited(vm.name)

    newcomer = Hypervisor(libvirtd)
    assert not newcomer.edited(vm.name)
    newcomer.close()
    assert not hypervisor.edited("nobody")


def test_memory_that_someone_changed_is_an_edit(hypervisor: Hypervisor, vm: ClientVm, libvirtd: str) -> None:
    _virsh(libvirtd, "setmaxmem", vm.name, "128M", "--config")

    assert hypervisor.edited(vm.name)


def test_devices_do_not_stay_over_the_end_of_a_machine(
    hypervisor: Hypervisor, vm: ClientVm, node: str
) -> None:
    stick, _ = _devices(node)
    hypervisor.attach(vm.name, device_xml(stick))

    hypervisor.destroy(vm.name)
    assert hypervisor.attached(vm.name) == []
    hypervisor.start(client_vm_xml(vm))

    assert hypervisor.attached(vm.name) == []


def test_a_machine_that_is_off_takes_nothing_and_has_nothing_to_give(
    hypervisor: Hypervisor, vm: ClientVm, node: str
) -> None:
    hypervisor.destroy(vm.name)

    for name in (vm.name, "nobody"):
        for device in _devices(node):
            with pytest.raises(Unreachable) as off:
                hypervisor.attach(name, device_xml(device))
            assert off.value.code == "machine_off"
            hypervisor.detach(name, device.handle.alias, wait_s=WAIT_S)
        assert hypervisor.attached(name) == []
    assert hypervisor.definition("nobody") is None


def test_a_stick_that_went_in_the_meantime_is_a_fault_of_the_host(
    hypervisor: Hypervisor, vm: ClientVm
) -> None:
    with pytest.raises(HostBroken) as broken:
        hypervisor.attach(vm.name, device_xml(UsbStorage("1-2", "sdq")))

    assert broken.value.code == "attach_failed"
    assert "/dev/sdq" in broken.value.words
    assert hypervisor.attached(vm.name) == []


def test_a_cable_is_pulled_and_plugged_in_again_while_the_machine_runs(lab_pc: LabPc, tmp_path: Path) -> None:
    hypervisor = Hypervisor(lab_pc.uri)
    mac = mac_of("pc", "client-vm/internal")
    gateway = IPv4Interface("10.87.67.1/29")
    hypervisor.ensure_network(network_xml(INTERNAL, bridge="vras-link", gateway=gateway, neighbours=[]))
    vm = replace(talking_vm(tmp_path), internal=Nic(INTERNAL, mac))
    hypervisor.start(client_vm_xml(vm))

    for up in (False, False, True, True):
        hypervisor.set_link(vm.name, mac, up=up)
        assert _link(lab_pc.uri, vm, mac) == ("up" if up else "down")
    with pytest.raises(HostBroken) as broken:
        hypervisor.set_link(vm.name, "02:00:00:00:00:01", up=False)
    assert broken.value.code == "no_such_card"
    hypervisor.destroy(vm.name)
    with pytest.raises(Unreachable) as unreachable:
        hypervisor.set_link(vm.name, mac, up=False)
    assert unreachable.value.code == "machine_off"
    hypervisor.close()


def _link(uri: str, vm: ClientVm, mac: str) -> str:
    """What libvirt says."""
    asked = ["virsh", "--quiet", "--connect", uri, "domif-getlink", vm.name, mac]
    said = subprocess.run(asked, capture_output=True, text=True, check=True).stdout
    return said.split()[-1]
