"""Small master images that really boot, made from Debian packages: for the demo and for the tests.

Four raw disks of 256 MiB: a master's version 1, its version 2 (packages removed and added in place), one that
starts and answers but lacks a part of an application, and one that does not start (bootmaster says what is in
them). Under BIOS a guest needs 96 MiB of memory, under UEFI 256. Nothing here needs root rights, mounts or
loop devices. Not for masters that people work with.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from config.demo import bootmaster
from vrasnode.servicevm.build import bootdisk, debianpackages, hosttools, initramfs, rootfs
from vrasnode.servicevm.build import cache as cache_of

MARKER = f"/{bootmaster.VERSION_FILE}"
HEALTH_COMMAND = ["/usr/sbin/openvras-healthy"]

IMAGES = ("v1", "v2", "unhealthy", "unbootable")
_RECORD = "images.json"

default_cache = cache_of.default_cache


@dataclass(frozen=True)
class BootImages:
    """Read-only raw disks. `marker` holds by the same names the sha256 (hex) of each one's file MARKER."""

    v1: Path
    v2: Path
    unhealthy: Path
    unbootable: Path
    marker: Mapping[str, str]


def build_images(cache: Path, *, say: Callable[[str], None] = lambda _line: None) -> BootImages:
    """The images, from the cache where this recipe has been built before (then without network and tools).

    A build that is killed leaves nothing that is taken for images; two at once become one. The packages'
    versions are those of the day of the build: remove the folder to get today's. Raises HostBroken
    (`tool_missing`, `packages_unavailable`, `tool_failed`, `image_not_built`).
    """
    folder = cache / f"bootimages-{_recipe()}"

    def make(scratch: Path, into: Path) -> None:
        hosttools.require()
        packages = debianpackages.fetch(bootmaster.PACKAGES, into=cache / "packages", say=say)
        debs = {name: found.deb for name, found in packages.items()}
        marker = bootmaster.make(debs, scratch=scratch, into=into, say=say)
        versions = {name: found.package.version for name, found in packages.items()}
        record = {"marker": marker, "packages": versions}
        (into / _RECORD).write_text(json.dumps(record, indent=2, sort_keys=True))

    cache_of.made_once(folder, make)
    return _read(folder)


def _recipe() -> str:
    """Names everything here that decides what the images hold."""
    modules = (bootdisk, bootmaster, debianpackages, hosttools, initramfs, rootfs)
    sources = [Path(module.__file__ or "") for module in modules]
    return cache_of.recipe([Path(__file__), *sources, *sorted(bootmaster.GUEST.iterdir())])


def _read(folder: Path) -> BootImages:
    marker: dict[str, str] = json.loads((folder / _RECORD).read_bytes())["marker"]
    return BootImages(**{name: folder / f"{name}.raw" for name in IMAGES}, marker=marker)
