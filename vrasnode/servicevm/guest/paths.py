"""Paths inside a volume: bytes from its root, taken one name at a time, and never through a link.

What was looked at is what is opened: each folder is opened by its name in the one before, so nobody who
renames or links meanwhile leads a walk out of the volume.
"""

import binascii
import os
import stat
from base64 import b64decode, b64encode
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from vrasnode.servicevm.guest.answering import Refusal

Parts = tuple[bytes, ...]

THROUGH = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def bytes_of(text: object) -> bytes:
    """From base64. Raises Refusal(bad_path)."""
    try:
        if isinstance(text, str):
            return b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        pass
    raise _bad(text)


def text_of(name: bytes) -> str:
    """In base64, as names cross the control port."""
    return b64encode(name).decode()


def parts_of(text: object) -> Parts:
    """The names of a path in base64; none for the root. Raises Refusal(bad_path) for what leads elsewhere."""
    path = bytes_of(text)
    parts = tuple(path.split(b"/")) if path else ()
    if b"\0" in path or any(part in (b"", b".", b"..") for part in parts):
        raise _bad(text)
    return parts


@contextmanager
def inside(root: Path, parts: Parts) -> Iterator[int]:
    """A descriptor to go through the folder `parts` of the volume at `root`, not to read it.

    Raises OSError as the kernel decides, Refusal(is_a_link).
    """
    descriptor = os.open(root, THROUGH)
    try:
        for part in parts:
            inner = _open(part, THROUGH, descriptor)
            os.close(descriptor)
            descriptor = inner
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def folder(root: Path, parts: Parts) -> Iterator[int]:
    """A descriptor to read the folder. Raises as `inside`."""
    with inside(root, parts) as here:
        descriptor = os.open(".", FOLDER, dir_fd=here)
        try:
            yield descriptor
        finally:
            os.close(descriptor)


@contextmanager
def file(root: Path, parts: Parts) -> Iterator[int]:
    """A descriptor to read the file. Raises as `inside`, and Refusal(not_a_file)."""
    if not parts:
        raise Refusal("not_a_file", "The volume itself is a folder.")
    with inside(root, parts[:-1]) as here:
        found = os.stat(parts[-1], dir_fd=here, follow_symlinks=False)
        if stat.S_ISLNK(found.st_mode):
            raise _is_a_link()
        if not stat.S_ISREG(found.st_mode):
            raise Refusal("not_a_file", "That is no file.")
        descriptor = os.open(parts[-1], FILE, dir_fd=here)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise Refusal("not_a_file", "That is no file.")
            yield descriptor
        finally:
            os.close(descriptor)


class Walk:
    """Everything below a folder, each name before what lies in it, in the order of their bytes.

    For each the descriptor of its folder, its name and whether it is a folder itself; `trail` has the names
    of the folders down to it. A folder is read when the next is asked for, after whoever walks has dealt with
    the folder itself. What may not be read is not entered, nor what has vanished.
    """

    def __init__(self, top: int, *, after: Sequence[bytes] = ()) -> None:
        self._top = top
        self._after = tuple(after)
        self.trail: list[bytes] = []

    def __iter__(self) -> Iterator[tuple[int, bytes, bool]]:
        after = self._after
        levels = [(os.dup(self._top), _entries(self._top, after))]
        try:
            while levels:
                here, entries = levels[-1]
                for name, is_folder in entries:
                    on_the_way = bool(after) and name == after[0]
                    if not on_the_way:
                        yield here, name, is_folder
                    after = after[1:] if on_the_way else ()
                    inner = _enter(name, here) if is_folder else None
                    if inner is not None:
                        levels.append((inner, _entries(inner, after)))
                        self.trail.append(name)
                        break
                    after = ()
                else:
                    os.close(levels.pop()[0])
                    del self.trail[-1:]
                    after = ()
        finally:
            for descriptor, _entries_left in levels:
                os.close(descriptor)


def _enter(name: bytes, here: int) -> int | None:
    try:
        return os.open(name, FOLDER, dir_fd=here)
    except (PermissionError, FileNotFoundError, NotADirectoryError):
        return None


def _entries(folder: int, after: Parts) -> Iterator[tuple[bytes, bool]]:
    """By name, with whether each is a folder, as the folder itself says."""
    first = after[0] if after else b""
    with os.scandir(folder) as entries:
        found = [(os.fsencode(entry.name), entry.is_dir(follow_symlinks=False)) for entry in entries]
    return iter(sorted(one for one in found if one[0] >= first))


def names_in(folder: int) -> Iterator[bytes]:
    """The names in a folder that is open, in no order."""
    return (os.fsencode(name) for name in os.listdir(folder))


def _open(name: bytes, flags: int, here: int) -> int:
    try:
        return os.open(name, flags, dir_fd=here)
    except NotADirectoryError:
        if stat.S_ISLNK(os.stat(name, dir_fd=here, follow_symlinks=False).st_mode):
            raise _is_a_link() from None
        raise


def _is_a_link() -> Refusal:
    return Refusal("is_a_link", "That is a link; links are shown, never followed.")


def _bad(text: object) -> Refusal:
    return Refusal("bad_path", f"{str(text)[:80]!r} is no path inside a volume.")
