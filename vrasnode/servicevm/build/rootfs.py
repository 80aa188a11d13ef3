"""A guest's root as a tree: files of unpacked packages, names for busybox, a kernel with its first files."""

import shutil
from collections.abc import Iterable
from pathlib import Path

from vrasnode.servicevm.build import debianpackages, initramfs
from vrasnode.servicevm.build.hosttools import run

BUSYBOX = Path("bin/busybox")
LOADER = Path("lib64/ld-linux-x86-64.so.2")


def copy(packages: Path, file: Path, root: Path) -> None:
    """A file under the name that it is looked for; links are followed, inside the tree."""
    source = packages / file
    while source.is_symlink():
        link = source.readlink()
        source = packages / link.relative_to("/") if link.is_absolute() else source.parent / link
    target = root / file
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    target.chmod(0o755 if source.stat().st_mode & 0o100 else 0o644)


def link_busybox(root: Path) -> None:
    """A name for each program that busybox has, where no package brought the real one."""
    for program in run(root / BUSYBOX, "--list-full").stdout.split():
        link = root / program
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.exists():
            link.symlink_to(f"/{BUSYBOX}")


def add_kernel(deb: Path, root: Path, *, unpacked: Path, init: Path, modules: Iterable[str]) -> None:
    """The kernel of a package, and the first files with which it finds its disk. `unpacked` is scratch."""
    debianpackages.unpack(deb, unpacked)
    (image,) = (unpacked / "boot").glob("vmlinuz-*")
    (root / "boot").mkdir(exist_ok=True)
    shutil.copyfile(image, root / "boot/vmlinuz")
    first = initramfs.build(busybox=root / BUSYBOX, init=init, kernel_tree=unpacked, modules=modules)
    (root / "boot/initrd.img").write_bytes(first)
