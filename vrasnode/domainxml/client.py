"""The client VM: the user's desktop machine, which owns what the plan grants it."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from uuid import UUID
from xml.etree.ElementTree import Element

from vrasnode.domainxml.devices import Optical, PciPassed, device_element
from vrasnode.domainxml.parts import (
    Accelerator,
    Firmware,
    Mark,
    Nic,
    console,
    cpu,
    mark_element,
    nics,
    paravirtual,
    pcie_ports,
    socket_path,
)
from vrasnode.domainxml.tree import element, to_text
from vrasnode.errors import Refused
from vrasnode.wire.devices import Suspend

AGENT_CHANNEL = "org.qemu.guest_agent.0"
USB_PORTS = 15  # the most that QEMU's xHCI has
SPINLOCK_RETRIES = "8191"  # what Microsoft recommends to hypervisors (TLFS, HvNotifyLongSpinWait)


class Profile(StrEnum):
    """What kind of system the machine is shaped for."""

    LINUX = "linux"
    WINDOWS = "windows"


@dataclass(frozen=True, kw_only=True)
class ClientVm:
    """One client VM. Paths are absolute; `nvram` keeps the settings of EFI firmware and is None with BIOS.

    `direct_io` says whether the file system of `disk` takes O_DIRECT, `io_uring` whether kernel and QEMU have
    that; `host` finds out both. `tpm`: a TPM 2.0 whose state belongs to `uuid`, so the PC's uuid is made once
    and no image carries it. `secure_boot` needs EFI; Microsoft's keys are enrolled then. `passed` are PCI
    addresses. `screen` is the VNC socket of a plain VGA, for an administrator at the PC; None is no virtual
    display at all, as it has to be with a real one passed through. `usb_ports` are those of the virtual USB
    controller (0: none), `spare_ports` the PCIe ports left to plug into.
    """

    name: str
    uuid: UUID
    memory_bytes: int
    vcpus: int
    accelerator: Accelerator
    firmware: Firmware
    disk: Path
    console_log: Path
    mark: Mark
    nvram: Path | None = None
    direct_io: bool = True
    io_uring: bool = False
    profile: Profile = Profile.LINUX
    tpm: bool = False
    secure_boot: bool = False
    suspend: Suspend = Suspend.BLOCKED
    passed: tuple[str, ...] = ()
    opticals: tuple[Optical, ...] = ()
    lan: Nic | None = None
    internal: Nic | None = None
    routed: Nic | None = None
    screen: Path | None = None
    usb_ports: int = USB_PORTS
    spare_ports: int = 0


def client_vm_xml(vm: ClientVm) -> str:
    """The domain XML of a client VM that boots from its disk through firmware.

    Raises Refused: bad_machine_text when a name or path holds characters that no XML can carry; bad_machine
    when EFI firmware has no place for its settings, or BIOS has one or is to boot securely; bad_device.
    """
    _check(vm)
    domain = element(
        "domain",
        element("name", text=vm.name),
        element("uuid", text=str(vm.uuid)),
        element("metadata", mark_element(vm.mark)),
        element("memory", text=str(vm.memory_bytes), unit="b"),
        element("vcpu", text=str(vm.vcpus)),
        element("iothreads", text="1"),
        _firmware(vm),
        _features(vm),
        _cpu(vm),
        _clock(vm),
        element("on_poweroff", text="destroy"),
        element("on_reboot", text="restart"),
        element("on_crash", text="destroy"),
        _power_management(vm.suspend),
        _devices(vm),
        type=vm.accelerator.domain_type,
    )
    return to_text(domain)


def _check(vm: ClientVm) -> None:
    if (vm.nvram is not None) != (vm.firmware is Firmware.EFI):
        raise Refused("bad_machine", f"{vm.name}: EFI firmware needs an nvram file, and BIOS takes none.")
    if vm.secure_boot and vm.firmware is not Firmware.EFI:
        raise Refused("bad_machine", f"{vm.name}: Secure Boot needs EFI firmware.")


def _firmware(vm: ClientVm) -> Element:
    """The machine boots what its disk holds; which firmware file this means is libvirt's choice."""
    machine = element("type", text="hvm", arch="x86_64", machine="q35")
    if vm.nvram is None:
        return element("os", machine)
    secure = "yes" if vm.secure_boot else "no"
    return element(
        "os",
        machine,
        element(
            "firmware",
            element("feature", enabled=secure, name="secure-boot"),
            *([element("feature", enabled="yes", name="enrolled-keys")] if vm.secure_boot else []),
        ),
        element("nvram", text=str(vm.nvram)),
        firmware="efi",
    )


