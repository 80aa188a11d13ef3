"""The virtual server's image, from the cache where this recipe has been built before."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from vrasnode import __version__
from vrasnode.servicevm.build import (
    bootdisk,
    contents,
    debianpackages,
    hosttools,
    initramfs,
    libraries,
    rootfs,
)
from vrasnode.servicevm.build import cache as cache_of

_RECORD = "image.json"
_DISK = "virtual-server.raw"


@dataclass(frozen=True)
class ServiceImage:
    """A read-only raw disk that boots through firmware, and what its program answers to `version`."""

    disk: Path
    version: str


def build_image(
    cache: Path, *, version: str = __version__, say: Callable[[str], None] = lambda _line: None
) -> ServiceImage:
    """The same packages and sources give the same bytes; another `version` changes a few blocks.

    A build that is killed leaves nothing that is taken for an image; two at once become one. The packages'
    versions are those of the day of the build: remove the folder to get today's. Raises HostBroken
    (`tool_missing`, `packages_unavailable`, `tool_failed`, `image_not_built`).
    """
    folder = cache / f"servicevm-{_recipe()}-{version}"

    def make(scratch: Path, into: Path) -> None:
        hosttools.require()
        packages = debianpackages.fetch(contents.PACKAGES, into=cache / "packages", say=say, libraries=True)
        debs = {name: found.deb for name, found in packages.items()}
        contents.make(debs, version=version, scratch=scratch, into=into / _DISK, say=say)
        record = {name: found.package.version for name, found in packages.items()}
        (into / _RECORD).write_text(json.dumps({"packages": record}, indent=2, sort_keys=True))

    cache_of.made_once(folder, make)
    return ServiceImage(disk=folder / _DISK, version=version)


def _recipe() -> str:
    """Names everything here that decides what the image holds."""
    modules = (bootdisk, contents, debianpackages, hosttools, initramfs, libraries, rootfs)
    sources = [Path(module.__file__ or "") for module in modules]
    return cache_of.recipe(
        [Path(__file__), *sources, *sorted(contents.FILES.iterdir()), *contents.program_files()]
    )
