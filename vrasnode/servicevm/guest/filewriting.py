"""A file is brought into a volume: piece by piece under a name of its own, then whole under the right one.

`file_put` takes the pieces in order, the first one makes the file; `file_keep` looks whether all of it is
there, makes it durable and gives it its name, in one step of the file system; `file_drop` does away with it.
`files_put` does all of that for a handful of small files, which become durable together.
As in `foldertree` each is done with the rights of who writes; the file then belongs to the volume's owner. A
power cut leaves the old file, or none, or the new one whole, and at most what was begun, which is swept up
later.
"""

import ctypes
import errno
import hashlib
import os
import re
import stat
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vrasnode.servicevm.guest import paths
from vrasnode.servicevm.guest.answering import Ops, Refusal
from vrasnode.servicevm.guest.errnos import refusal_of
from vrasnode.servicevm.guest.paths import Parts
from vrasnode.servicevm.guest.volumes import OWNER
from vrasnode.servicevm.guest.workers import Workers

BEGUN = b".openvras-put-"  # and the upload's name: neither listed nor shared
STALE_S = 24 * 3600.0
MAX_PIECE_BYTES = 160 << 10
MAX_FILES = 64
READ_BYTES = 1 << 20
_UPLOAD = re.compile(r"[0-9a-f]{32}")
_NOREPLACE = 1  # RENAME_NOREPLACE, <linux/fs.h>
_libc = ctypes.CDLL(None, use_errno=True)
Done = Mapping[str, Any]


def add_to(ops: Ops, *, workers: Workers, data: Path) -> None:
    """Adds `file_put`, `file_keep`, `file_drop` and `files_put`."""

    def file_put(
        serial: str,
        *,
        path: str,
        upload: str,
        offset: int,
        data64: str = "",
        folders: bool = False,
        uid: int = 0,
    ) -> Done:
        parts, name, piece = _place(path), _begun(upload), paths.bytes_of(data64)
        if not isinstance(offset, int) or offset < 0 or len(piece) > MAX_PIECE_BYTES:
            raise Refusal("bad_args", "This is no piece of a file.")
        if folders and not uid and not offset:
            workers.run(serial, lambda: make_folders(data / serial, parts[:-1]))
        return workers.run(serial, lambda: put(data / serial, parts, name, offset, piece), uid=uid)

    def file_keep(
        serial: str,
        *,
        path: str,
        upload: str,
        size_bytes: int,
        sha256: str,
        mtime_ns: int = 0,
        replace: bool = False,
        uid: int = 0,
    ) -> Done:
        parts, name, root = _place(path), _begun(upload), data / serial
        about: dict[str, Any] = {"size_bytes": size_bytes, "sha256": sha256, "mtime_ns": mtime_ns}
        workers.run(serial, lambda: complete(root, parts, name, **about), uid=uid)
        # Whoever wrote it may not give it away: that is ours to do, before it has its name.
        workers.run(serial, lambda: give_to_owner(root, parts, name))
        return workers.run(serial, lambda: keep(root, parts, name, replace=replace is True), uid=uid)

    def file_drop(serial: str, *, path: str, upload: str, uid: int = 0) -> Done:
        parts, name = _place(path), _begun(upload)
        return workers.run(serial, lambda: drop(data / serial, parts, name), uid=uid)

    def files_put(serial: str, *, files: Sequence[Mapping[str, Any]], path: str = "", uid: int = 0) -> Done:
        if uid or path or not isinstance(files, list) or len(files) > MAX_FILES:
            raise Refusal("bad_args", "These are no files for an administrator to bring.")
        small = [_small(file) for file in files]
        return workers.run(serial, lambda: put_many(data / serial, small))

    ops.add("file_put", file_put)
    ops.add("file_keep", file_keep)
    ops.add("file_drop", file_drop)
    ops.add("files_put", files_put)