def _features(vm: ClientVm) -> Element:
    """System Management Mode guards the variables of Secure Boot from the guest's kernel."""
    windows_on_kvm = vm.profile is Profile.WINDOWS and vm.accelerator is Accelerator.KVM
    return element(
        "features",
        element("acpi"),
        element("apic"),
        *([_hyperv()] if windows_on_kvm else []),
        *([element("smm", state="on")] if vm.secure_boot else []),
    )


def _hyperv() -> Element:
    """What Windows does better for knowing that it is a guest. KVM offers all of it, TCG none."""
    return element(
        "hyperv",
        element("relaxed", state="on"),
        element("vapic", state="on"),
        element("spinlocks", state="on", retries=SPINLOCK_RETRIES),
        element("vpindex", state="on"),
        element("runtime", state="on"),
        element("synic", state="on"),
        element("stimer", element("direct", state="on"), state="on"),
        element("reset", state="on"),
        element("frequencies", state="on"),
        element("tlbflush", state="on"),
        element("ipi", state="on"),
        mode="custom",
    )


def _cpu(vm: ClientVm) -> Element:
    """One socket for Windows: its desktop editions use one or two, however many there are."""
    if vm.profile is not Profile.WINDOWS:
        return cpu(vm.accelerator)
    topology = element("topology", sockets="1", dies="1", cores=str(vm.vcpus), threads="1")
    return cpu(vm.accelerator, topology)


def _clock(vm: ClientVm) -> Element:
    """Windows takes the clock for local time: that of the control base's time zone."""
    if vm.profile is not Profile.WINDOWS:
        return element("clock", offset="utc")
    hyperv = vm.accelerator is Accelerator.KVM
    return element(
        "clock",
        element("timer", name="rtc", tickpolicy="catchup"),
        element("timer", name="pit", tickpolicy="delay"),
        element("timer", name="hpet", present="no"),
        *([element("timer", name="hypervclock", present="yes")] if hyperv else []),
        offset="localtime",
    )


def _power_management(suspend: Suspend) -> Element:
    """What firmware does not offer the guest: a passed-through device seldom survives S3 of the machine.

    What is allowed is left unsaid, for that is QEMU's way, and no OVMF claims to know S4: libvirt would find
    no firmware for a machine that insists on it.
    """
    forbidden = {
        Suspend.BLOCKED: ("suspend-to-mem", "suspend-to-disk"),
        Suspend.HIBERNATE: ("suspend-to-mem",),
        Suspend.ALLOWED: (),
    }
    return element("pm", *(element(way, enabled="no") for way in forbidden[suspend]))


def _devices(vm: ClientVm) -> Element:
    devices = [
        _disk(vm),
        *(device_element(optical) for optical in vm.opticals),
        _usb_controller(vm.usb_ports),
        element("controller", type="scsi", index="0", model="virtio-scsi"),
        *nics(lan=vm.lan, internal=vm.internal, routed=vm.routed),
        console(vm.console_log),
        element("channel", element("target", type="virtio", name=AGENT_CHANNEL), type="unix"),
        *_tpm(vm),
        *_screen(vm),
        *(device_element(PciPassed(address)) for address in vm.passed),
        *paravirtual(),
    ]
    return element("devices", *pcie_ports(devices, spare=vm.spare_ports), *devices)


def _disk(vm: ClientVm) -> Element:
    # Flushes of the guest reach the disk in both cache modes, so a power cut loses only what the guest
    # knows to be unsafe. `none` also keeps the host from caching a second time what the guest caches.
    # Never native AIO: an overlay grows, and it blocks the whole machine while the file system allocates.
    # io_uring does not; threads are for kernels without it. A thread of its own keeps the disk from
    # waiting for what else QEMU does.
    return element(
        "disk",
        element(
            "driver",
            name="qemu",
            type="qcow2",
            cache="none" if vm.direct_io else "writeback",
            io="io_uring" if vm.io_uring else "threads",
            iothread="1",
            discard="unmap",
        ),
        element("source", file=str(vm.disk)),
        element("target", dev="vda", bus="virtio"),
        element("boot", order="1"),
        type="file",
        device="disk",
    )


def _usb_controller(ports: int) -> Element:
    if not ports:
        return element("controller", type="usb", model="none")
    return element("controller", type="usb", index="0", model="qemu-xhci", ports=str(ports))


def _tpm(vm: ClientVm) -> Iterator[Element]:
    """libvirt keeps its state by the machine's uuid; "persistent": also when the definition is removed."""
    if vm.tpm:
        backend = element("backend", type="emulator", version="2.0", persistent_state="yes")
        yield element("tpm", backend, model="tpm-crb")


def _screen(vm: ClientVm) -> Iterator[Element]:
    if vm.screen is None:
        yield element("video", element("model", type="none"))
        return
    yield element("graphics", element("listen", type="socket", socket=socket_path(vm.screen)), type="vnc")
    yield element("video", element("model", type="vga"))
