"""A device that cannot be had is said to be why, and nothing else is; the machine starts without it."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.vrasnode.waiting import talking_vm
from vrasnode.domainxml import UsbPassed, client_vm_xml, device_xml
from vrasnode.errors import HostBroken
from vrasnode.machines.hypervisor import Hypervisor, MachineState, blames_device

NOWHERE = "0000:7f:1f.7"


@pytest.fixture
def hypervisor(libvirtd: str) -> Iterator[Hypervisor]:
    hypervisor = Hypervisor(libvirtd)
    yield hypervisor
    hypervisor.close()


@pytest.mark.slow
def test_a_usb_device_that_is_not_there_cannot_be_passed_through(
    hypervisor: Hypervisor, tmp_path: Path
) -> None:
    vm = talking_vm(tmp_path)
    hypervisor.start(client_vm_xml(vm))

    with pytest.raises(HostBroken) as broken:
        hypervisor.attach(vm.name, device_xml(UsbPassed("0930", "6545", bus=250, device=1, port="250-1")))

    assert broken.value.code == "pass_through_failed"
    assert hypervisor.attached(vm.name) == []
    hypervisor.destroy(vm.name)


@pytest.mark.slow
def test_a_machine_whose_device_cannot_be_had_says_so_and_starts_without_it(
    hypervisor: Hypervisor, tmp_path: Path
) -> None:
    vm = talking_vm(tmp_path)

    with pytest.raises(HostBroken) as broken:
        hypervisor.start(client_vm_xml(replace(vm, passed=(NOWHERE,))))
    assert broken.value.code == "pass_through_failed"
    assert hypervisor.state(vm.name) is not MachineState.RUNNING

    hypervisor.start(client_vm_xml(vm))

    assert hypervisor.state(vm.name) is MachineState.RUNNING
    hypervisor.destroy(vm.name)


@pytest.mark.slow
def test_a_missing_disk_is_not_blamed_on_a_device(hypervisor: Hypervisor, tmp_path: Path) -> None:
    vm = talking_vm(tmp_path)
    vm.disk.unlink()

    with pytest.raises(HostBroken) as broken:
        hypervisor.start(client_vm_xml(vm))

    assert broken.value.code == "machine_start_failed"


@pytest.mark.parametrize(
    "words",
    [
        "Requested operation is not valid: PCI device 0000:03:00.0 is in use by driver QEMU, domain other",
        "Device 0000:03:00.0 not found: could not access /sys/bus/pci/devices/0000:03:00.0/config",
        "internal error: Unable to reset PCI device 0000:03:00.0: no FLR, PM reset or bus reset available",
        "internal error: Non-endpoint PCI devices cannot be assigned to guests",
        "internal error: Did not find USB device 0930:6545 bus:1 device:5",
        "internal error: process exited: vfio 0000:03:00.0: group 12 is not viable",
        "cannot limit locked memory of process 4711 to 9663676416: Operation not permitted",
    ],
)
def test_what_libvirt_and_qemu_say_of_a_device_is_understood(words: str) -> None:
    assert blames_device(words)


@pytest.mark.parametrize(
    "words",
    [
        "Cannot access storage file '/var/lib/vrasnode/desktop/v1.qcow2': No such file or directory",
        "internal error: No more available PCI slots",
        "Cannot get interface MTU on 'br-lan': No such device",
        "Network not found: no network with matching name 'openvras-internal'",
        "internal error: process exited while connecting to monitor: cannot set up guest memory",
    ],
)
def test_no_device_is_blamed_for_what_it_did_not_do(words: str) -> None:
    assert not blames_device(words)


@pytest.mark.slow
def test_a_device_that_its_driver_has_is_not_given_back(hypervisor: Hypervisor) -> None:
    assert not hypervisor.give_back(NOWHERE)
