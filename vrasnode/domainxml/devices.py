"""Devices of the PC that a machine may have: passed through, or as virtual ones over what the host reads.

Each carries an alias of ours ("ua-usb-1-2_3--7") that says which device of the PC it is. libvirt keeps it as
long as the machine runs, so an agent that comes back recognises what hangs there, and what it never attached.
"""

import hashlib
import re
import string
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from xml.etree.ElementTree import Element

from vrasnode.domainxml.tree import element, to_text
from vrasnode.errors import Refused

SERIAL_CHARACTERS = set(string.ascii_letters + string.digits + "-_ ")  # that libvirt hands on to QEMU
SERIAL_LENGTH = 36

_PCI = re.compile(r"([0-9a-f]{4}):([0-9a-f]{2}):([01][0-9a-f])\.([0-7])")
_USB_ID = re.compile(r"[0-9a-f]{4}")
_USB_PORT = re.compile(r"[1-9][0-9]*-[1-9][0-9]*(\.[1-9][0-9]*)*")
_NODE = re.compile(r"[a-z][a-z0-9]*")
_ALIAS = re.compile(r"ua-(pci|usb|storage|optical|volume)-([a-z0-9_-]+?)(?:--([a-z0-9-]+))?")


class Kind(StrEnum):
    """How a machine came to a device."""

    PCI = "pci"  # a function passed through
    USB = "usb"  # one USB device passed through
    STORAGE = "storage"  # a virtual USB stick over a block device of the host
    OPTICAL = "optical"  # a virtual SCSI drive over an optical drive of the host
    VOLUME = "volume"  # user data: no device of the PC, but plugged in like one (`volumes`)
    OTHER = "other"  # nothing that we attach


@dataclass(frozen=True)
class Handle:
    """Names one device on a machine: `key` is its PCI address, USB port or optical node (as in a plan).

    `part` tells this plug of a USB device from the next by its number on the bus, for the same stick pulled
    and put in again is another one to libvirt and QEMU; and which of its block devices it is.
    """

    kind: Kind
    key: str
    part: str = ""

    @property
    def alias(self) -> str:
        """The name that libvirt and QEMU know it by (letters, digits, "-" and "_" alone are allowed)."""
        key = self.key.replace(":", "_") if self.kind is Kind.PCI else self.key
        return f"ua-{self.kind}-{key.replace('.', '_')}{f'--{self.part}' if self.part else ''}"


@dataclass(frozen=True)
class PciPassed:
    """One PCI function: libvirt takes it from its driver at the start and gives it back at the end."""

    address: str  # "0000:03:00.0"

    @property
    def handle(self) -> Handle:
        return Handle(Kind.PCI, self.address)


@dataclass(frozen=True)
class UsbPassed:
    """One USB device. Both its ids and its place have to match, so what was plugged into that place in the
    meantime is not attached instead."""

    vendor: str  # four hex digits, like product
    product: str
    bus: int
    device: int  # its number on the bus; another one after each plug
    port: str  # "1-2.3"

    @property
    def handle(self) -> Handle:
        return Handle(Kind.USB, self.port, str(self.device))


@dataclass(frozen=True)
class UsbStorage:
    """A block device of the host as a removable USB disk of the machine."""

    port: str  # where the real one is plugged
    node: str  # "sdb"
    read_only: bool = True
    serial: str = ""
    device: int = 0  # the real one's number on its bus; 0: this plug is not told from the next

    @property
    def handle(self) -> Handle:
        return Handle(Kind.STORAGE, self.port, f"{self.device}-{self.node}")


@dataclass(frozen=True)
class Optical:
    """An optical drive of the host as a virtual SCSI one: for reading. `node` "sr0"."""

    node: str

    @property
    def handle(self) -> Handle:
        return Handle(Kind.OPTICAL, self.node)


Device = PciPassed | UsbPassed | UsbStorage | Optical


