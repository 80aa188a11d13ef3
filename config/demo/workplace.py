"""A small master image of a Linux desktop on which people work with documents: no screen, a real way.

Debian's kernel with SMB, mount.cifs, curl, Kerberos, the guest agent, and the scripts of deploy/client-vm as
a company would install them. It takes its addresses from both its networks. Users log on by `session`, which
stands for the login screen of a domain member. For the demo and the tests; the masters that the main job is
played with (bootmaster) stay as small as they are.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from config.demo import bootmaster
from vrasnode.servicevm.build import bootdisk, debianpackages, hosttools, initramfs, libraries, rootfs
from vrasnode.servicevm.build import cache as cache_of
from vrasnode.servicevm.build.debianpackages import KERNEL

PACKAGES = ("busybox-static", "cifs-utils", "curl", "krb5-user", "qemu-guest-agent")
PROGRAMS = tuple(
    Path(name)
    for name in (
        *("sbin/mount.cifs", "usr/sbin/qemu-ga", "usr/bin/curl"),
        *("usr/bin/kinit", "usr/bin/klist", "usr/bin/kdestroy"),
    )
)
# Beside what any guest needs: networks, SMB, and the ciphers that SMB asks for by name.
MODULES = (
    *(*bootmaster.MODULES, "virtio_net", "af_packet"),
    *("cifs", "nls_utf8", "cmac", "hmac", "ccm", "gcm", "ghash_generic", "ctr", "ecb", "sha512_generic"),
)
FILES = Path(__file__).parent / "workplacefiles"
CLIENT_VM = Path(__file__).parents[2] / "deploy" / "client-vm" / "linux"
PLACES = {
    bootmaster.GUEST / "grub.cfg": "boot/grub/grub.cfg",
    bootmaster.GUEST / "openvras-healthy": "usr/sbin/openvras-healthy",
    bootmaster.GUEST / "powerbutton": "etc/acpi/PWRF/00000080",
    bootmaster.GUEST / "shutdown": "sbin/shutdown",
    FILES / "inittab": "etc/inittab",
    FILES / "krb5.conf": "etc/krb5.conf",
    FILES / "lease": "usr/lib/openvras/lease",
    FILES / "session": "usr/lib/openvras/session",
    FILES / "startup": "usr/lib/openvras/startup",
    CLIENT_VM / "documents": "usr/lib/openvras/documents",
    CLIENT_VM / "openvras-logon": "usr/lib/openvras/openvras-logon",
}
NOT_RUN = {"grub.cfg", "inittab", "krb5.conf"}
TEXTS = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n",
    "etc/group": "root:x:0:\nnogroup:x:65534:\n",
    "etc/shadow": "root:*:19000::::::\n",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
    "etc/hosts": "127.0.0.1 localhost\n",
}
FOLDERS = ("dev", "home", "proc", "root", "run", "sys", "tmp", "var")
SESSION = "/usr/lib/openvras/session"

_DISK, _RECORD = "workplace.raw", "image.json"


@dataclass(frozen=True)
class Workplace:
    """A read-only raw disk; `marker` is the sha256 (hex) of its version file."""

    disk: Path
    marker: str


def build_workplace(cache: Path, *, say: Callable[[str], None] = lambda _line: None) -> Workplace:
    """The image, from the cache where this recipe has been built before.

    Promises and errors are those of `bootimage.build_images`.
    """
    folder = cache / f"workplace-{_recipe()}"

    def make(scratch: Path, into: Path) -> None:
        hosttools.require()
        packages = debianpackages.fetch(PACKAGES, into=cache / "packages", say=say, libraries=True)
        debs = {name: found.deb for name, found in packages.items()}
        say("workplace: choosing files and writing the disk")
        marker = _make(debs, scratch=scratch, disk=into / _DISK)
        versions = {name: found.package.version for name, found in packages.items()}
        (into / _RECORD).write_text(json.dumps({"marker": marker, "packages": versions}, indent=2))

    cache_of.made_once(folder, make)
    record = json.loads((folder / _RECORD).read_bytes())
    return Workplace(disk=folder / _DISK, marker=record["marker"])


def _recipe() -> str:
    """Names everything here that decides what the image holds."""
    modules = (bootdisk, debianpackages, hosttools, initramfs, libraries, rootfs)
    sources = [Path(module.__file__ or "") for module in modules]
    return cache_of.recipe([Path(__file__), *sources, *PLACES, bootmaster.GUEST / "initramfs-init"])


def _make(debs: Mapping[str, Path], *, scratch: Path, disk: Path) -> str:
    """Writes the disk; returns the marker."""
    packages, root = scratch / "packages", scratch / "root"
    for name in sorted(set(debs) - {KERNEL}):
        debianpackages.unpack(debs[name], packages)
    for file in {*PROGRAMS, *libraries.needed_by(PROGRAMS, tree=packages), rootfs.LOADER, rootfs.BUSYBOX}:
        rootfs.copy(packages, file, root)
    for folder in FOLDERS:
        (root / folder).mkdir(parents=True, exist_ok=True)
    rootfs.link_busybox(root)
    for source, place in PLACES.items():
        _put(root / place, source.read_text(), mode=0o644 if source.name in NOT_RUN else 0o755)
    for place, text in TEXTS.items():
        _put(root / place, text)
    (root / "etc/resolv.conf").symlink_to("/run/resolv.conf")
    init = bootmaster.GUEST / "initramfs-init"
    rootfs.add_kernel(debs[KERNEL], root, unpacked=scratch / "kernel", init=init, modules=MODULES)
    marker = _describe(root)
    bootdisk.create(disk, scratch=scratch)
    change = bootdisk.Change()
    change.put(root, "/")
    change.apply(disk)
    bootdisk.check(disk)
    return marker


def _put(path: Path, text: str, *, mode: int = 0o644) -> None:
    """Never through a link of busybox that may lie there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    path.write_text(text)
    path.chmod(mode)


def _describe(root: Path) -> str:
    """What `openvras-healthy` compares, and which version this is; the marker of the latter."""
    manifest = "".join(f"{(root / name).stat().st_size} /{name}\n" for name in PROGRAMS)
    version = f"OpenVRAS demo workplace\nprograms {hashlib.sha256(manifest.encode()).hexdigest()}\n"
    _put(root / bootmaster.MANIFEST_FILE, manifest)
    _put(root / bootmaster.VERSION_FILE, version)
    return hashlib.sha256(version.encode()).hexdigest()
