"""A client VM with Debian's kernel, whose own drivers take the devices that it gets: slower than the probe.

It says on its serial line what it has (`inside/linux-init`) and runs on.
"""

from pathlib import Path

from tests.lab.outer.image import unpack_kernel
from vrasnode.servicevm.build import bootdisk, initramfs

DRIVERS = ("e1000e", "nvme", "xhci_pci", "usb_storage", "sd_mod", "usbhid", "button", "evdev")
READY = "linux is ready"
_INIT = Path(__file__).parent / "inside" / "linux-init"
_GRUB = "linux /boot/vmlinuz console=ttyS0 quiet panic=5\ninitrd /boot/initrd.img\nboot\n"


def make_disk(disk: Path, *, cache: Path, scratch: Path) -> None:
    """Writes the disk (raw). `scratch` is an empty folder. Raises HostBroken."""
    kernel, root = scratch / "kernel", scratch / "root"
    version = unpack_kernel(kernel, cache=cache, say=lambda _line: None)
    (root / "boot" / "grub").mkdir(parents=True)
    (kernel / "boot" / f"vmlinuz-{version}").rename(root / "boot" / "vmlinuz")
    first_files = initramfs.build(
        busybox=Path("/bin/busybox"), init=_INIT, kernel_tree=kernel, modules=DRIVERS
    )
    (root / "boot" / "initrd.img").write_bytes(first_files)
    (root / "boot" / "grub" / "grub.cfg").write_text(_GRUB)
    bootdisk.create(disk, scratch=scratch)
    change = bootdisk.Change()
    change.put(root, "/")
    change.apply(disk)
