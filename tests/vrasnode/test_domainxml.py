"""What a machine's definition says, and that nothing breaks out of it."""

import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID
from xml.etree import ElementTree

import libvirt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vrasnode.domainxml import (
    Accelerator,
    ClientVm,
    Firmware,
    Kind,
    Mark,
    Nic,
    Optical,
    Profile,
    ServiceVm,
    attached_of,
    card_with_link,
    client_vm_xml,
    mark_of,
    service_vm_xml,
    volume_disk_xml,
    volume_handle,
)
from vrasnode.errors import Refused
from vrasnode.mydoc.naming import serial_of
from vrasnode.wire.devices import Suspend

GOLDEN = Path(__file__).parent / "golden"
STATE = Path("/var/lib/vrasnode/desktop")

SALES_PC = ClientVm(
    name="vras-client",
    uuid=UUID("5f0c1b7e-6f0e-4f0e-9d55-0a1c4f3f7b01"),
    memory_bytes=4 << 30,
    vcpus=2,
    accelerator=Accelerator.KVM,
    firmware=Firmware.BIOS,
    disk=STATE / "overlay.qcow2",
    console_log=STATE / "console.log",
    mark=Mark(manifest="9f" * 32, serial=7),
)
WINDOWS_PC = replace(
    SALES_PC,
    firmware=Firmware.EFI,
    nvram=STATE / "nvram.fd",
    profile=Profile.WINDOWS,
    tpm=True,
    secure_boot=True,
    io_uring=True,
    lan=Nic("br-lan", "52:1a:2b:3c:4d:5e"),
    internal=Nic("openvras-internal", "a2:1a:2b:3c:4d:5f"),
)
HOSTILE = """Müller's <PC> & "営業"]]>"""
VIRTUAL_SERVER = ServiceVm(
    name="vras-service",
    uuid=UUID("5f0c1b7e-6f0e-4f0e-9d55-0a1c4f3f7b02"),
    memory_bytes=384 << 20,
    vcpus=1,
    accelerator=Accelerator.KVM,
    disk=Path("/var/lib/vrasnode/service/a.raw"),
    console_log=Path("/var/lib/vrasnode/service/console.log"),
    mark=Mark(manifest="7e" * 32, serial=3),
    control_socket=Path("/var/lib/vrasnode/service/control.sock"),
    lan=Nic("br-lan", "62:1a:2b:3c:4d:60"),
    internal=Nic("openvras-internal", "b2:1a:2b:3c:4d:61"),
)
SHAPES = {
    "linux_bios_kvm": SALES_PC,
    "linux_bios_tcg": replace(SALES_PC, accelerator=Accelerator.TCG, memory_bytes=256 << 20, vcpus=1),
    "linux_efi_kvm": replace(SALES_PC, firmware=Firmware.EFI, nvram=STATE / "nvram.fd", io_uring=True),
    "linux_efi_tcg": replace(
        SALES_PC, accelerator=Accelerator.TCG, firmware=Firmware.EFI, nvram=STATE / "nvram.fd"
    ),
    "no_direct_io": replace(SALES_PC, direct_io=False),
    # All of its display, sound, second card and USB controller are its own: nothing behind that is hidden.
    "windows_notebook_controller_mode": replace(
        WINDOWS_PC,
        passed=("0000:00:02.0", "0000:00:1f.3", "0000:00:14.0", "0000:03:00.0"),
        suspend=Suspend.HIBERNATE,
        usb_ports=0,
    ),
    "windows_desktop_device_mode": replace(
        WINDOWS_PC, memory_bytes=16 << 30, vcpus=8, passed=("0000:01:00.0", "0000:01:00.1"), spare_ports=2
    ),
    "windows_tcg": replace(WINDOWS_PC, accelerator=Accelerator.TCG, io_uring=False),
    "windows_screen": replace(WINDOWS_PC, screen=STATE / "screen.sock", suspend=Suspend.ALLOWED),
    "windows_notebook_wifi": replace(
        WINDOWS_PC, lan=None, routed=Nic("openvras-routed", "c2:1a:2b:3c:4d:62"), spare_ports=2
    ),
    "optical_shared": replace(SALES_PC, opticals=(Optical("sr0"), Optical("sr1"))),
    "hard_to_quote": replace(SALES_PC, name=HOSTILE, disk=STATE / """a 'b' "c" <d> & e.qcow2"""),
    "two_cards_to_come": replace(SALES_PC, accelerator=Accelerator.TCG, spare_ports=2),
    "virtual_server": VIRTUAL_SERVER,
    "virtual_server_tcg": replace(
        VIRTUAL_SERVER, name=f"{HOSTILE} 2", accelerator=Accelerator.TCG, direct_io=False
    ),
}