def device_xml(device: Device) -> str:
    """The XML to attach `device` to a machine. Raises Refused(bad_device) for what cannot name one."""
    return to_text(device_element(device))


def device_element(device: Device) -> Element:
    """Raises Refused(bad_device)."""
    match device:
        case PciPassed():
            return _pci(device)
        case UsbPassed():
            return _usb(device)
        case UsbStorage():
            return _storage(device)
        case Optical():
            return _optical(device)


def handle_of(device: Device | str) -> Handle | None:
    """The handle of a device; of an alias too: None when it is none of ours."""
    if not isinstance(device, str):
        return device.handle
    found = _ALIAS.fullmatch(device)
    if found is None:
        return None
    kind, key, part = Kind(found[1]), found[2], found[3] or ""
    if kind is Kind.PCI:
        key = ":".join(key.split("_", 2)).replace("_", ".")
    return Handle(kind, key.replace("_", "."), part)


def pci_source(address: str) -> dict[str, str]:
    """A PCI address as libvirt writes it. Raises Refused(bad_device)."""
    domain, bus, slot, function = _match(_PCI, address, "PCI address").groups()
    return {"domain": f"0x{domain}", "bus": f"0x{bus}", "slot": f"0x{slot}", "function": f"0x{function}"}


def _pci(device: PciPassed) -> Element:
    return element(
        "hostdev",
        element("source", element("address", **pci_source(device.address))),
        element("alias", name=device.handle.alias),
        mode="subsystem",
        type="pci",
        managed="yes",
    )


def _usb(device: UsbPassed) -> Element:
    for digits in (device.vendor, device.product):
        _match(_USB_ID, digits, "USB id")
    _match(_USB_PORT, device.port, "USB port")
    return element(
        "hostdev",
        element(
            "source",
            element("vendor", id=f"0x{device.vendor}"),
            element("product", id=f"0x{device.product}"),
            element("address", bus=str(device.bus), device=str(device.device)),
        ),
        element("alias", name=device.handle.alias),
        mode="subsystem",
        type="usb",
        managed="yes",
    )


def _storage(device: UsbStorage) -> Element:
    _match(_USB_PORT, device.port, "USB port")
    serial = "".join(letter if letter in SERIAL_CHARACTERS else "_" for letter in device.serial)
    return element(
        "disk",
        element("driver", name="qemu", type="raw", cache="none", io="threads"),
        element("source", dev=_node(device.node)),
        element("target", dev=_target(device.handle), bus="usb", removable="on"),
        *([element("readonly")] if device.read_only else []),
        *([element("serial", text=serial[:SERIAL_LENGTH])] if serial.strip() else []),
        element("alias", name=device.handle.alias),
        type="block",
        device="disk",
    )


def _optical(device: Optical) -> Element:
    unit = int.from_bytes(_digest(device.handle)[4:5])  # one of 256, so that no two drives meet
    return element(
        "disk",
        element("driver", name="qemu", type="raw"),
        element("source", dev=_node(device.node), startupPolicy="optional"),
        element("target", dev=_target(device.handle), bus="scsi"),
        element("readonly"),
        element("alias", name=device.handle.alias),
        element("address", type="drive", controller="0", bus="0", target="0", unit=str(unit)),
        type="block",
        device="cdrom",
    )


def _node(node: str) -> str:
    return str(Path("/dev") / _match(_NODE, node, "block device").group())


def _target(handle: Handle) -> str:
    """A name that no other disk of the machine has. libvirt wants one, the guest never sees it."""
    return "sd" + "".join(chr(ord("a") + byte % 26) for byte in _digest(handle)[:4])


def _digest(handle: Handle) -> bytes:
    return hashlib.sha256(handle.alias.encode()).digest()


def _match(pattern: re.Pattern[str], text: str, what: str) -> re.Match[str]:
    found = pattern.fullmatch(text)
    if found is None:
        raise Refused("bad_device", f"{text!r} is no {what}.")
    return found
