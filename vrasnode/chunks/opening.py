"""Opens what an administrator calls a disk image, so that the rest reads raw bytes: raw as it is, qcow2
through `qemu-img`. Refuses what is no whole disk, and everything that would make us read another file.

Headers of a qcow2 are looked at here before QEMU sees them: `qemu-img info` opens an external data file to
describe it, and a backing file can be any file of the server.
"""

import fcntl
import os
import stat
import struct
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from vrasnode.chunks import freespace, scanning
from vrasnode.chunks.disks import check_disk
from vrasnode.chunks.freespace import FreeSpace
from vrasnode.errors import HostBroken, Refused
from vrasnode.wire.imaging import MAX_IMAGE_BYTES

SCRATCH = Path("/var/tmp")  # noqa: S108  large and on a disk; nothing is left there under a name

_QCOW2 = b"QFI\xfb"
# magic, version, backing offset, backing length, cluster bits, size, encryption (docs/interop/qcow2 in QEMU)
_QCOW2_HEADER = struct.Struct(">4sIQIIQI")
_QCOW2_FEATURES_AT = 72
_QCOW2_CORRUPT, _QCOW2_DATA_FILE = 2, 4
_CHECK_LEAKS_ONLY = 3  # exit code of qemu-img check: space is lost, nothing is wrong
# QEMU holds a lock on this byte of an image that a machine may write (block/file-posix.c: 100 + bit 1).
_QEMU_WRITES_AT = 101
_LOCK = struct.Struct("hhqqi")


@dataclass(frozen=True, slots=True)
class OpenImage:
    """An image that reads as raw bytes from `fd`."""

    fd: int
    size_bytes: int
    format: str  # of the file that was given: "raw" or "qcow2"
    source: int  # descriptor of that file
    seen: tuple[int, ...]  # its size and times when it was opened

    def free_space(self) -> FreeSpace:
        """What of the disk no file system uses, where that is sure. Raises Refused(image_unreadable)."""
        try:
            return freespace.find(lambda offset, length: os.pread(self.fd, length, offset), self.size_bytes)
        except OSError as error:
            words = f"The image cannot be read ({error.strerror}). Check its disk."
            raise Refused("image_unreadable", words) from error

    def unchanged(self) -> None:
        """Raises Refused(image_changed) if the file was written, grown or cut since it was opened."""
        if _look(self.source) != self.seen:
            raise _changed()


@contextmanager
def open_image(path: Path, *, scratch: Path | None = None) -> Iterator[OpenImage]:
    """The disk image at `path`, read-only. `scratch` takes the raw copy of a qcow2 (sparse, without a name).

    Raises Refused: image_unreadable, image_empty, image_too_large, image_truncated, not_an_image,
    image_in_use, image_has_backing_file, image_has_data_file, image_encrypted; and HostBroken: disk_full,
    qemu_img_missing.
    """
    source = _open(path)
    try:
        seen = _look(source)
        size = os.lseek(source, 0, os.SEEK_END)
        if not size:
            raise Refused("image_empty", f"{path.name} is empty. Choose another file.")
        _refuse_written(source)
        if os.pread(source, 4, 0) == _QCOW2 and _qcow2_version(source) in (2, 3):
            with _converted(source, path.name, scratch or SCRATCH) as (fd, size):
                _check(fd, size)
                image = OpenImage(fd, size, "qcow2", source, seen)
                image.unchanged()
                yield image
        else:
            _check_size(size)
            _check(source, size)
            yield OpenImage(source, size, "raw", source, seen)
    finally:
        os.close(source)


def _open(path: Path) -> int:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # not to wait for a pipe's other end
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise Refused("image_unreadable", f"{path} cannot be opened: {why}. Check the path.") from error
    mode = os.fstat(fd).st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISBLK(mode)):
        os.close(fd)
        raise Refused("image_unreadable", f"{path} is neither a file nor a disk. Choose a disk image.")
    return fd


def _look(fd: int) -> tuple[int, ...]:
    status = os.fstat(fd)
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _check_size(size_bytes: int) -> None:
    if size_bytes > MAX_IMAGE_BYTES:
        limit = MAX_IMAGE_BYTES >> 40
        words = f"The disk has {size_bytes} bytes; {limit} TiB is the most. Make a smaller disk."
        raise Refused("image_too_large", words)


def _check(fd: int, size_bytes: int) -> None:
    """Refuses raw bytes that are no disk."""
    if next(scanning.extents(fd, size_bytes), None) is None:
        raise Refused("image_empty", "The disk holds nothing but zeros. Choose another file.")
    try:
        check_disk(lambda offset, length: os.pread(fd, length, offset), size_bytes)
    except OSError as error:
        raise Refused(
            "image_unreadable", f"The image cannot be read ({error.strerror}). Check its disk."
        ) from error


