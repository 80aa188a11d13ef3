"""What the control base itself needs of this PC's hardware: its disks, its LAN, its Wi-Fi.

Whatever is found here is never given to the client VM, so a doubt is decided for keeping it. Found from what
the kernel has mounted, routed and stacked (device mapper, md, loop, bonds, bridges) down to the PCI functions
and USB devices below. Not here: what a policy says of the rest (`devicepolicy`).
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from vrasnode.host import kerneltree
from vrasnode.wire.devices import Need

_IN_MEMORY = {"tmpfs", "ramfs", "rootfs", "nfs", "nfs4", "cifs", "9p", "virtiofs"}  # no disk of ours
_DISK_CLASSES = ("sd", "nvme", "vd", "mmcblk", "hd", "xvd")
_BRIDGES = "0604"
_WIRELESS_CLASS = "0280"  # "network controller, other": what Wi-Fi cards call themselves


@dataclass(frozen=True)
class Mount:
    """One line of /proc/self/mountinfo (proc(5))."""

    number: str  # "major:minor"
    point: str
    kind: str
    source: str


@dataclass
class Needs:
    """Who needs what, by PCI address and by USB port."""

    pci: dict[str, set[Need]] = field(default_factory=dict)
    usb: dict[str, set[Need]] = field(default_factory=dict)

    def of_pci(self, address: str) -> list[Need]:
        return sorted(self.pci.get(address, ()))

    def of_usb(self, port: str) -> list[Need]:
        return sorted(self.usb.get(port, ()))

    def add(self, device: Path, need: Need, *, bridges: Collection[str]) -> None:
        """All that is on the way to `device`, but for the bridges, which are nobody's to have anyway."""
        for address in kerneltree.pci_ancestors(device):
            if address not in bridges:
                self.pci.setdefault(address, set()).add(need)
        if port := kerneltree.usb_ancestor(device):
            self.usb.setdefault(port, set()).add(need)


def find(*, sysfs: Path, proc: Path, state_dir: Path, lan: Collection[str] = ()) -> Needs:
    """What is needed now. `lan` names network interfaces that are the LAN even while their cable is out."""
    needs = Needs()
    classes = _classes(sysfs)
    bridges = {address for address, code in classes.items() if code == _BRIDGES}
    for device in Disks(sysfs=sysfs, proc=proc).in_use(state_dir):
        needs.add(device, Need.DISK, bridges=bridges)
    interfaces = Interfaces(sysfs=sysfs, proc=proc)
    for name in interfaces.lan(lan):
        needs.add(interfaces.device(name), Need.LAN, bridges=bridges)
    for name in interfaces.wireless:
        needs.add(interfaces.device(name), Need.WIFI, bridges=bridges)
    for address in _silent_wireless(classes, interfaces):
        needs.pci.setdefault(address, set()).add(Need.WIFI)
    return needs


class Disks:
    """The block devices of a PC, and what is stacked on them."""

    def __init__(self, *, sysfs: Path, proc: Path) -> None:
        self._sysfs = sysfs
        self._proc = proc

    def in_use(self, state_dir: Path) -> list[Path]:
        """Where in sysfs the hardware lies that holds anything mounted or swapped on. Where nobody can tell
        what the state directory or the root lies on (ZFS, a live system), every disk counts."""
        used = {block for mount in self.mounts for block in self.blocks_of(mount)} | self._swapped()
        if not all(self._is_traced(path) for path in (Path("/"), state_dir)):
            used |= {self._class / name for name in self._names if name.startswith(_DISK_CLASSES)}
        found = {device for block in used for device in self.hardware(block)}
        return sorted(found)

    def is_encrypted(self, path: Path) -> bool | None:
        """Whether all that holds `path` lies on dm-crypt; None where nobody can tell."""
        mount = self.mount_of(path)
        blocks = self.blocks_of(mount) if mount else set()
        return all(self._encrypted(block) for block in blocks) if blocks else None

    @cached_property
    def mounts(self) -> list[Mount]:
        lines = kerneltree.lines(self._proc / "self" / "mountinfo")
        return [mount for words in lines if (mount := parse_mount(words))]

    def mount_of(self, path: Path) -> Mount | None:
        """What `path` lies on: the innermost mount, the last one where several lie on each other."""
        under = [mount for mount in self.mounts if path.is_relative_to(mount.point)]
        return max(reversed(under), key=lambda mount: len(mount.point), default=None)

    def blocks_of(self, mount: Mount) -> set[Path]:
        """The block devices of one mount: several for btrfs, none for what lies on no disk."""
        link = self._sysfs / "dev" / "block" / mount.number
        block = kerneltree.real(link) or self._named(mount.source)
        if block is None:
            return set()
        return {block} | (self._pool(block.name) if mount.kind == "btrfs" else set())

    def hardware(self, block: Path, *, depth: int = 16) -> Iterator[Path]:
        """The devices at the bottom of a stack of block devices."""
        place = kerneltree.real(block)
        if place is None or depth == 0:
            return
        below = self._below(place)
        for lower in below:
            yield from self.hardware(lower, depth=depth - 1)
        if not below:
            yield from self._paths(place)

    def _below(self, place: Path) -> list[Path]:
        slaves = place / "slaves"
        below = [slaves / name for name in kerneltree.names(slaves)]
        backing = kerneltree.text(place / "loop" / "backing_file")
        if backing and (mount := self.mount_of(Path(backing))):
            below += [block for block in self.blocks_of(mount) if block != place]
        if not below and (place / "partition").exists():
            return self._below(place.parent)
        return below

    def _paths(self, place: Path) -> list[Path]:
        """An NVMe disk with several ways to it lies under none of its controllers, but names them."""
        if "nvme-subsystem" not in place.parts:
            return [place]
        subsystem = next(parent for parent in place.parents if parent.parent.name == "nvme-subsystem")
        ways = [subsystem / name for name in kerneltree.names(subsystem) if (subsystem / name).is_symlink()]
        return [way for link in ways if (way := kerneltree.real(link))]

    def _encrypted(self, block: Path, *, depth: int = 16) -> bool:
        place = kerneltree.real(block)
        if place is None or depth == 0:
            return False
        if (kerneltree.text(place / "dm" / "uuid") or "").startswith("CRYPT-"):
            return True
        below = self._below(place)
        return bool(below) and all(self._encrypted(lower, depth=depth - 1) for lower in below)

    def _is_traced(self, path: Path) -> bool:
        mount = self.mount_of(path)
        return mount is not None and (mount.kind in _IN_MEMORY or bool(self.blocks_of(mount)))

    @property
    def swaps(self) -> bool:
        """Whether memory is swapped to a disk: zram is none."""
        return any("zram" not in words[0] for words in kerneltree.lines(self._proc / "swaps")[1:])

    def _swapped(self) -> set[Path]:
        sources = (words[0] for words in kerneltree.lines(self._proc / "swaps")[1:])
        return {block for source in sources if (block := self._named(source))}

    def _named(self, source: str) -> Path | None:
        """The block device that the kernel names /dev/sda2 or /dev/mapper/data."""
        if not source.startswith("/dev/"):
            return None
        name = Path(source).name
        if name in self._names:
            return self._class / name
        mapped = (
            other for other in self._names if kerneltree.text(self._class / other / "dm" / "name") == name
        )
        return next((self._class / other for other in mapped), None)

    def _pool(self, name: str) -> set[Path]:
        """All devices of the btrfs file system that `name` is one of."""
        root = self._sysfs / "fs" / "btrfs"
        for uuid in kerneltree.names(root):
            members = kerneltree.names(root / uuid / "devices")
            if name in members:
                return {self._class / member for member in members}
        return set()

    @property
    def _class(self) -> Path:
        return self._sysfs / "class" / "block"

    @cached_property
    def _names(self) -> list[str]:
        return kerneltree.names(self._class)


