"""PCs that nobody built: sysfs trees composed for one trait each. All names begin with `synthetic_`.

The shape of the trees (which file, which link) follows those captured from real kernels; ids are of devices
that are on sale, so that pci.ids knows them.
"""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeAlias

Entry: TypeAlias = str | Mapping[str, str]

ROOT = "sys/devices/pci0000:00"
KEYBOARD, MOUSE, STICK, HUB, CAMERA, HEADSET = (
    ["03:01:01"], ["03:01:02"], ["08:06:50"], ["09:00:00"], ["0e:01:00", "0e:02:00"],
    ["01:01:00", "01:02:00", "03:00:00"],
)  # fmt: skip


class Pc:
    """A tree that grows: each call adds a device, and returns where in sysfs it lies."""

    def __init__(self, *, iommu: str = "dmar0", chassis: str = "3", model: str = "Example Desktop 1") -> None:
        self.entries: dict[str, Entry] = {
            "sys/class/dmi/id/sys_vendor": "Example\n",
            "sys/class/dmi/id/product_name": f"{model}\n",
            "sys/class/dmi/id/chassis_type": f"{chassis}\n",
            "proc/cpuinfo": "processor\t: 0\nflags\t\t: fpu vmx sse2\n",
            "proc/swaps": "Filename\tType\tSize\tUsed\tPriority\n",
            "proc/self/mountinfo": "",
            "proc/net/route": "Iface\tDestination\tGateway\tFlags\n",
            "proc/net/ipv6_route": "",
        }
        self._iommu = iommu
        self._minor = 0
        self.secure_boot(on=True)
        self.tpm("2")
        if iommu:
            self.entries[f"sys/class/iommu/{iommu}/name"] = ""

    def secure_boot(self, *, on: bool) -> None:
        path = "sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"
        self.entries[path] = {"hex": f"06000000{on:02x}"}

    def tpm(self, version: str | None) -> None:
        path = "sys/class/tpm/tpm0/tpm_version_major"
        if version is None:
            del self.entries[path]
        else:
            self.entries[path] = f"{version}\n"

    def pci(
        self,
        address: str,
        code: str,
        ids: str,
        *,
        driver: str = "",
        group: int | None = None,
        resets: str = "flr bus",
        under: str = ROOT,
        boot_display: bool = False,
    ) -> str:
        """A PCI function. `group` only says something where there is an IOMMU."""
        place = f"{under}/{address}"
        vendor, product = ids.split(":")
        for file, content in (("class", code), ("vendor", vendor), ("device", product)):
            self.entries[f"{place}/{file}"] = f"0x{content}\n"
        if resets:
            self.entries[f"{place}/reset_method"] = f"{resets}\n"
        if driver:
            self.link(f"{place}/driver", f"sys/bus/pci/drivers/{driver}")
        if code.startswith("03"):
            self.entries[f"{place}/boot_vga"] = f"{boot_display:d}\n"
        if self._iommu and group is not None:
            self.link(f"{place}/iommu_group", f"sys/kernel/iommu_groups/{group}")
        self.link(f"sys/bus/pci/devices/{address}", place)
        return place

    def usb(
        self,
        controller: str,
        port: str,
        ids: str,
        interfaces: list[str],
        *,
        serial: str = "",
        product: str = "",
        number: int = 2,
        descriptors: bool = True,
    ) -> str:
        """A USB device behind a controller (where in sysfs that lies; "" for one that is only software)."""
        bus, _, way = port.partition("-")
        ports = way.split(".")
        hubs = [f"{bus}-{'.'.join(ports[: depth + 1])}" for depth in range(len(ports))]
        place = "/".join([controller or "sys/devices/platform/example", f"usb{bus}", *hubs])
        vendor, model = ids.split(":")
        files = {"idVendor": vendor, "idProduct": model, "devnum": str(number), "product": product}
        files |= {"serial": serial, "bDeviceClass": "09" if interfaces == HUB else "00"}
        self.entries |= {f"{place}/{file}": f"{content}\n" for file, content in files.items() if content}
        for index, interface in enumerate(interfaces):
            for name, code in zip(("Class", "SubClass", "Protocol"), interface.split(":"), strict=True):
                self.entries[f"{place}/{port}:1.{index}/bInterface{name}"] = f"{code}\n"
        if descriptors:
            self.entries[f"{place}/descriptors"] = {"hex": _descriptors(vendor, model, interfaces)}
        self.link(f"sys/bus/usb/devices/{port}", place)
        return place

    def disk(
        self, name: str, on: str, *, partitions: int = 2, kind: str = "0", way: str = "host0/target0/0:0:0:0"
    ) -> str:
        """A disk with partitions: `name`1, `name`2, or `name`p1 where the name ends in a digit."""
        place = f"{on}/{way}/block/{name}"
        self._block(place)
        self.entries[f"{on}/{way}/type"] = f"{kind}\n"
        self.entries[f"{on}/{way}/vendor"] = "EXAMPLE \n"
        self.entries[f"{on}/{way}/model"] = "DVD-RW          \n" if kind == "5" else "SSD 256         \n"
        self.link(f"{place}/device", f"{on}/{way}")
        for number in range(1, partitions + 1):
            partition = f"{place}/{name}{'p' if name[-1].isdigit() else ''}{number}"
            self._block(partition)
            self.entries[f"{partition}/partition"] = f"{number}\n"
        return place

    def stacked(self, name: str, on: str, *, uuid: str = "LVM-1", label: str = "data") -> str:
        """A device-mapper device on another block device."""
        place = f"sys/devices/virtual/block/{name}"
        self._block(place)
        self.entries |= {f"{place}/dm/uuid": f"{uuid}\n", f"{place}/dm/name": f"{label}\n"}
        self.link(f"{place}/slaves/{on.rpartition('/')[2]}", on)
        return place

    def mount(
        self, point: str, block: str, *, kind: str = "ext4", number: str = "", source: str = ""
    ) -> None:
        number = number or str(self.entries[f"{block}/dev"]).strip()
        source = source or f"/dev/{block.rpartition('/')[2]}"
        line = f"30 1 {number} / {point} rw,relatime shared:1 - {kind} {source} rw\n"
        self.entries["proc/self/mountinfo"] = f"{self.entries['proc/self/mountinfo']}{line}"

    def net(self, name: str, on: str, *, route: bool = False, wireless: bool = False) -> str:
        """A network interface. `route`: it carries the default route."""
        place = f"{on}/net/{name}"
        self.entries[f"{place}/address"] = "02:00:00:00:00:01\n"
        self.link(f"{place}/device", on)
        self.link(f"sys/class/net/{name}", place)
        if wireless:
            self.entries[f"{place}/wireless/status"] = "0\n"
        if route:
            self.route(name)
        return place

    def route(self, interface: str) -> None:
        line = f"{interface}\t00000000\t0102A8C0\t0003\n"
        self.entries["proc/net/route"] = f"{self.entries['proc/net/route']}{line}"

    def link(self, path: str, target: str) -> None:
        """A symbolic link, relative as the kernel's are."""
        self.entries[path] = {"link": os.path.relpath(target, Path(path).parent)}

    def _block(self, place: str) -> None:
        self._minor += 1
        number = f"8:{self._minor}"
        self.entries[f"{place}/dev"] = f"{number}\n"
        self.link(f"sys/class/block/{place.rpartition('/')[2]}", place)
        self.link(f"sys/dev/block/{number}", place)


