"""What is in the demo's master image, and what each of its versions changes.

The guest is Debian's kernel and qemu-guest-agent on busybox: no login, no network, ready in seconds. Beside
that lie the applications, each in /opt/<package>: nobody starts them, they are content of a real kind.
Not for how the files get onto a disk (bootdisk) or the packages onto this machine (debianpackages).
"""

import hashlib
import shutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from vrasnode.servicevm.build import bootdisk, debianpackages, rootfs
from vrasnode.servicevm.build.debianpackages import KERNEL
from vrasnode.servicevm.build.hosttools import run

# What runs the guest: the agent and the libraries that it is linked with.
SYSTEM = (
    *("busybox-static", "qemu-guest-agent"),
    *("libc6", "libglib2.0-0", "libnuma1", "libpcre2-8-0", "libudev1", "liburing2"),
)
APPLICATIONS = ("bash", "coreutils", "nano", "openssl", "perl-base", "perl-modules-5.36", "tzdata")
REMOVED_IN_V2 = ("nano",)
ADDED_IN_V2 = ("gawk", "rsync", "vim-tiny")
PACKAGES = (*SYSTEM, *APPLICATIONS, *ADDED_IN_V2)
LACKING_IN_UNHEALTHY = "bash/bin/bash"

# The way to the disk and to the agent's channel, the power button, and randomness without waiting.
MODULES = (
    "virtio_pci",
    "virtio_blk",
    "virtio_console",
    "button",
    "evdev",
    "virtio_rng",
)
FOLDERS = ("dev", "etc/openvras", "opt", "proc", "root", "run", "sys", "tmp", "var")
GUEST = Path(__file__).parent / "guest"
PLACES = {
    "grub.cfg": "boot/grub/grub.cfg",
    "inittab": "etc/inittab",
    "openvras-healthy": "usr/sbin/openvras-healthy",
    "powerbutton": "etc/acpi/PWRF/00000080",
    "shutdown": "sbin/shutdown",
    "startup": "usr/lib/openvras/startup",
}
VERSION_FILE = "etc/openvras/version"
MANIFEST_FILE = "etc/openvras/manifest"


def make(
    debs: Mapping[str, Path], *, scratch: Path, into: Path, say: Callable[[str], None]
) -> dict[str, str]:
    """Write v1, v2, unhealthy and unbootable as `into`/<name>.raw.

    Returns by name the sha256 (hex) of the version file inside. Raises HostBroken.
    """
    say("boot images: unpacking packages")
    applications = scratch / "applications"
    for name in (*APPLICATIONS, *ADDED_IN_V2):
        debianpackages.unpack(debs[name], applications / name)
    root = _system(debs, scratch)
    masters = _Masters(root=root, applications=applications, into=into)
    say("boot images: version 1")
    masters.first(scratch=scratch)
    say("boot images: version 2 and two that fail")
    masters.second()
    masters.unhealthy()
    masters.unbootable()
    return masters.markers


def _system(debs: Mapping[str, Path], scratch: Path) -> Path:
    """The guest's own files, as a tree."""
    root = scratch / "root"
    for name in SYSTEM:
        debianpackages.unpack(debs[name], root)
    for folder in FOLDERS:
        (root / folder).mkdir(parents=True, exist_ok=True)
    rootfs.link_busybox(root)
    for source, place in PLACES.items():
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(GUEST / source, root / place)
        (root / place).chmod(0o644 if source in {"grub.cfg", "inittab"} else 0o755)
    init = GUEST / "initramfs-init"
    rootfs.add_kernel(debs[KERNEL], root, unpacked=scratch / "kernel", init=init, modules=MODULES)
    return root


class _Masters:
    """The versions, each made from one before it."""

    def __init__(self, *, root: Path, applications: Path, into: Path) -> None:
        self._root = root
        self._applications = applications
        self._into = into
        self.markers: dict[str, str] = {}

    def first(self, *, scratch: Path) -> None:
        self._describe("v1", APPLICATIONS)
        bootdisk.create(self._disk("v1"), scratch=scratch)
        change = bootdisk.Change()
        change.put(self._root, "/")
        for name in APPLICATIONS:
            change.put(self._applications / name, f"/opt/{name}")
        self._finish("v1", change)

    def second(self) -> None:
        change = self._next("v2", made_from="v1")
        for name in REMOVED_IN_V2:
            change.remove(self._applications / name, f"/opt/{name}")
        for name in ADDED_IN_V2:
            change.put(self._applications / name, f"/opt/{name}")
        self._finish("v2", change)

    def unhealthy(self) -> None:
        """Starts and answers, but one program of an application is lost."""
        change = self._next("unhealthy", made_from="v2")
        change.remove(self._applications / LACKING_IN_UNHEALTHY, f"/opt/{LACKING_IN_UNHEALTHY}")
        self._finish("unhealthy", change)

    def unbootable(self) -> None:
        """The firmware finds the boot loader, and that finds no kernel."""
        change = self._next("unbootable", made_from="v2")
        change.remove(self._root / "boot/vmlinuz", "/boot/vmlinuz")
        self._finish("unbootable", change)

    def _next(self, name: str, *, made_from: str) -> bootdisk.Change:
        run("cp", "--sparse=always", self._disk(made_from), self._disk(name))
        self._describe(name, sorted({*APPLICATIONS, *ADDED_IN_V2} - set(REMOVED_IN_V2)))
        change = bootdisk.Change()
        for file in (VERSION_FILE, MANIFEST_FILE):
            change.replace(self._root / file, f"/{file}")
        return change

    def _finish(self, name: str, change: bootdisk.Change) -> None:
        change.apply(self._disk(name))
        bootdisk.check(self._disk(name))

    def _describe(self, name: str, applications: Iterable[str]) -> None:
        """The files that tell the guest which version it is and what belongs to it."""
        manifest = "".join(self._programs(applications))
        digest = hashlib.sha256(manifest.encode()).hexdigest()
        version = f"OpenVRAS demo master {name}\napplications {digest}\n"
        (self._root / MANIFEST_FILE).write_text(manifest)
        (self._root / VERSION_FILE).write_text(version)
        self.markers[name] = hashlib.sha256(version.encode()).hexdigest()

    def _programs(self, applications: Iterable[str]) -> Iterable[str]:
        """`<size> <path>` of every executable file, as openvras-healthy compares them."""
        for name in applications:
            for file in sorted((self._applications / name).rglob("*")):
                if file.is_file() and not file.is_symlink() and file.stat().st_mode & 0o111:
                    yield f"{file.stat().st_size} /opt/{file.relative_to(self._applications)}\n"

    def _disk(self, name: str) -> Path:
        return self._into / f"{name}.raw"
