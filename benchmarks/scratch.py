"""Room to work in: a directory of one's own in the cache, and file systems of a chosen kind inside it.

What an earlier run left when it was killed is found and removed at the next start. Needs root for the mounts.
"""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from config.demo import lan
from config.demo.bootimage import default_cache
from vrasnode.errors import HostBroken

PREFIX = "run-"
MAKE = {
    "xfs": ["mkfs.xfs", "-q", "-m", "reflink=1"],
    "ext4": ["mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0,nodiscard"],
}


@contextmanager
def directory() -> Iterator[Path]:
    """An empty directory on the disk of the cache, gone afterwards."""
    parent = default_cache() / "benchmarks"
    parent.mkdir(parents=True, exist_ok=True)
    for left in lan.stale(parent, prefix=PREFIX):
        _remove(left)
    path = parent / f"{PREFIX}{lan.owner_tag()}"
    path.mkdir(mode=0o755)
    try:
        yield path
    finally:
        _remove(path)


@contextmanager
def file_system(kind: str, parent: Path, *, size_bytes: int) -> Iterator[Path]:
    """A fresh file system, mounted: "xfs" (files can share blocks) or "ext4" (they cannot).

    It lies in a sparse file below `parent`. Raises HostBroken(mount_failed).
    """
    image, mounted = parent / f"{kind}.disk", parent / kind
    with image.open("wb") as file:
        file.truncate(size_bytes)
    mounted.mkdir()
    _run(*MAKE[kind], str(image))
    # Past the page cache of the disk below, so that nothing is cached or copied twice.
    device = _run("losetup", "--find", "--show", "--direct-io=on", str(image)).strip()
    try:
        _run("mount", device, str(mounted))
    finally:
        _run("losetup", "--detach", device)  # at the end of its last use: that of the mount
    try:
        yield mounted
    finally:
        _run("umount", str(mounted))
        mounted.rmdir()
        image.unlink()


def _remove(path: Path) -> None:
    for kind in MAKE:
        if (path / kind).is_mount():
            _run("umount", str(path / kind))
    shutil.rmtree(path)


def _run(*argv: str) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        raise HostBroken("mount_failed", f"`{' '.join(argv)}` failed: {done.stderr.strip()}. Root is needed.")
    return done.stdout