class Interfaces:
    """The network interfaces that are hardware."""

    def __init__(self, *, sysfs: Path, proc: Path) -> None:
        self._class = sysfs / "class" / "net"
        self._proc = proc

    @cached_property
    def physical(self) -> list[str]:
        return [name for name in kerneltree.names(self._class) if self._at(name)]

    @cached_property
    def wireless(self) -> list[str]:
        return [name for name in self.physical if self._is_wireless(name)]

    def lan(self, named: Collection[str]) -> list[str]:
        """The wired ones that the control base uses: any route, or part of a bridge or bond. Where none is in
        use nobody can tell which is the LAN (the cable is out), so each one on the board counts."""
        wired = [name for name in self.physical if name not in self.wireless]
        routed = {lower for name in self._routed() for lower in self._lowest(name)}
        used = [name for name in wired if name in routed or name in named or self._is_member(name)]
        return used or [name for name in wired if not kerneltree.usb_ancestor(self.device(name))]

    def device(self, name: str) -> Path:
        """Where in sysfs the hardware of an interface lies; the interface itself where it just went."""
        return self._at(name) or self._class / name

    def _at(self, name: str) -> Path | None:
        return kerneltree.real(self._class / name / "device")

    def _is_wireless(self, name: str) -> bool:
        return any((self._class / name / sign).exists() for sign in ("wireless", "phy80211"))

    def _is_member(self, name: str) -> bool:
        return (self._class / name / "master").is_symlink()

    def _lowest(self, name: str, depth: int = 8) -> set[str]:
        """The hardware under a bridge, bond or VLAN."""
        lower = [entry for entry in kerneltree.names(self._class / name) if entry.startswith("lower_")]
        if not lower or depth == 0:
            return {name}
        return {each for entry in lower for each in self._lowest(entry.removeprefix("lower_"), depth - 1)}

    def _routed(self) -> set[str]:
        """Interfaces with a route that leads anywhere: those that IPv6 has everywhere do not."""
        ipv4 = {words[0] for words in kerneltree.lines(self._proc / "net" / "route")[1:]}
        ipv6 = (words for words in kerneltree.lines(self._proc / "net" / "ipv6_route") if len(words) == 10)
        return ipv4 | {words[9] for words in ipv6 if not words[0].startswith(("fe8", "ff"))} - {"lo"}


def parse_mount(words: list[str]) -> Mount | None:
    """One line of mountinfo, in words; None where it is none."""
    if "-" not in words[6:]:
        return None
    kind, source, *_ = [*words[words.index("-", 6) + 1 :], "", ""]
    return Mount(words[2], _unescaped(words[4]), kind, _unescaped(source))


def _unescaped(word: str) -> str:
    """mountinfo writes space, tab, newline and backslash as octal numbers."""
    for octal, sign in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        word = word.replace(octal, sign)
    return word


def _classes(sysfs: Path) -> dict[str, str]:
    """The class and subclass of each PCI function."""
    root = sysfs / "bus" / "pci" / "devices"
    codes = {address: kerneltree.number(root / address / "class", 16) for address in kerneltree.names(root)}
    return {address: f"{code:06x}"[:4] for address, code in codes.items() if code is not None}


def _silent_wireless(classes: Mapping[str, str], interfaces: Interfaces) -> list[str]:
    """Wi-Fi cards without an interface: no driver or no firmware for them yet."""
    seen = {
        address
        for name in interfaces.physical
        for address in kerneltree.pci_ancestors(interfaces.device(name))
    }
    return [address for address, code in classes.items() if code == _WIRELESS_CLASS and address not in seen]