def put(root: Path, parts: Parts, name: bytes, offset: int, piece: bytes) -> Done:
    """The piece at `offset` stands in the file that was begun; at 0 it begins."""
    with _writing(root, parts) as here:
        if not offset:
            _sweep(here)
        flags = os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC | (0 if offset else os.O_CREAT | os.O_TRUNC)
        os.umask(0o077)  # where nothing is granted; a folder's default list counts instead of it
        descriptor = os.open(name, flags, 0o660, dir_fd=here)
        try:
            if offset > os.fstat(descriptor).st_size:
                raise Refusal("bad_args", "A piece before this one is missing.")
            left = memoryview(piece)
            while left:
                count = os.pwrite(descriptor, left, offset)
                left, offset = left[count:], offset + count
        finally:
            os.close(descriptor)
    return {"size_bytes": offset}


def complete(root: Path, parts: Parts, name: bytes, *, size_bytes: int, sha256: str, mtime_ns: int) -> Done:
    """Whether all of it is there, and durable. Raises Refusal(not_whole)."""
    with _writing(root, parts) as here:
        descriptor = os.open(name, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=here)
        try:
            digest = hashlib.sha256()
            while piece := os.read(descriptor, READ_BYTES):
                digest.update(piece)
            if os.fstat(descriptor).st_size != size_bytes or digest.hexdigest() != sha256:
                raise Refusal("not_whole", "What has arrived is not what was sent.")
            if mtime_ns:
                os.utime(descriptor, ns=(mtime_ns, mtime_ns))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    return {}


def give_to_owner(root: Path, parts: Parts, name: bytes) -> Done:
    """It belongs to the volume's owner, as everything there."""
    with paths.inside(root, parts[:-1]) as here:
        descriptor = os.open(name, paths.FILE, dir_fd=here)
        try:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
                raise Refusal("not_a_file", "That is no file.")
            os.fchown(descriptor, OWNER, OWNER)
        finally:
            os.close(descriptor)
    return {}


def keep(root: Path, parts: Parts, name: bytes, *, replace: bool) -> Done:
    """It has its name. Raises Refusal: name_taken, not_a_file."""
    with _writing(root, parts) as here:
        try:
            if replace:
                with suppress(FileNotFoundError):
                    if not stat.S_ISREG(os.stat(parts[-1], dir_fd=here, follow_symlinks=False).st_mode):
                        raise Refusal("not_a_file", "That is no file.")
                os.rename(name, parts[-1], src_dir_fd=here, dst_dir_fd=here)
            else:
                _rename_to_new(here, name, parts[-1])
        except FileExistsError:
            raise Refusal("name_taken", "There is something of this name.") from None
        descriptor = os.open(".", paths.FOLDER, dir_fd=here)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    return {}


@dataclass(frozen=True)
class Small:
    """A file that comes in one piece."""

    parts: Parts
    data: bytes
    sha256: str
    mtime_ns: int
    begun: bytes  # its name until it is durable


def put_many(root: Path, files: Sequence[Small]) -> Done:
    """Each is there under its name, durably, when this returns, or there is a code for why it is not. All are
    written, then all of that is made durable at once, then they get their names."""
    outcomes = [_coded(begin_small, root, file) for file in files]
    _make_durable(root)
    outcomes = [code or _coded(name_small, root, file) for code, file in zip(outcomes, files, strict=True)]
    _make_durable(root)
    return {"outcomes": outcomes}


def begin_small(root: Path, file: Small) -> None:
    """It stands there under a name of its own, the owner's. Raises Refusal(not_whole)."""
    if hashlib.sha256(file.data).hexdigest() != file.sha256:
        raise Refusal("not_whole", "What has arrived is not what was sent.")
    make_folders(root, file.parts[:-1])
    with _writing(root, file.parts) as here:
        os.umask(0o077)
        flags = os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_CREAT | os.O_EXCL
        descriptor = os.open(file.begun, flags, 0o660, dir_fd=here)
        try:
            left = memoryview(file.data)
            while left:
                left = left[os.write(descriptor, left) :]
            os.fchown(descriptor, OWNER, OWNER)
            if file.mtime_ns:
                os.utime(descriptor, ns=(file.mtime_ns, file.mtime_ns))
        except OSError:
            os.unlink(file.begun, dir_fd=here)
            raise
        finally:
            os.close(descriptor)


