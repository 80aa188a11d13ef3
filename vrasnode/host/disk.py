"""The file system of this PC: writes that survive a kill or a power cut, clones, holes.

It knows no images and no keys. What goes wrong with a disk comes out as HostBroken with a code that a person
can act on.
"""

import ctypes
import errno
import fcntl
import os
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vrasnode.errors import HostBroken

_FICLONE = 0x40049409  # <linux/fs.h>, ioctl_ficlone(2)
_FICLONERANGE = 0x4020940D
_CLONE_RANGE = struct.Struct("=qQQQ")  # source, its offset, length, offset in the target
_KEEP_SIZE, _PUNCH_HOLE = 1, 2  # <linux/falloc.h>, fallocate(2)
_RANGE_WRITE = 2  # <linux/fs.h>, sync_file_range(2)
_NO_CLONES = {errno.EOPNOTSUPP, errno.ENOTTY, errno.EXDEV, errno.EINVAL, errno.ENOSYS}
_ZEROS = bytes(1 << 20)
BEHIND_BYTES = 32 << 20  # written before the disk is told to begin with it

_libc = ctypes.CDLL(None, use_errno=True)
_libc.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_longlong, ctypes.c_longlong]
_libc.sync_file_range.argtypes = [ctypes.c_int, ctypes.c_longlong, ctypes.c_longlong, ctypes.c_uint]


@contextmanager
def told(what: str) -> Iterator[None]:
    """Turns an OSError inside into HostBroken: disk_full, disk_read_only or disk_failed. `what` begins the
    words: "The image cannot be written"."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise HostBroken("disk_full", f"{what}: the disk is full. Make room on this PC.") from error
        code = "disk_read_only" if error.errno == errno.EROFS else "disk_failed"
        raise HostBroken(code, f"{what}: {error}. See to the disk of this PC.") from error


def write_file(path: Path, data: bytes, *, mode: int = 0o600) -> None:
    """Puts `data` at `path`: after a kill or a power cut there is the old content or the new, whole.

    Raises HostBroken(disk_full, disk_read_only, disk_failed).
    """
    new = path.with_name(f".{path.name}.new")
    with told(f"{path} cannot be written"):
        handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, mode)
        with os.fdopen(handle, "wb") as file:
            os.fchmod(handle, mode)
            file.write(data)
            file.flush()
            os.fsync(handle)
        new.replace(path)
        sync_directory(path.parent)


def read_file(path: Path) -> bytes | None:
    """What lies at `path`; None when nothing does. Raises HostBroken(disk_failed)."""
    with told(f"{path} cannot be read"):
        try:
            return path.read_bytes()
        except FileNotFoundError:
            return None


def make_directory(path: Path, *, mode: int) -> None:
    """The directory `path` with these rights, its parents made too. Raises HostBroken."""
    with told(f"The directory {path} cannot be made"):
        path.mkdir(parents=True, exist_ok=True)
        path.chmod(mode)


def sync_directory(path: Path) -> None:
    """Makes the names in a directory outlast a power cut."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def clone(source: int, target: int) -> bool:
    """Gives the empty file `target` all blocks of `source` without copying; False where that cannot be."""
    return _cloned(target, _FICLONE, source)


def clone_range(source: int, target: int, *, start: int, length: int, to: int) -> bool:
    """The same for a range; all three numbers must be multiples of the block size."""
    return _cloned(target, _FICLONERANGE, _CLONE_RANGE.pack(source, start, length, to))


def punch(handle: int, *, start: int, length: int) -> None:
    """Makes a range read as zeros, giving its blocks back where the file system can. The size stays."""
    if _libc.fallocate(handle, _PUNCH_HOLE | _KEEP_SIZE, start, length) == 0:
        return
    number = ctypes.get_errno()
    if number not in (errno.EOPNOTSUPP, errno.ENOSYS):
        raise OSError(number, os.strerror(number))
    while length > 0:
        written = os.pwrite(handle, _ZEROS[:length], start)
        start, length = start + written, length - written


def read_exactly(handle: int, buffer: memoryview, *, start: int) -> bool:
    """Fills `buffer` from the file; False when the file ends before."""
    done = 0
    while done < len(buffer):
        count = os.preadv(handle, [buffer[done:]], start + done)
        if count == 0:
            return False
        done += count
    return True


class Writer:
    """Writes at places of one open file, from any thread. Every BEHIND_BYTES the disk begins with what was
    written: a sync at the end waits for little, and the machines' own writes do not queue behind it all."""

    def __init__(self, handle: int) -> None:
        self._handle = handle
        self._lock = threading.Lock()
        self._waiting_bytes = 0

    def write(self, data: bytes | memoryview, *, start: int) -> None:
        """Writes all of `data` at `start`, in bytes. It lasts after a sync."""
        view, done = memoryview(data), 0
        while done < len(view):
            done += os.pwrite(self._handle, view[done:], start + done)
        with self._lock:
            self._waiting_bytes += done
            if self._waiting_bytes < BEHIND_BYTES:
                return
            self._waiting_bytes = 0
        begin_writing(self._handle)


def begin_writing(handle: int) -> None:
    """Has the kernel begin to write what it keeps of a file, without waiting for it. Where it cannot, nothing
    is lost: the sync that follows does."""
    _libc.sync_file_range(handle, 0, 0, _RANGE_WRITE)


def _cloned(target: int, request: int, argument: int | bytes) -> bool:
    try:
        fcntl.ioctl(target, request, argument)
    except OSError as error:
        if error.errno in _NO_CLONES:
            return False
        raise
    return True
