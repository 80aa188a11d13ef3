"""One agent to a state directory: a lock that ends with the process, however that ends."""

import fcntl
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vrasnode.errors import HostBroken
from vrasnode.host import disk

_WHOLE_FILE = struct.Struct("hhqqi4x")  # struct flock of fcntl(2): type, whence, start, length, pid


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Keeps two agents off one state directory. Raises HostBroken(already_running). The lock ends with the
    process, however that ends."""
    with disk.told(f"{path} cannot be opened"):
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        lock = _WHOLE_FILE.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        try:
            fcntl.fcntl(handle, fcntl.F_OFD_SETLK, lock)
        except (BlockingIOError, PermissionError) as error:
            words = f"Another `vrasnode run` works on {path.parent}. End that one first."
            raise HostBroken("already_running", words) from error
        yield
    finally:
        os.close(handle)


def is_held(path: Path) -> bool:
    """Whether an agent runs, found out without taking the lock from one that is about to start."""
    try:
        handle = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        asked = _WHOLE_FILE.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        found = fcntl.fcntl(handle, fcntl.F_OFD_GETLK, asked)
        return bool(_WHOLE_FILE.unpack(found)[0] != fcntl.F_UNLCK)
    finally:
        os.close(handle)