def name_small(root: Path, file: Small) -> None:
    """It has its name, or is gone. Raises Refusal(name_taken)."""
    with _writing(root, file.parts) as here:
        try:
            _rename_to_new(here, file.begun, file.parts[-1])
        except OSError as error:
            os.unlink(file.begun, dir_fd=here)
            if error.errno == errno.EEXIST:
                raise Refusal("name_taken", "There is something of this name.") from None
            raise


def drop(root: Path, parts: Parts, name: bytes) -> Done:
    """Nothing is left of it."""
    with _writing(root, parts) as here, suppress(FileNotFoundError):
        os.unlink(name, dir_fd=here)
    return {}


def make_folders(root: Path, parts: Parts) -> Done:
    """Those that are missing on the way; they belong to the owner."""
    for count in range(1, len(parts) + 1):
        with paths.inside(root, parts[: count - 1]) as here:
            try:
                os.mkdir(parts[count - 1], 0o770, dir_fd=here)
            except FileExistsError:
                continue
            os.chown(parts[count - 1], OWNER, OWNER, dir_fd=here, follow_symlinks=False)
    return {}


@contextmanager
def _writing(root: Path, parts: Parts) -> Iterator[int]:
    """The folder; the kernel's "no" is to writing."""
    try:
        with paths.inside(root, parts[:-1]) as here:
            yield here
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EPERM):
            raise Refusal("not_writable", "This person may not write there.") from None
        raise


def _coded(act: Callable[[Path, Small], None], root: Path, file: Small) -> str:
    try:
        act(root, file)
    except Refusal as refusal:
        return refusal.code
    except OSError as error:
        return refusal_of(error).code
    return ""


def _make_durable(root: Path) -> None:
    """All that was written to the volume."""
    descriptor = os.open(root, paths.FOLDER)
    try:
        if _libc.syncfs(descriptor):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
    finally:
        os.close(descriptor)


def _rename_to_new(here: int, name: bytes, new: bytes) -> None:
    if _libc.renameat2(here, name, here, new, _NOREPLACE):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _sweep(here: int) -> None:
    """What others began there and never ended: a power cut, a portal that went away."""
    descriptor = None
    with suppress(OSError):
        descriptor = os.open(".", paths.FOLDER, dir_fd=here)
    if descriptor is None:
        return  # may be written and not read
    try:
        for one in paths.names_in(descriptor):
            with suppress(OSError):
                if one.startswith(BEGUN) and time.time() - os.stat(one, dir_fd=here).st_mtime > STALE_S:
                    os.unlink(one, dir_fd=here)
    finally:
        os.close(descriptor)


def _place(path: object) -> Parts:
    parts = paths.parts_of(path)
    if not parts or parts[-1].startswith(BEGUN):
        raise Refusal("bad_path", "No file can be called so.")
    return parts


def _small(file: object) -> Small:
    if not isinstance(file, dict):
        raise Refusal("bad_args", "This is no file.")
    data, sha256, mtime_ns = paths.bytes_of(file.get("data64")), file.get("sha256"), file.get("mtime_ns")
    if not isinstance(sha256, str) or not isinstance(mtime_ns, int) or len(data) > MAX_PIECE_BYTES:
        raise Refusal("bad_args", "This is no small file.")
    return Small(_place(file.get("path")), data, sha256, mtime_ns, _begun(os.urandom(16).hex()))


def _begun(upload: object) -> bytes:
    if not isinstance(upload, str) or not _UPLOAD.fullmatch(upload):
        raise Refusal("bad_args", "This is no upload.")
    return BEGUN + upload.encode()
