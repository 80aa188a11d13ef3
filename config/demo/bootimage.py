"""Small master images that really boot, made from Debian packages: for the demo and for the tests.

Four raw disks of 256 MiB: a master's version 1, its version 2 (packages removed and added in place), one that
starts and answers but lacks a part of an application, and one that does not start (bootmaster says what is in
them). Under BIOS a guest needs 96 MiB of memory, under UEFI 256. Nothing here needs root rights, mounts or
loop devices. Not for masters that people work with.
"""

import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from config.demo import bootdisk, bootmaster, debianpackages, hosttools, initramfs

MARKER = f"/{bootmaster.VERSION_FILE}"
HEALTH_COMMAND = ["/usr/sbin/openvras-healthy"]

IMAGES = ("v1", "v2", "unhealthy", "unbootable")
_RECORD = "images.json"


@dataclass(frozen=True)
class BootImages:
    """Read-only raw disks. `marker` holds by the same names the sha256 (hex) of each one's file MARKER."""

    v1: Path
    v2: Path
    unhealthy: Path
    unbootable: Path
    marker: Mapping[str, str]


def default_cache(environ: Mapping[str, str] = os.environ) -> Path:
    """`OPENVRAS_CACHE`, or `.cache` in the root of the source tree."""
    return Path(environ.get("OPENVRAS_CACHE") or Path(__file__).parents[2] / ".cache")


def build_images(cache: Path, *, say: Callable[[str], None] = lambda _line: None) -> BootImages:
    """The images, from the cache where this recipe has been built before (then without network and tools).

    A build that is killed leaves nothing that is taken for images; two at once become one. The packages'
    versions are those of the day of the build: remove the folder to get today's. Raises HostBroken
    (`tool_missing`, `packages_unavailable`, `tool_failed`, `image_not_built`).
    """
    folder = cache / f"bootimages-{_recipe()}"
    if not (folder / _RECORD).exists():
        cache.mkdir(parents=True, exist_ok=True)
        with _only_builder(cache):
            if not (folder / _RECORD).exists():
                _build(folder, cache=cache, say=say)
    return _read(folder)


def _recipe() -> str:
    """Names everything here that decides what the images hold."""
    modules = (bootdisk, bootmaster, debianpackages, hosttools, initramfs)
    sources = [Path(module.__file__ or "") for module in modules]
    digest = hashlib.sha256()
    for file in [Path(__file__), *sources, *sorted(bootmaster.GUEST.iterdir())]:
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()[:16]


def _read(folder: Path) -> BootImages:
    marker: dict[str, str] = json.loads((folder / _RECORD).read_bytes())["marker"]
    return BootImages(**{name: folder / f"{name}.raw" for name in IMAGES}, marker=marker)


@contextmanager
def _only_builder(cache: Path) -> Iterator[None]:
    """One builder of a cache at a time; what a killed one left behind is removed."""
    with (cache / "bootimages.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for left in cache.glob("building-*"):
            # A program that the killed one had started may write on for a moment: the next build gets that.
            shutil.rmtree(left, ignore_errors=True)
        yield


def _build(folder: Path, *, cache: Path, say: Callable[[str], None]) -> None:
    hosttools.require()
    packages = debianpackages.fetch(bootmaster.PACKAGES, into=cache / "packages", say=say)
    with tempfile.TemporaryDirectory(prefix="building-", dir=cache) as scratch:
        images = Path(scratch) / "images"
        images.mkdir()
        debs = {name: found.deb for name, found in packages.items()}
        marker = bootmaster.make(debs, scratch=Path(scratch), into=images, say=say)
        versions = {name: found.package.version for name, found in packages.items()}
        record = {"marker": marker, "packages": versions}
        (images / _RECORD).write_text(json.dumps(record, indent=2, sort_keys=True))
        _publish(images, folder)
    say(f"boot images: ready in {folder}")


def _publish(images: Path, folder: Path) -> None:
    """All there under its final name, also after a power cut, or nothing."""
    for file in images.iterdir():
        file.chmod(0o444)
        _fsync(file)
    _fsync(images)
    images.rename(folder)
    _fsync(folder.parent)


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
