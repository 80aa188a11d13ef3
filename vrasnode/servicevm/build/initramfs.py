"""The first file system of a guest's kernel: busybox, the modules to reach the disk, and an init script.

Written by hand in the "newc" cpio format (driver-api/early-userspace/buffer-format in Linux' documentation),
so that it needs neither root (for device nodes) nor a tool, and is the same bytes every time.
"""

import gzip
import re
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

FOLDERS = ("bin", "dev", "modules", "newroot", "proc", "sys")


def build(*, busybox: Path, init: Path, kernel_tree: Path, modules: Iterable[str]) -> bytes:
    """The archive: `/init` runs under busybox and finds `/modules/order`, file names in the order to load.

    A module that the kernel does not have as a file is built in.
    """
    archive = _Archive()
    for folder in FOLDERS:
        archive.add(folder, stat.S_IFDIR | 0o755)
    archive.add("dev/console", stat.S_IFCHR | 0o600, device=(5, 1))
    archive.add("bin/busybox", stat.S_IFREG | 0o755, busybox.read_bytes())
    archive.add("bin/sh", stat.S_IFLNK | 0o777, b"busybox")
    archive.add("init", stat.S_IFREG | 0o755, init.read_bytes())
    files = list(_in_load_order(kernel_tree, modules))
    for file in files:
        archive.add(f"modules/{file.name}", stat.S_IFREG | 0o644, file.read_bytes())
    archive.add("modules/order", stat.S_IFREG | 0o644, "".join(f"{file.name}\n" for file in files).encode())
    return gzip.compress(archive.close(), mtime=0)


def _in_load_order(kernel_tree: Path, wanted: Iterable[str]) -> Iterator[Path]:
    """Each module after those that it depends on, as its own .modinfo section says."""
    files = {file.stem.replace("-", "_"): file for file in kernel_tree.rglob("*.ko")}
    given: set[str] = set()

    def give(name: str) -> Iterator[Path]:
        if name in given or name not in files:
            return
        given.add(name)
        depends = re.search(rb"\0depends=([^\0]+)\0", files[name].read_bytes())
        for other in depends[1].decode().split(",") if depends else ():
            yield from give(other.replace("-", "_"))
        yield files[name]

    for name in wanted:
        yield from give(name)


class _Archive:
    """A newc archive that grows in memory."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._inode = 0

    def add(self, name: str, mode: int, content: bytes = b"", *, device: tuple[int, int] = (0, 0)) -> None:
        self._inode += 1
        path = name.encode() + b"\0"
        fields = (self._inode, mode, 0, 0, 1, 0, len(content), 0, 0, *device, len(path), 0)
        self._bytes += b"070701" + b"".join(b"%08X" % field for field in fields) + path
        self._pad()
        self._bytes += content
        self._pad()

    def close(self) -> bytes:
        self.add("TRAILER!!!", 0)
        return bytes(self._bytes)

    def _pad(self) -> None:
        self._bytes += bytes(-len(self._bytes) % 4)