def _xml(vm: ClientVm | ServiceVm) -> str:
    return client_vm_xml(vm) if isinstance(vm, ClientVm) else service_vm_xml(vm)


def _tree(xml: str) -> ElementTree.Element:
    return ElementTree.fromstring(xml)  # noqa: S314 - ours, or libvirt's copy of it


TAGS = [element.tag for element in _tree(client_vm_xml(SALES_PC)).iter()]
DEFINABLE = [  # a kernel without KVM is told by libvirt before anything else
    name for name, vm in SHAPES.items() if vm.accelerator is Accelerator.TCG or Path("/dev/kvm").exists()
]
shapes = pytest.mark.parametrize("shape", SHAPES)


@shapes
def test_a_definition_is_what_the_golden_file_shows(shape: str) -> None:
    assert _xml(SHAPES[shape]) == (GOLDEN / f"{shape}.xml").read_text()


@shapes
def test_a_definition_fits_libvirts_schema(shape: str) -> None:
    check = subprocess.run(
        ["virt-xml-validate", GOLDEN / f"{shape}.xml", "domain"], capture_output=True, text=True, check=False
    )

    assert check.returncode == 0, check.stderr


@shapes
def test_libvirt_reads_a_definition_as_it_was_meant(shape: str) -> None:
    vm = SHAPES[shape]
    connection = libvirt.open("test:///default")

    machine = connection.defineXMLFlags(_xml(vm), libvirt.VIR_DOMAIN_DEFINE_VALIDATE)

    read = _tree(machine.XMLDesc())
    assert machine.name() == vm.name
    assert machine.UUIDString() == str(vm.uuid)
    assert machine.maxMemory() * 1024 == vm.memory_bytes
    assert mark_of(machine.XMLDesc()) == vm.mark
    assert [disk.get("file") for disk in read.findall("devices/disk/source[@file]")] == [str(vm.disk)]
    connection.close()


@pytest.fixture
def defined(libvirtd: str) -> Iterator[Callable[[ClientVm | ServiceVm], Any]]:
    """Defines machines in a real libvirtd, for one test."""
    connection = libvirt.open(libvirtd)
    with ExitStack() as undo:
        undo.callback(connection.close)

        def define(vm: ClientVm | ServiceVm) -> Any:
            machine = connection.defineXMLFlags(_xml(vm), libvirt.VIR_DOMAIN_DEFINE_VALIDATE)
            flags = libvirt.VIR_DOMAIN_UNDEFINE_NVRAM | libvirt.VIR_DOMAIN_UNDEFINE_TPM
            undo.callback(machine.undefineFlags, flags)
            return machine

        yield define


@pytest.mark.slow
@pytest.mark.parametrize("shape", DEFINABLE)
def test_a_real_libvirtd_takes_a_definition(
    shape: str, defined: Callable[[ClientVm | ServiceVm], Any]
) -> None:
    vm = SHAPES[shape]

    read = defined(vm).XMLDesc()

    assert mark_of(read) == vm.mark
    passed = vm.passed if isinstance(vm, ClientVm) else ()
    assert [device.key for device in attached_of(read) if device.kind is Kind.PCI] == list(passed)