def _descriptors(vendor: str, product: str, interfaces: list[str]) -> str:
    """A device descriptor, one configuration and its interfaces (USB 2.0 §9.6)."""
    swapped = "".join(word[2:] + word[:2] for word in (vendor, product))
    device = f"1201000200000040{swapped}000101020301"
    configuration = f"0902{9 + 9 * len(interfaces):02x}00{len(interfaces):02x}01008032"
    each = (f"0904{index:02x}0000{code.replace(':', '')}00" for index, code in enumerate(interfaces))
    return device + configuration + "".join(each)


def synthetic_desktop(pc: Pc | None = None, *, group_of_nic: int = 7, resets: str = "flr bus") -> Pc:
    """A tower: graphics with its sound, SATA disk, LAN, a second LAN card, xHCI with two devices."""
    pc = pc or Pc()
    pc.pci("0000:00:00.0", "060000", "8086:3e30", group=0, resets="", driver="skl_uncore")
    port = pc.pci("0000:00:01.0", "060400", "8086:1901", group=1, resets="pm", driver="pcieport")
    pc.pci(
        "0000:01:00.0",
        "030000",
        "10de:1c82",
        group=1,
        resets=resets,
        under=port,
        driver="nouveau",
        boot_display=True,
    )
    pc.pci("0000:01:00.1", "040300", "10de:0fb9", group=1, resets=resets, under=port, driver="snd_hda_intel")
    xhci = pc.pci("0000:00:14.0", "0c0330", "8086:a36d", group=2, resets=resets, driver="xhci_hcd")
    sata = pc.pci("0000:00:17.0", "010601", "8086:a352", group=3, resets=resets, driver="ahci")
    pc.pci("0000:00:1f.0", "060100", "8086:a306", group=4, resets="")
    pc.pci("0000:00:1f.3", "040300", "8086:a348", group=4, resets="", driver="snd_hda_intel")
    pc.pci("0000:00:1f.4", "0c0500", "8086:a323", group=4, resets="", driver="i801_smbus")
    slot = pc.pci("0000:00:1c.0", "060400", "8086:a338", group=5, resets="pm", driver="pcieport")
    lan = pc.pci("0000:00:1f.6", "020000", "8086:15bc", group=6, resets=resets, driver="e1000e")
    card = pc.pci(
        "0000:03:00.0", "020000", "8086:1533", group=group_of_nic, resets=resets, under=slot, driver="igb"
    )
    pc.net("eth0", lan, route=True)
    pc.net("eth1", card)
    disk = pc.disk("sda", f"{sata}/ata1")
    pc.mount("/", f"{disk}/sda1")
    crypt = pc.stacked(
        "dm-0", f"{disk}/sda2", uuid="CRYPT-LUKS2-00000000000000000000000000000000-state", label="state"
    )
    pc.mount("/var/lib/vrasnode", crypt, source="/dev/mapper/state")
    pc.disk("sr0", f"{sata}/ata2", partitions=0, kind="5")
    pc.usb(xhci, "1-1", "046d:c31c", KEYBOARD, product="USB Keyboard")
    pc.usb(xhci, "1-2", "046d:c077", MOUSE, product="USB Optical Mouse", number=3)
    return pc