def _refuse_written(fd: int) -> None:
    """A machine that runs on the image would change it under us; QEMU says so by a lock."""
    wanted = _LOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, _QEMU_WRITES_AT, 1, 0)
    try:
        found = fcntl.fcntl(fd, fcntl.F_OFD_GETLK, wanted)
    except OSError:  # a file system without locks
        return
    if _LOCK.unpack(found)[0] != fcntl.F_UNLCK:
        raise Refused(
            "image_in_use", "A virtual machine is running on this image. Shut it down, then publish."
        )


def _changed() -> Refused:
    return Refused(
        "image_changed", "The image changed while it was read. Stop what writes to it and try again."
    )


def _qcow2_version(fd: int) -> int:
    return int.from_bytes(os.pread(fd, 4, 4), "big")


def _qcow2_size(fd: int) -> int:
    """The size of the disk in a qcow2, after refusing what must not be followed or cannot be read."""
    header = os.pread(fd, _QCOW2_FEATURES_AT + 8, 0)
    if len(header) < _QCOW2_FEATURES_AT + 8:  # no version has less before the tables that follow
        raise _unreadable("its header is cut off")
    backing: int
    size: int
    _, version, backing, _, _, size, encryption = _QCOW2_HEADER.unpack_from(header)
    features = int.from_bytes(header[_QCOW2_FEATURES_AT:], "big") if version > 2 else 0
    if backing:
        raise Refused(
            "image_has_backing_file",
            "This qcow2 holds only changes to another file, which is never followed. Publish a whole image:"
            " qemu-img convert -O qcow2 FILE master.qcow2",
        )
    if features & _QCOW2_DATA_FILE:
        raise Refused(
            "image_has_data_file",
            "This qcow2 keeps its data in another file, which is never followed. Publish a whole image:"
            " qemu-img convert -O qcow2 FILE master.qcow2",
        )
    if encryption:
        raise Refused(
            "image_encrypted", "This qcow2 is encrypted. Publish it decrypted: PCs encrypt their disks."
        )
    if features & _QCOW2_CORRUPT:
        raise _unreadable("it is marked as corrupt")
    if not size:
        raise Refused("image_empty", "The disk in this qcow2 has no size. Choose another file.")
    _check_size(size)
    return size


@contextmanager
def _converted(source: int, name: str, scratch: Path) -> Iterator[tuple[int, int]]:
    size = _qcow2_size(source)
    checked = _qemu_img("check", "-q", "-f", "qcow2", _by_fd(source), fds=[source])
    if checked.returncode not in (0, _CHECK_LEAKS_ONLY):
        raise _unreadable(_said(checked, name))
    with _nameless(scratch) as raw:
        raw.truncate(size)
        target = raw.fileno()
        done = _qemu_img(
            *("convert", "-f", "qcow2", "-O", "raw", "-n", "--target-is-zero"),
            *(_by_fd(source), _by_fd(target)),
            fds=[source, target],
        )
        if "No space left" in done.stderr:
            words = (
                f"{scratch} has no room for the raw copy of {name}. Make room there or name another place."
            )
            raise HostBroken("disk_full", words)
        if done.returncode:
            raise _unreadable(_said(done, name))
        yield target, size


@contextmanager
def _nameless(scratch: Path) -> Iterator[BinaryIO]:
    """A file in `scratch` that is gone when we are, however we go."""
    try:
        raw = tempfile.TemporaryFile(dir=scratch)  # noqa: SIM115  only making it may be the disk's fault
    except OSError as error:
        raise HostBroken("disk_full", f"{scratch} cannot take a raw copy: {error.strerror}.") from error
    with raw:
        yield raw


def _qemu_img(*arguments: str, fds: list[int]) -> "subprocess.CompletedProcess[str]":
    try:
        return subprocess.run(
            ["qemu-img", *arguments],
            pass_fds=fds,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env={**os.environ, "LC_ALL": "C"},  # its words are looked at
            text=True,
            errors="replace",
            check=False,
        )
    except FileNotFoundError as error:
        words = "qemu-img is needed to read a qcow2. Install the package qemu-utils."
        raise HostBroken("qemu_img_missing", words) from error


def _by_fd(fd: int) -> str:
    """The file that we looked at, not one that took its name since."""
    return f"/proc/self/fd/{fd}"


def _said(done: "subprocess.CompletedProcess[str]", name: str) -> str:
    lines = (done.stderr or done.stdout).strip().splitlines()
    words = lines[-1].removeprefix("qemu-img: ") if lines else f"qemu-img ended with {done.returncode}"
    head, _, tail = words.partition("/proc/self/fd/")
    return head + name + tail.lstrip("0123456789") if tail else words


def _unreadable(why: str) -> Refused:
    return Refused("image_unreadable", f"The qcow2 cannot be read: {why}. Copy it again or repair it.")