@pytest.mark.slow
@pytest.mark.parametrize("shape", [name for name in DEFINABLE if not getattr(SHAPES[name], "passed", ())])
def test_qemu_and_firmware_can_be_what_a_definition_says(
    shape: str, defined: Callable[[ClientVm | ServiceVm], Any]
) -> None:
    """Devices to pass through would have to exist for this."""
    vm = SHAPES[shape]
    machine = defined(vm)

    command = machine.connect().domainXMLToNative("qemu-argv", machine.XMLDesc())

    assert f"accel {vm.accelerator}" in command or f"accel={vm.accelerator}" in command


@pytest.mark.slow
@pytest.mark.parametrize(
    ("suspend", "to_memory", "to_disk"),
    [(Suspend.BLOCKED, False, False), (Suspend.HIBERNATE, False, True), (Suspend.ALLOWED, True, True)],
)
def test_what_suspend_policy_forbids_firmware_does_not_offer(
    suspend: Suspend,
    to_memory: bool,
    to_disk: bool,
    defined: Callable[[ClientVm | ServiceVm], Any],
) -> None:
    machine = defined(replace(SHAPES["windows_tcg"], suspend=suspend))

    command = machine.connect().domainXMLToNative("qemu-argv", machine.XMLDesc())

    assert ("ICH9-LPC.disable_s3=1" not in command) == to_memory
    assert ("ICH9-LPC.disable_s4=1" not in command) == to_disk


@pytest.mark.slow
@pytest.mark.parametrize("shape", ["virtual_server_tcg", "two_cards_to_come"])
def test_ports_to_plug_into_are_left_free(shape: str, defined: Callable[[ClientVm | ServiceVm], Any]) -> None:
    read = _tree(defined(SHAPES[shape]).XMLDesc())

    ports = {
        int(port.get("index", "")) for port in read.findall("devices/controller[@model='pcie-root-port']")
    }
    taken = {int(address.get("bus", ""), 16) for address in read.findall("devices/*/address[@type='pci']")}
    assert len(ports - taken) == SHAPES[shape].spare_ports


@given(st.text(), st.text())
def test_no_text_breaks_out_of_a_definition(name: str, file: str) -> None:
    vm = replace(SALES_PC, name=name, disk=STATE / f"x{file}")

    try:
        xml = client_vm_xml(vm)
    except Refused as refused:
        assert refused.code == "bad_machine_text"
        return

    read = _tree(xml)
    assert read.findtext("name") == name
    assert [source.get("file") for source in read.findall("devices/disk/source")] == [str(vm.disk)]
    assert [element.tag for element in read.iter()] == TAGS


@pytest.mark.parametrize("name", ["two\nlines", "bell\a", "nul\0", "tab\t", "half \ud800", "\uffff"])
def test_characters_that_no_xml_carries_are_refused(name: str) -> None:
    with pytest.raises(Refused) as refused:
        client_vm_xml(replace(SALES_PC, name=name))

    assert refused.value.code == "bad_machine_text"


def test_firmware_settings_and_firmware_go_together() -> None:
    with pytest.raises(Refused) as refused:
        client_vm_xml(replace(SALES_PC, firmware=Firmware.EFI))
    assert refused.value.code == "bad_machine"

    with pytest.raises(Refused) as refused:
        client_vm_xml(replace(SALES_PC, nvram=STATE / "nvram.fd"))
    assert refused.value.code == "bad_machine"


def test_secure_boot_needs_firmware_that_knows_it() -> None:
    with pytest.raises(Refused) as refused:
        client_vm_xml(replace(SALES_PC, secure_boot=True))

    assert refused.value.code == "bad_machine"


VOLUME = "0c11d2e3-44f5-4a6b-8c7d-9e0f1a2b3c4d"
VOLUME_DISK = volume_disk_xml(
    serial=serial_of(VOLUME), socket=Path("/run/vrasnode/volumes/a/nbd"), export=VOLUME
)


def test_a_volume_is_a_disk_that_a_storage_daemon_serves() -> None:
    assert (GOLDEN / "volume_disk.xml").read_text() == VOLUME_DISK
    assert serial_of(VOLUME) == "0c11d2e344f54a6b8c7d"