def synthetic_no_iommu() -> Pc:
    """VT-d is off in the firmware."""
    return synthetic_desktop(Pc(iommu=""))


def synthetic_shared_group() -> Pc:
    """The second LAN card sits in the group of the disk controller."""
    return synthetic_desktop(group_of_nic=3)


def synthetic_no_reset() -> Pc:
    """No device outside the board can be reset."""
    return synthetic_desktop(resets="")


def synthetic_windows_desktop() -> Pc:
    """A tower for Windows: graphics and sound in one group, a hub with a camera, a headset and two sticks
    that differ by their serial numbers alone."""
    pc = synthetic_desktop()
    xhci = f"{ROOT}/0000:00:14.0"
    pc.usb(xhci, "1-3", "05e3:0610", HUB, product="USB2.1 Hub", number=4)
    pc.usb(xhci, "1-3.1", "046d:0825", CAMERA, product="Webcam C270", serial="A1B2C3D0", number=5)
    pc.usb(xhci, "1-3.2", "0b0e:2453", HEADSET, product="Jabra EVOLVE 20", number=6)
    for port, name, serial in (("1-3.3", "sdb", "STICK-0001"), ("1-4", "sdc", "STICK-0002")):
        stick = pc.usb(xhci, port, "0930:6545", STICK, product="TransMemory", serial=serial, number=7)
        pc.disk(name, f"{stick}/{port}:1.0", partitions=1)
    return pc


