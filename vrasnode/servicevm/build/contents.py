"""What is in the virtual server's image: programs of Debian, their libraries, our program, and nothing else.

No login, no shell for anyone on a line, no package tools. Which files get onto a disk, and how, is
`bootdisk`'s; where packages come from `debianpackages`'.
"""

import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from vrasnode.servicevm.build import bootdisk, debianpackages, libraries, rootfs
from vrasnode.servicevm.build.debianpackages import KERNEL
from vrasnode.servicevm.build.hosttools import run

PACKAGES = (
    *("busybox-static", "e2fsprogs", "restic", "samba", "samba-common-bin", "samba-libs"),
    *("samba-vfs-modules", "python3.11-minimal", "libpython3.11-minimal", "libpython3.11-stdlib"),
)
# Programs and modules that are loaded by name; the libraries that they are linked with follow.
PROGRAMS = (
    *("sbin/mke2fs", "sbin/e2fsck", "sbin/resize2fs", "usr/bin/restic", "usr/bin/python3.11"),
    *("usr/sbin/smbd", "usr/bin/smbcontrol", "usr/bin/smbpasswd"),
    *(f"usr/libexec/samba/{name}" for name in ("samba-dcerpcd", "rpcd_classic", "rpcd_lsad", "rpcd_winreg")),
    *(
        f"usr/lib/x86_64-linux-gnu/samba/vfs/{name}.so"
        for name in ("acl_xattr", "streams_xattr", "full_audit", "catia")
    ),
    *(
        f"usr/lib/python3.11/lib-dynload/{name}.cpython-311-x86_64-linux-gnu.so"
        for name in ("_ctypes", "_hashlib", "_json", "_queue", "_uuid")
    ),
)
PYTHON = Path("usr/lib/python3.11")
PYTHON_MODULES = (
    *("__future__", "_collections_abc", "_compat_pickle", "_sitebuiltins", "_weakrefset", "abc", "ast"),
    *(
        "base64",
        "bisect",
        "codecs",
        "collections",
        "concurrent",
        "contextlib",
        "copy",
        "copyreg",
        "ctypes",
        "datetime",
    ),
    *(
        "dataclasses",
        "dis",
        "encodings",
        "enum",
        "fnmatch",
        "functools",
        "genericpath",
        "glob",
        "hashlib",
        "heapq",
        "hmac",
    ),
    *("importlib", "inspect", "io", "ipaddress", "json", "keyword", "linecache", "locale", "logging"),
    *("ntpath", "opcode", "operator", "os", "pathlib", "pickle", "posixpath", "queue", "random", "re"),
    *("reprlib", "runpy", "secrets", "selectors", "shutil", "signal", "socket", "stat", "string", "struct"),
    *("subprocess", "tempfile", "textwrap", "threading", "token", "tokenize", "traceback", "types", "typing"),
    *("urllib", "uuid", "warnings", "weakref", "zipimport", "pkgutil"),
)
MODULES = (
    *("virtio_pci", "virtio_blk", "virtio_console", "virtio_net", "virtio_rng"),
    *("button", "evdev", "af_packet"),
)
FOLDERS = ("data", "dev", "etc", "proc", "root", "run", "sys", "tmp", "usr/lib/openvras", "var")
FILES = Path(__file__).parent / "files"
PLACES = {
    "grub.cfg": "boot/grub/grub.cfg",
    "inittab": "etc/inittab",
    "lease": "usr/lib/openvras/lease",
    "powerbutton": "etc/acpi/PWRF/00000080",
    "program": "usr/lib/openvras/program",
    "shutdown": "sbin/shutdown",
    "startup": "usr/lib/openvras/startup",
}
NOT_RUN = {"grub.cfg", "inittab"}
TEXTS = {
    # The file server's users are added to a copy, which /etc/passwd leads to (files/startup).
    "etc/openvras/passwd": (
        "root:*:0:0:root:/root:/bin/false\nowner:*:1000:1000::/:/bin/false\n"
        "nobody:*:65534:65534::/:/bin/false\n"
    ),
    "etc/group": "root:x:0:\nowner:x:1000:\nnogroup:x:65534:\n",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
    "etc/hosts": "127.0.0.1 localhost vras\n",  # smbd asks for its own name with each connection
}
LINKS = {
    "etc/passwd": "/run/accounts/passwd",
    "etc/resolv.conf": "/run/resolv.conf",
    "etc/mtab": "/proc/mounts",
    "sbin/mkfs.ext4": "mke2fs",
}
VERSION_FILE = "etc/openvras/version"
PROGRAM = Path(__file__).parents[1] / "guest"
PROGRAM_PACKAGES = (PROGRAM.parents[1], PROGRAM.parent)  # whose __init__ it needs to be found


def make(
    debs: Mapping[str, Path], *, version: str, scratch: Path, into: Path, say: Callable[[str], None]
) -> None:
    """Writes the raw disk `into`. Raises HostBroken."""
    say("virtual server: unpacking packages")
    packages, root = scratch / "packages", scratch / "root"
    for name in sorted(debs):
        if name != KERNEL:
            debianpackages.unpack(debs[name], packages)
    say("virtual server: choosing files")
    _choose(packages, root)
    _our_own(root, version)
    init = FILES / "initramfs-init"
    rootfs.add_kernel(debs[KERNEL], root, unpacked=scratch / "kernel", init=init, modules=MODULES)
    say("virtual server: writing the disk")
    bootdisk.create(into, scratch=scratch)
    change = bootdisk.Change()
    change.put(root, "/")
    change.apply(into)
    bootdisk.check(into)


def program_files() -> list[Path]:
    """The sources of our program, as they go into the image."""
    return sorted([*PROGRAM.glob("*.py"), *(package / "__init__.py" for package in PROGRAM_PACKAGES)])


def _choose(packages: Path, root: Path) -> None:
    """Programs, the libraries that they are linked with, and a part of Python's library."""
    chosen = {Path(name) for name in PROGRAMS}
    for file in {*chosen, *libraries.needed_by(chosen, tree=packages), rootfs.LOADER, rootfs.BUSYBOX}:
        rootfs.copy(packages, file, root)
    for name in PYTHON_MODULES:
        for file in (packages / PYTHON / f"{name}.py", *(packages / PYTHON / name).rglob("*.py")):
            if file.exists():
                rootfs.copy(packages, file.relative_to(packages), root)
    for folder in FOLDERS:
        (root / folder).mkdir(parents=True, exist_ok=True)
    rootfs.link_busybox(root)


def _our_own(root: Path, version: str) -> None:
    for source, place in PLACES.items():
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        # Busybox' own link may be there: the file must not be written through it.
        (root / place).unlink(missing_ok=True)
        shutil.copyfile(FILES / source, root / place)
        (root / place).chmod(0o644 if source in NOT_RUN else 0o755)
    for place, text in {**TEXTS, VERSION_FILE: f"{version}\n"}.items():
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        (root / place).write_text(text)
        (root / place).chmod(0o644)
    for place, link in LINKS.items():
        (root / place).unlink(missing_ok=True)
        (root / place).symlink_to(link)
    for file in program_files():
        target = root / "usr/lib/openvras/vrasnode" / file.relative_to(PROGRAM_PACKAGES[0])
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)
    _compile(root)


def _compile(root: Path) -> None:
    """Python's modules in the form that it loads at once. It is the same version as this one, or it goes
    without; what is compiled holds no times and no paths of this machine."""
    if sys.version_info[:2] != (3, 11):
        return
    places = (root / PYTHON, root / "usr/lib/openvras/vrasnode")
    compile_all = (sys.executable, "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash")
    run(*compile_all, "-s", root, *places)