def test_a_virtual_server_with_a_volume_fits_libvirts_schema_and_names_it(tmp_path: Path) -> None:
    machine = _tree(service_vm_xml(VIRTUAL_SERVER))
    devices = machine.find("devices")
    assert devices is not None
    devices.append(_tree(VOLUME_DISK))
    (tmp_path / "machine.xml").write_text(ElementTree.tostring(machine, encoding="unicode"))

    check = subprocess.run(
        ["virt-xml-validate", tmp_path / "machine.xml", "domain"], capture_output=True, text=True, check=False
    )

    assert check.returncode == 0, check.stderr
    (volume,) = attached_of((tmp_path / "machine.xml").read_text())
    assert volume.handle == volume_handle("0c11d2e344f54a6b8c7d")
    assert volume.alias == volume.handle.alias == "ua-volume-0c11d2e344f54a6b8c7d"


@pytest.mark.parametrize(
    "serial", ["", "0c11d2e344f54a6b8c7", "0C11D2E344F54A6B8C7D", "../../../../etc/pass"]
)
def test_what_names_no_volume_is_no_disk(serial: str) -> None:
    with pytest.raises(Refused) as refused:
        volume_disk_xml(serial=serial, socket=Path("/run/nbd"), export=VOLUME)

    assert refused.value.code == "bad_device"


def test_a_cable_is_pulled_from_the_card_that_is_meant() -> None:
    running = service_vm_xml(VIRTUAL_SERVER)

    pulled = card_with_link(running, "B2:1A:2B:3C:4D:61", up=False)
    mended = card_with_link(running.replace("<rom", "<link state='down'/><rom"), "b2:1a:2b:3c:4d:61", up=True)

    assert pulled is not None
    assert mended is not None
    assert _tree(pulled).find("source[@network='openvras-internal']") is not None
    assert [link.get("state") for link in _tree(pulled).findall("link")] == ["down"]
    assert [link.get("state") for link in _tree(mended).findall("link")] == ["up"]
    assert card_with_link(running, "02:00:00:00:00:01", up=False) is None


def test_a_socket_that_no_kernel_can_name_is_refused() -> None:
    with pytest.raises(Refused) as refused:
        client_vm_xml(replace(SALES_PC, screen=STATE / ("x" * 100)))
    assert refused.value.code == "bad_machine"

    with pytest.raises(Refused) as refused:
        service_vm_xml(replace(VIRTUAL_SERVER, control_socket=Path("/") / ("x" * 107)))
    assert refused.value.code == "bad_machine"


def test_a_device_that_cannot_be_named_is_refused() -> None:
    with pytest.raises(Refused) as refused:
        client_vm_xml(replace(SALES_PC, passed=("03:00.0",)))

    assert refused.value.code == "bad_device"


def test_only_windows_under_kvm_is_told_of_hyperv() -> None:
    told = {shape for shape, vm in SHAPES.items() if "<hyperv" in _xml(vm)}

    windows = {shape for shape, vm in SHAPES.items() if getattr(vm, "profile", None) is Profile.WINDOWS}
    assert told == {shape for shape in windows if SHAPES[shape].accelerator is Accelerator.KVM}
    assert told


def test_no_network_and_no_device_of_the_pc_is_granted() -> None:
    devices = _tree(client_vm_xml(SALES_PC)).find("devices")

    assert devices is not None
    ours = {"disk", "serial", "channel", "memballoon", "rng", "controller", "video"}
    assert {device.tag for device in devices} == ours
    assert len(devices.findall("disk")) == 1
    assert devices.find("video/model[@type='none']") is not None


@pytest.mark.parametrize(
    "xml", ["", "<domain/>", "<m:machine xmlns:m='urn:openvras:machine:1' manifest='ab'/>"]
)
def test_a_machine_without_a_readable_mark_has_none(xml: str) -> None:
    assert mark_of(xml) is None