def synthetic_two_gpus() -> Pc:
    """The processor's graphics are the firmware's screen, a card is free to be passed through."""
    pc = synthetic_desktop()
    pc.pci("0000:00:02.0", "030000", "8086:3e92", group=8, resets="flr pm", driver="i915", boot_display=True)
    pc.entries[f"{ROOT}/0000:00:01.0/0000:01:00.0/boot_vga"] = "0\n"
    return pc


def synthetic_notebook_one_xhci() -> Pc:
    """A notebook: Wi-Fi, no wired LAN, NVMe, and one USB controller with the built-in keyboard and camera."""
    pc = Pc(chassis="10", model="Example Notebook 1")
    pc.pci("0000:00:00.0", "060000", "8086:9b61", group=0, resets="")
    pc.pci("0000:00:02.0", "030000", "8086:9b41", group=1, resets="flr pm", driver="i915", boot_display=True)
    xhci = pc.pci("0000:00:14.0", "0c0330", "8086:02ed", group=2, driver="xhci_hcd")
    wifi = pc.pci("0000:00:14.3", "028000", "8086:02f0", group=3, driver="iwlwifi")
    pc.pci("0000:00:1f.0", "060100", "8086:0284", group=4, resets="")
    pc.pci("0000:00:1f.3", "040300", "8086:02c8", group=4, resets="", driver="snd_hda_intel")
    port = pc.pci("0000:00:1d.0", "060400", "8086:02b0", group=5, resets="pm", driver="pcieport")
    nvme = pc.pci("0000:04:00.0", "010802", "144d:a808", group=6, under=port, driver="nvme")
    pc.net("wlan0", wifi, route=True, wireless=True)
    disk = pc.disk("nvme0n1", nvme, way="nvme/nvme0")
    pc.mount("/", f"{disk}/nvme0n1p2")
    pc.usb(xhci, "1-5", "04f3:0c4b", KEYBOARD, product="Built-in Keyboard")
    pc.usb(xhci, "1-6", "5986:2115", CAMERA, product="Integrated Camera", number=3)
    return pc


def synthetic_boots_from_usb() -> Pc:
    """The control base runs from a USB disk behind a hub, with LVM on LUKS."""
    pc = Pc()
    xhci = pc.pci("0000:00:14.0", "0c0330", "8086:a36d", group=2, driver="xhci_hcd")
    other = pc.pci("0000:00:1a.0", "0c0320", "8086:1c2d", group=3, driver="ehci-pci")
    lan = pc.pci("0000:00:1f.6", "020000", "8086:15bc", group=6, driver="e1000e")
    pc.net("eth0", lan, route=True)
    pc.usb(xhci, "2-1", "05e3:0626", HUB, product="USB3.1 Hub")
    case = pc.usb(xhci, "2-1.4", "152d:0578", STICK, serial="DISK-1", product="External Disk", number=3)
    disk = pc.disk("sda", f"{case}/2-1.4:1.0")
    crypt = pc.stacked("dm-0", f"{disk}/sda2", uuid="CRYPT-LUKS2-0-base", label="base")
    pc.mount("/", pc.stacked("dm-1", crypt, label="vg-root"), source="/dev/mapper/vg-root")
    stick = pc.usb(other, "1-1", "0930:6545", STICK, serial="STICK-0001", product="TransMemory", number=4)
    pc.disk("sdb", f"{stick}/1-1:1.0", partitions=1)
    return pc


PCS: dict[str, Callable[[], Pc]] = {
    made.__name__: made
    for made in (
        synthetic_desktop,
        synthetic_no_iommu,
        synthetic_shared_group,
        synthetic_no_reset,
        synthetic_windows_desktop,
        synthetic_two_gpus,
        synthetic_notebook_one_xhci,
        synthetic_boots_from_usb,
    )
}
