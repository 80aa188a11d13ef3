"""The devices of this PC, read from sysfs: PCI functions, USB devices, optical drives.

What is there, and what the control base itself needs of it (`needs`); not what may become of it
(`devicepolicy`, `devicepolicy.planning`). A device that is malformed, or pulled while it is read, is absent.
"""

from collections.abc import Collection, Iterator
from pathlib import Path

from vrasnode.host import kerneltree
from vrasnode.host import needs as hostneeds
from vrasnode.host.deviceids import PCI_IDS, USB_IDS, name_of
from vrasnode.host.kerneltree import PCI_ADDRESS, USB_PORT
from vrasnode.host.needs import Needs
from vrasnode.wire.devices import DeviceFacts, OpticalDrive, PciDevice, UsbDevice

SYSFS, PROC = Path("/sys"), Path("/proc")

_HUB = "09"
_INTERFACE_DESCRIPTOR = 4  # USB 2.0 table 9-5
_OPTICAL_TYPE = 5  # SCSI peripheral device type (SPC-5): CD, DVD, Blu-ray
_NO_HARDWARE = ("ram", "zram", "dm-", "md", "loop", "nbd")


def devices(
    *, sysfs: Path = SYSFS, proc: Path = PROC, state_dir: Path, lan: Collection[str] = ()
) -> DeviceFacts:
    """All devices of this PC. `lan` names network interfaces that are the LAN even with their cable out."""
    needs = hostneeds.find(sysfs=sysfs, proc=proc, state_dir=state_dir, lan=lan)
    addresses = kerneltree.names(sysfs / "bus" / "pci" / "devices")
    functions = (_pci(sysfs, address, needs) for address in addresses)
    return DeviceFacts(
        pci=[function for function in functions if function],
        usb=_usb(sysfs, needs),
        optical=_optical(sysfs),
    )


def usb_devices(
    *, sysfs: Path = SYSFS, proc: Path = PROC, state_dir: Path, lan: Collection[str] = ()
) -> list[UsbDevice]:
    """The USB devices alone, in a few milliseconds: what changes while a PC runs."""
    return _usb(sysfs, hostneeds.find(sysfs=sysfs, proc=proc, state_dir=state_dir, lan=lan))


def _pci(sysfs: Path, address: str, needs: Needs) -> PciDevice | None:
    if not PCI_ADDRESS.fullmatch(address):
        return None
    place = sysfs / "bus" / "pci" / "devices" / address
    codes = [kerneltree.number(place / name, 16) for name in ("class", "vendor", "device")]
    if None in codes:  # not there, or just pulled
        return None
    device_class, vendor, product = (
        f"{code:0{width}x}" for code, width in zip(codes, (6, 4, 4), strict=True)
    )
    group = kerneltree.link_name(place / "iommu_group") or ""
    return PciDevice(
        address=address,
        device_class=device_class,
        vendor=vendor,
        product=product,
        name=name_of(PCI_IDS, vendor, product),
        driver=kerneltree.link_name(place / "driver"),
        iommu_group=int(group) if group.isdecimal() else None,
        resets=(kerneltree.text(place / "reset_method") or "").split(),
        needed_for=needs.of_pci(address),
        boot_display=kerneltree.text(place / "boot_vga") == "1",
    )


def _usb(sysfs: Path, needs: Needs) -> list[UsbDevice]:
    root = sysfs / "bus" / "usb" / "devices"
    disks = _usb_disks(sysfs)
    ports = (port for port in kerneltree.names(root) if USB_PORT.fullmatch(port))
    found = (_usb_device(root / port, port, needs, disks.get(port, [])) for port in ports)
    return [device for device in found if device]


def _usb_device(link: Path, port: str, needs: Needs, disks: list[str]) -> UsbDevice | None:
    place = kerneltree.real(link)
    if place is None:
        return None
    vendor, product = (kerneltree.number(place / name, 16) for name in ("idVendor", "idProduct"))
    number = kerneltree.number(place / "devnum")
    if vendor is None or product is None or number is None:
        return None
    interfaces = list(dict.fromkeys([*_declared(place / "descriptors"), *_bound(place, port)]))
    name = " ".join(filter(None, (kerneltree.said(place / file) for file in ("manufacturer", "product"))))
    ids = f"{vendor:04x}", f"{product:04x}"
    return UsbDevice(
        port=port,
        number=number,
        controller=next(reversed(kerneltree.pci_ancestors(place)), ""),
        vendor=ids[0],
        product=ids[1],
        serial=kerneltree.said(place / "serial") or None,
        interfaces=interfaces,
        name=kerneltree.clean(name) or name_of(USB_IDS, *ids),
        hub=_HUB in {kerneltree.text(place / "bDeviceClass"), *(each[:2] for each in interfaces)},
        disks=disks,
        needed_for=needs.of_usb(port),
    )


def _declared(descriptors: Path) -> Iterator[str]:
    """The interfaces of every configuration and alternate setting, not of the chosen ones alone: whoever has
    the device may choose others. The file holds the device's descriptors as they are (USB 2.0 §9.6)."""
    data = kerneltree.read(descriptors) or b""
    start = 0
    while start + 2 <= len(data) and data[start] >= 2:
        length, kind = data[start], data[start + 1]
        if kind == _INTERFACE_DESCRIPTOR and length >= 9 and start + 8 <= len(data):
            yield "{:02x}:{:02x}:{:02x}".format(*data[start + 5 : start + 8])
        start += length


def _bound(place: Path, port: str) -> Iterator[str]:
    """The interfaces that the kernel made of the chosen configuration."""
    for name in kerneltree.names(place):
        if name.startswith(f"{port}:"):
            files = ("bInterfaceClass", "bInterfaceSubClass", "bInterfaceProtocol")
            codes = [kerneltree.number(place / name / file, 16) for file in files]
            if None not in codes:
                yield ":".join(f"{code:02x}" for code in codes)


def _usb_disks(sysfs: Path) -> dict[str, list[str]]:
    """Which disks hang on which USB port: no partitions, no optical drives."""
    root = sysfs / "class" / "block"
    disks: dict[str, list[str]] = {}
    for name in kerneltree.names(root):
        place = None if name.startswith(_NO_HARDWARE) else kerneltree.real(root / name)
        if place is None or (place / "partition").exists() or _is_optical(place):
            continue
        if port := kerneltree.usb_ancestor(place):
            disks.setdefault(port, []).append(name)
    return disks


def _optical(sysfs: Path) -> list[OpticalDrive]:
    root = sysfs / "class" / "block"
    found = []
    for name in kerneltree.names(root):
        place = None if name.startswith(_NO_HARDWARE) else kerneltree.real(root / name)
        if place and _is_optical(place):
            words = " ".join(kerneltree.said(place / "device" / file) for file in ("vendor", "model"))
            port = kerneltree.usb_ancestor(place) or next(reversed(kerneltree.pci_ancestors(place)), "")
            found.append(OpticalDrive(node=name, name=kerneltree.clean(words), port=port))
    return found


def _is_optical(place: Path) -> bool:
    return kerneltree.number(place / "device" / "type") == _OPTICAL_TYPE
