"""The devices of simulated PCs: two plausible ones, a desktop and a notebook, told apart by serial numbers.

Vendor and product ids are those of real parts (pci.ids, usb.ids) so that names and policies look as they
would; which groups and resets such parts have differs from board to board, and is made up here.
"""

from random import Random
from typing import Any

import vrasnode
from vrasnode.simulation.settings import Model
from vrasnode.wire.clients import HostFacts, Platform
from vrasnode.wire.devices import DeviceFacts, Need, OpticalDrive, PciDevice, UsbDevice

ACCELERATOR = "kvm"
_DISK_BYTES = 512 * 10**9
_STORAGE = "08:06:50"  # SCSI commands over bulk only transport
_KEYBOARD, _MOUSE = "03:01:01", "03:01:02"


def facts_of(name: str, *, model: Model, seed: int) -> HostFacts:
    """What the simulated PC `name` says of itself; always the same."""
    chance = Random(f"{seed}/{name}/hardware")  # noqa: S311 - not a secret
    drawn = chance.choice([Model.DESKTOP, Model.DESKTOP, Model.NOTEBOOK])
    found = drawn if model is Model.ANY else model
    notebook = found is Model.NOTEBOOK
    return HostFacts(
        hostname=name,
        agent_version=vrasnode.__version__,
        os="none (simulated PC)",
        cpus=chance.choice([8, 12, 16]),
        memory_bytes=chance.choice([16, 32]) << 30,
        state_disk_bytes=_DISK_BYTES,
        state_disk_free_bytes=chance.randrange(_DISK_BYTES // 3, _DISK_BYTES),
        accelerator=ACCELERATOR,
        reflink=False,
        simulated=True,
        platform=Platform(
            model=f"Simulated {found}",
            notebook=notebook,
            iommu="amdvi" if notebook else "vtd",
            tpm="2.0",
            secure_boot=True,
            encrypted_state=True,
        ),
        devices=_notebook(chance) if notebook else _desktop(chance),
    )


def _desktop(chance: Random) -> DeviceFacts:
    return DeviceFacts(
        pci=[
            _pci("0000:00:00.0", "060000", "8086:4660", "12th Gen Core Processor Host Bridge", group=0),
            _pci("0000:00:14.0", "0c0330", "8086:7ae0", "Alder Lake-S PCH USB 3.2 Gen 2x2 XHCI Controller",
                 driver="xhci_hcd", group=3, resets=["pm"]),
            _pci("0000:00:17.0", "010601", "8086:7ae2", "Alder Lake-S PCH SATA Controller [AHCI Mode]",
                 driver="ahci", group=5),
            _pci("0000:00:1f.0", "060100", "8086:7a84", "Z690 Chipset LPC/eSPI Controller", group=9),
            _pci("0000:00:1f.3", "040300", "8086:7ad0", "Alder Lake-S HD Audio Controller",
                 driver="snd_hda_intel", group=9),
            _pci("0000:00:1f.4", "0c0500", "8086:7aa3", "Alder Lake-S PCH SMBus Controller", group=9),
            _pci("0000:01:00.0", "030000", "10de:1f82", "TU117 [GeForce GTX 1650]", group=11,
                 resets=["bus"], boot_display=True),
            _pci("0000:01:00.1", "040300", "10de:10fa", "TU116 High Definition Audio Controller",
                 driver="snd_hda_intel", group=11, resets=["bus"]),
            _pci("0000:02:00.0", "010802", "144d:a80a", "NVMe SSD Controller PM9A1/PM9A3/980PRO",
                 driver="nvme", group=12, resets=["flr", "bus"], needed_for=[Need.DISK]),
            _pci("0000:03:00.0", "020000", "8086:15f3", "Ethernet Controller I225-V",
                 driver="igc", group=13, resets=["flr", "bus"], needed_for=[Need.LAN]),
            _pci("0000:04:00.0", "0c0330", "1b21:2142", "ASM2142/ASM3142 USB 3.1 Host Controller",
                 driver="xhci_hcd", group=14, resets=["bus"]),
        ],
        usb=[
            _usb("1-1", 2, "046d:c31c", [_KEYBOARD], "Keyboard K120"),
            _usb("1-2", 3, "046d:c077", [_MOUSE], "Mouse M105"),
            _usb("1-3", 4, "05e3:0610", ["09:00:02"], "Hub", hub=True),
            _usb("1-3.1", 5, "0951:1666", [_STORAGE], "DataTraveler 100 G3", serial=_serial(chance),
                 disks=["sdb"]),
        ],
        optical=[OpticalDrive(node="sr0", name="DVD drive", port="0000:00:17.0")],
    )  # fmt: skip


def _notebook(chance: Random) -> DeviceFacts:
    return DeviceFacts(
        pci=[
            _pci("0000:00:00.0", "060000", "1022:1630", "Renoir/Cezanne Root Complex", group=0),
            _pci("0000:00:14.0", "0c0500", "1022:790b", "FCH SMBus Controller", group=7),
            _pci("0000:00:14.3", "060100", "1022:790e", "FCH LPC Bridge", group=7),
            _pci("0000:01:00.0", "020000", "10ec:8168", "RTL8111/8168/8411 PCI Express Gigabit Ethernet",
                 driver="r8169", group=8, resets=["bus"], needed_for=[Need.LAN]),
            _pci("0000:02:00.0", "028000", "8086:2725", "Wi-Fi 6 AX210/AX211/AX411 160MHz",
                 driver="iwlwifi", group=9, resets=["flr", "bus"], needed_for=[Need.WIFI]),
            _pci("0000:03:00.0", "010802", "144d:a808", "NVMe SSD Controller SM981/PM981/PM983",
                 driver="nvme", group=10, resets=["flr", "bus"], needed_for=[Need.DISK]),
            _pci("0000:04:00.0", "030000", "1002:1638", "Cezanne [Radeon Vega Series]", driver="amdgpu",
                 group=11, boot_display=True),
            _pci("0000:04:00.1", "040300", "1002:1637", "Renoir Radeon High Definition Audio Controller",
                 driver="snd_hda_intel", group=11),
            _pci("0000:04:00.3", "0c0330", "1022:1639", "Renoir/Cezanne USB 3.1", driver="xhci_hcd",
                 group=11, resets=["pm"]),
        ],
        usb=[
            _usb("1-1", 2, "04f2:b6d9", ["0e:01:00", "0e:02:00"], "Integrated Camera", at="0000:04:00.3"),
            _usb("1-2", 3, "0951:1666", [_STORAGE], "DataTraveler 100 G3", serial=_serial(chance),
                 disks=["sda"], at="0000:04:00.3"),
        ],
        optical=[],
    )  # fmt: skip


def _pci(address: str, device_class: str, ids: str, name: str, *, group: int, **more: Any) -> PciDevice:
    vendor, _, product = ids.partition(":")
    return PciDevice(
        address=address,
        device_class=device_class,
        vendor=vendor,
        product=product,
        name=name,
        iommu_group=group,
        **more,
    )


def _usb(
    port: str,
    number: int,
    ids: str,
    interfaces: list[str],
    name: str,
    *,
    at: str = "0000:00:14.0",
    serial: str | None = None,
    **more: Any,
) -> UsbDevice:
    vendor, _, product = ids.partition(":")
    return UsbDevice(
        port=port,
        number=number,
        controller=at,
        vendor=vendor,
        product=product,
        serial=serial,
        interfaces=interfaces,
        name=name,
        **more,
    )


def _serial(chance: Random) -> str:
    return f"{chance.getrandbits(64):016X}"
