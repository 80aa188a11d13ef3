"""What the emulated PC boots from: Debian's kernel, a first file system, and a root with libvirt and QEMU.

Made of packages from this machine's own apt sources and kept in the cache under a name that follows from this
recipe. Our own agent is not in it (see `payload`), so that a change of the agent builds nothing here. Needs
root, for mmdebstrap's mounts, which nobody else sees.
"""

import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from vrasnode.errors import HostBroken
from vrasnode.servicevm.build import debianpackages, initramfs
from vrasnode.servicevm.build.cache import made_once, recipe
from vrasnode.servicevm.build.hosttools import run

DISTRIBUTION = "bookworm"
KERNEL = "linux-image-amd64"
# What a control base needs, and what looks at it.
PACKAGES = (
    *("udev", "kmod", "iproute2", "procps", "pciutils", "usbutils"),
    *("qemu-system-x86", "qemu-utils", "ovmf", "libvirt-daemon-system", "libvirt-clients"),
    *("python3", "dnsmasq-base", "iptables", "dosfstools"),
    *("wpasupplicant", "isc-dhcp-client", "nftables", "hostapd", "iw"),
)
# Of the kernel's modules: the drivers of the emulated devices, and what libvirt's networks need.
MODULES = (
    *("arch", "crypto", "lib", "mm", "virt", "fs/ext4", "fs/jbd2", "fs/isofs", "fs/configfs", "fs/nls"),
    *("fs/fat", "fs/mbcache.ko", "net/802", "net/8021q", "net/bridge", "net/ipv4", "net/ipv6", "net/llc"),
    *("net/netfilter", "net/sched", "net/packet", "drivers/ata", "drivers/block", "drivers/cdrom"),
    *(
        "drivers/hid",
        "drivers/i2c",
        "drivers/input",
        "drivers/net/ethernet/intel/e1000e",
        "drivers/net/tun.ko",
    ),
    *("drivers/net/virtio_net.ko", "drivers/net/net_failover.ko", "drivers/net/veth.ko", "net/core"),
    *("drivers/net/tap.ko", "drivers/nvme", "drivers/ptp", "drivers/pps", "drivers/scsi/scsi_mod.ko"),
    *("drivers/scsi/scsi_common.ko", "drivers/scsi/sd_mod.ko", "drivers/scsi/sr_mod.ko"),
    *("drivers/scsi/sg.ko", "drivers/usb", "drivers/vfio", "drivers/vhost", "drivers/virtio"),
    *(
        "drivers/char/virtio_console.ko",
        "drivers/char/hw_random",
        "drivers/crypto/ccp",
        "block",
        "drivers/md",
        "drivers/iommu",
    ),
    *("net/mac80211", "net/wireless", "net/rfkill", "drivers/net/wireless/mac80211_hwsim.ko"),
    *("sound/soundcore.ko", "sound/core", "sound/hda", "sound/pci/hda", "sound/usb"),
)
FIRST_MODULES = ("virtio_pci", "virtio_blk", "crc32c_generic", "ext4")
NOT_NEEDED = ("usr/share/doc", "usr/share/man", "usr/share/locale", "var/cache/apt", "var/lib/apt/lists")
ROOT_BYTES = 4 << 30  # with room for the agent's images
INIT = Path(__file__).parent / "inside" / "initramfs-init"


@dataclass(frozen=True)
class OuterImage:
    """Read-only files: the kernel, its first file system, and a raw disk with the root file system."""

    kernel: Path
    initrd: Path
    root: Path


def build(cache: Path, *, say: Callable[[str], None] = lambda _line: None) -> OuterImage:
    """The image, from the cache where this recipe was built before. Raises HostBroken."""
    folder = cache / f"outer-{recipe(_sources())}"
    made_once(folder, lambda scratch, into: _make(scratch, into, cache=cache, say=say))
    return OuterImage(folder / "vmlinuz", folder / "initrd.img", folder / "root.img")


def _sources() -> Iterator[Path]:
    yield Path(__file__)
    yield INIT
    for module in (debianpackages, initramfs):
        yield Path(module.__file__ or "")


def _make(scratch: Path, done: Path, *, cache: Path, say: Callable[[str], None]) -> None:
    root, kernel = scratch / "root", scratch / "kernel"
    version = unpack_kernel(kernel, cache=cache, say=say)
    say("emulated PC: installing Debian")
    _install(root)
    _add_modules(root, kernel, version)
    say("emulated PC: making its disk")
    shutil.copyfile(kernel / f"boot/vmlinuz-{version}", done / "vmlinuz")
    (done / "initrd.img").write_bytes(_first_files(kernel))
    _make_root_disk(root, done / "root.img")


def unpack_kernel(tree: Path, *, cache: Path, say: Callable[[str], None]) -> str:
    """Unpacks the newest kernel, the one without a signature; returns its version."""
    packages = cache / "packages"
    newest = debianpackages.fetch([KERNEL], into=packages, say=say)[KERNEL].package.depends
    found = re.search(r"linux-image-(\d\S*-amd64)", newest)
    if found is None:
        raise HostBroken("package_unknown", f"{KERNEL} names no kernel")
    name = f"linux-image-{found[1]}-unsigned"
    debianpackages.unpack(debianpackages.fetch([name], into=packages, say=say)[name].deb, tree)
    return found[1]


def _install(root: Path) -> None:
    """Debian in a tree, in mounts of its own: whatever happens to the builder, none is left here."""
    plain = ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={','.join(PACKAGES)}", DISTRIBUTION]
    run("unshare", "--mount", "--propagation", "private", *plain, root)
    for unneeded in NOT_NEEDED:
        shutil.rmtree(root / unneeded, ignore_errors=True)


def _add_modules(root: Path, kernel: Path, version: str) -> None:
    source, target = (tree / "lib/modules" / version for tree in (kernel, root))
    target.mkdir(parents=True)
    for name in ("modules.builtin", "modules.builtin.modinfo", "modules.order"):
        shutil.copyfile(source / name, target / name)
    for name in MODULES:
        part, place = source / "kernel" / name, target / "kernel" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        if part.is_dir():
            shutil.copytree(part, place, dirs_exist_ok=True)
        elif part.exists():  # else it is built in
            shutil.copyfile(part, place)
    run("depmod", "--basedir", root, version)


def _first_files(kernel: Path) -> bytes:
    return initramfs.build(busybox=Path("/bin/busybox"), init=INIT, kernel_tree=kernel, modules=FIRST_MODULES)


def _make_root_disk(root: Path, disk: Path) -> None:
    """No journal: the disk is thrown away after each run."""
    with disk.open("xb") as file:
        file.truncate(ROOT_BYTES)
    run("mke2fs", "-q", "-F", "-t", "ext4", "-O", "^has_journal", "-m", "0", "-d", root, disk)
