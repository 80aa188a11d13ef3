"""What both machines of a PC are made of: the words of their specs, and the elements that they share."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from xml.etree.ElementTree import Element

from vrasnode.domainxml.tree import NAMESPACE, element
from vrasnode.errors import Refused

SOCKET_PATH_BYTES = 107  # unix(7)


class Accelerator(StrEnum):
    """What runs the guest's instructions."""

    KVM = "kvm"
    TCG = "tcg"

    @property
    def domain_type(self) -> str:
        return "kvm" if self is Accelerator.KVM else "qemu"


class Firmware(StrEnum):
    BIOS = "bios"
    EFI = "efi"


@dataclass(frozen=True)
class Mark:
    """What a machine runs: the digest (hex) of the manifest and the serial of the assignment that said so."""

    manifest: str
    serial: int


@dataclass(frozen=True)
class Nic:
    """One network card, paravirtual. `network`: a bridge of the control base for the LAN, or the name of a
    libvirt network for the one inside the PC and the routed one."""

    network: str
    mac: str


def mark_element(mark: Mark, *, favoured: bool = False) -> Element:
    """`favoured`: the machine is to have more of the CPU than others when there is not enough. Said here and
    not in <cputune>, for what is usual differs between the kernel's control groups, and some libvirtds have
    none and refuse a machine that asks for it."""
    return element(
        f"{{{NAMESPACE}}}machine",
        manifest=mark.manifest,
        serial=str(mark.serial),
        **({"favoured": "yes"} if favoured else {}),
    )


def cpu(accelerator: Accelerator, *children: Element) -> Element:
    if accelerator is Accelerator.KVM:
        return element("cpu", *children, mode="host-passthrough", check="none", migratable="off")
    return element("cpu", *children, mode="maximum", check="none")


def nics(*, lan: Nic | None, internal: Nic | None, routed: Nic | None = None) -> Iterator[Element]:
    """Without boot ROMs: no machine of ours starts from the network. The cable of the routed one is out until
    there is somewhere to go: with it in, a guest would try that way first as likely as not."""
    for kind, nic in (("bridge", lan), ("network", internal), ("network", routed)):
        if nic is not None:
            yield element(
                "interface",
                element("mac", address=nic.mac),
                element("source", **{kind: nic.network}),
                element("model", type="virtio"),
                *([element("link", state="down")] if nic is routed else []),
                element("rom", enabled="no"),
                type=kind,
            )


def pcie_ports(devices: list[Element], *, spare: int) -> Iterator[Element]:
    """The PCIe root complex with a port for each of `devices` that needs one, and `spare` to plug into.

    With none to spare they are left to libvirt, which makes as many as there are devices.
    """
    if spare:
        yield element("controller", type="pci", index="0", model="pcie-root")
        for index in range(1, 1 + spare + _ports_needed(devices)):
            yield element("controller", type="pci", index=str(index), model="pcie-root-port")


def _ports_needed(devices: list[Element]) -> int:
    virtio_serial = any(device.tag == "channel" for device in devices)
    return virtio_serial + sum(map(_needs_port, devices))


def _needs_port(device: Element) -> bool:
    if device.tag == "disk":
        target = device.find("target")
        return target is not None and target.get("bus") == "virtio"
    if device.tag == "controller":
        return device.get("type") in {"usb", "scsi"} and device.get("model") != "none"
    return device.tag in {"interface", "rng"} or (device.tag, device.get("type")) == ("hostdev", "pci")


def console(log: Path) -> Element:
    return element("serial", element("source", path=str(log), append="off"), type="file")


def paravirtual() -> Iterator[Element]:
    yield element("memballoon", model="none")  # the user's memory is the user's
    yield element("rng", element("backend", text="/dev/urandom", model="random"), model="virtio")


def socket_path(path: Path) -> str:
    """Raises Refused(bad_machine) when no unix socket can have that name."""
    if len(str(path).encode()) > SOCKET_PATH_BYTES:
        words = f"{path} is too long for a socket; choose a state directory with a shorter path."
        raise Refused("bad_machine", words)
    return str(path)
