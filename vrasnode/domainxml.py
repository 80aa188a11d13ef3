"""What a machine of this PC looks like to libvirt: one pure function from a spec to domain XML.

It decides nothing and reads nothing: sizes, firmware, accelerator and paths are given, and the functions
read like the XML that they make (https://libvirt.org/formatdomain.html). Text goes in as text: the tree is
built, never pasted together, so no name or path can break out of its element. What a running machine *is*
(manifest and serial) is written into its metadata, so an agent that comes back can ask libvirt for it.

Not here: network and passed-through devices (nothing is granted yet, so nothing is there), and every act
(`hypervisor`).
"""

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from uuid import UUID
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from vrasnode.errors import Refused

NAMESPACE = "urn:openvras:machine:1"
AGENT_CHANNEL = "org.qemu.guest_agent.0"

ElementTree.register_namespace("openvras", NAMESPACE)


class Accelerator(StrEnum):
    """What runs the guest's instructions."""

    KVM = "kvm"
    TCG = "tcg"


class Firmware(StrEnum):
    BIOS = "bios"
    EFI = "efi"


@dataclass(frozen=True)
class Mark:
    """What a machine runs: the digest (hex) of the manifest and the serial of the assignment that said so."""

    manifest: str
    serial: int


@dataclass(frozen=True, kw_only=True)
class ClientVm:
    """One client VM. Paths are absolute; `nvram` keeps the settings of EFI firmware and is None with BIOS.

    `direct_io` says whether the file system of `disk` takes O_DIRECT; `host.takes_direct_io` finds out.
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


def client_vm_xml(vm: ClientVm) -> str:
    """The domain XML of a client VM that boots from its disk through firmware.

    Raises Refused(bad_machine_text) when a name or path holds characters that no XML can carry, and
    Refused(bad_machine) when EFI firmware has no place for its settings, or BIOS has one.
    """
    if (vm.nvram is not None) != (vm.firmware is Firmware.EFI):
        raise Refused("bad_machine", f"{vm.name}: EFI firmware needs an nvram file, and BIOS takes none.")
    domain = _element(
        "domain",
        _element("name", text=vm.name),
        _element("uuid", text=str(vm.uuid)),
        _element("metadata", _mark(vm.mark)),
        _element("memory", text=str(vm.memory_bytes), unit="b"),
        _element("vcpu", text=str(vm.vcpus)),
        _firmware(vm),
        _element("features", _element("acpi"), _element("apic")),
        _cpu(vm.accelerator),
        _element("clock", offset="utc"),
        _element("on_poweroff", text="destroy"),
        _element("on_reboot", text="restart"),
        _element("on_crash", text="destroy"),
        _devices(vm),
        type="kvm" if vm.accelerator is Accelerator.KVM else "qemu",
    )
    ElementTree.indent(domain)
    return ElementTree.tostring(domain, encoding="unicode") + "\n"


def mark_of(domain: str) -> Mark | None:
    """The mark in a domain's XML as libvirt gives it back.

    None when there is none that we can read: the machine is then not one of ours, or of a later agent.
    """
    try:
        root = ElementTree.fromstring(domain)  # noqa: S314 - it comes from libvirt, which parsed it
    except ElementTree.ParseError:
        return None
    found = next(root.iter(f"{{{NAMESPACE}}}machine"), None)
    if found is None or "manifest" not in found.attrib or not found.get("serial", "").isdecimal():
        return None
    return Mark(manifest=found.attrib["manifest"], serial=int(found.attrib["serial"]))


def _mark(mark: Mark) -> Element:
    return _element(f"{{{NAMESPACE}}}machine", manifest=mark.manifest, serial=str(mark.serial))


def _firmware(vm: ClientVm) -> Element:
    """The machine boots what its disk holds; which firmware file this means is libvirt's choice."""
    machine = _element("type", text="hvm", arch="x86_64", machine="q35")
    if vm.nvram is None:
        return _element("os", machine)
    secure_boot = _element("feature", enabled="no", name="secure-boot")
    return _element(
        "os",
        machine,
        _element("firmware", secure_boot),
        _element("nvram", text=str(vm.nvram)),
        firmware="efi",
    )


def _cpu(accelerator: Accelerator) -> Element:
    if accelerator is Accelerator.KVM:
        return _element("cpu", mode="host-passthrough", check="none", migratable="off")
    return _element("cpu", mode="maximum", check="none")


def _devices(vm: ClientVm) -> Element:
    return _element("devices", *_disk_and_logs(vm), *_paravirtual())


def _disk_and_logs(vm: ClientVm) -> Iterator[Element]:
    # Flushes of the guest reach the disk in both cache modes, so a power cut loses only what the guest
    # knows to be unsafe. `none` also keeps the host from caching a second time what the guest caches.
    # Threads: an overlay grows, and native AIO blocks the whole machine while the file system allocates.
    yield _element(
        "disk",
        _element(
            "driver",
            name="qemu",
            type="qcow2",
            cache="none" if vm.direct_io else "writeback",
            io="threads",
            discard="unmap",
        ),
        _element("source", file=str(vm.disk)),
        _element("target", dev="vda", bus="virtio"),
        _element("boot", order="1"),
        type="file",
        device="disk",
    )
    yield _element("serial", _element("source", path=str(vm.console_log), append="off"), type="file")


def _paravirtual() -> Iterator[Element]:
    yield _element("channel", _element("target", type="virtio", name=AGENT_CHANNEL), type="unix")
    yield _element("memballoon", model="none")  # the user's memory is the user's
    yield _element("rng", _element("backend", text="/dev/urandom", model="random"), model="virtio")


def _element(tag: str, *children: Element, text: str | None = None, **attributes: str) -> Element:
    for value in (text or "", *attributes.values()):
        _check(value)
    element = Element(tag, attributes)
    element.text = text
    element.extend(children)
    return element


def _check(text: str) -> None:
    """XML 1.0 §2.2 cannot carry most control characters, and a line break in a name is never meant."""
    for character in text:
        if unicodedata.category(character) in {"Cc", "Cs"} or character in "\ufffe\uffff":
            raise Refused(
                "bad_machine_text", f"{text!r} cannot be part of a machine's definition; rename it."
            )
