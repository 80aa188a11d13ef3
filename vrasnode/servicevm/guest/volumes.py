"""The volumes of users: found by their serial, checked, mounted at `/data/<serial>`, and let go again.

A volume that was never written reads as noise. A file system is made on one only where the control base says
that it is fresh, and where there is no trace of another: what is damaged is said, never formatted over.
"""

import os
import re
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from vrasnode.servicevm.guest import signatures
from vrasnode.servicevm.guest.answering import Refusal
from vrasnode.servicevm.guest.workers import Workers

OWNER = 1000  # to whom all files belong; there is one person to a volume
OPTIONS = "nosuid,nodev,noexec,noatime,errors=remount-ro"  # journal and barriers are as ext4 has them: on
READ_ONLY = "nosuid,nodev,noexec,ro"
DISK_S = 20.0  # for the kernel to show a disk that was plugged in
HELD_S = 5.0  # for what held a volume to be gone
LOOK_S = 0.02
UNCORRECTED = 4  # e2fsck(8): exit codes from here on
GROWN_BYTES = 1 << 20  # a disk larger by less than this has not grown

_SERIAL = re.compile(r"[0-9a-f]{20}")


class Volumes:
    """`data` is where volumes are mounted; `disks` is the kernel's list of block devices, `devices` where
    their nodes are. `end_holders` ends what holds a folder open that is not ours."""

    def __init__(
        self,
        data: Path,
        *,
        workers: Workers,
        end_holders: Callable[[Path], int],
        disks: Path = Path("/sys/block"),
        devices: Path = Path("/dev"),
        clock: Callable[[], float] = time.monotonic,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._data = data
        self._workers = workers
        self._end_holders = end_holders
        self._disks = disks
        self._devices = devices
        self._clock = clock
        self._pause = pause
        self._lock = threading.Lock()  # one comes or goes at a time

    def open(
        self, serial: str, *, fresh: bool, size_bytes: int | None = None, read_only: bool = False
    ) -> Mapping[str, Any]:
        """Mounts the volume; one that is mounted stays so. `size_bytes`: how large the disk is at least;
        `read_only`: to be copied and nothing else, so nothing is repaired.

        Raises Refusal: no_such_disk, volume_truncated, no_filesystem, foreign_filesystem, volume_damaged,
        volume_unclean, mount_failed.
        """
        place = self.place(serial)
        with self._lock:
            repaired = False
            if read_only and not place.is_mount():
                self._mount_to_read(serial, place, size_bytes=size_bytes)
            elif not place.is_mount():
                repaired = self._mount(serial, place, fresh=fresh, size_bytes=size_bytes)
            self._workers.admit(serial)
        return {**self.usage(serial), "repaired": repaired}

    def close(self, serial: str) -> Mapping[str, Any]:
        """Nothing of the volume is left in this machine, also when its disk has gone before. Twice is once.

        Raises Refusal(volume_busy).
        """
        place = self.place(serial)
        ended = self._workers.end(serial)
        with self._lock:
            deadline = self._clock() + HELD_S
            while place.is_mount() and (trouble := _trouble("umount", str(place))):
                if self._clock() > deadline:
                    raise Refusal("volume_busy", f"Something holds the volume: {trouble}")
                ended += self._end_holders(place)
                self._pause(LOOK_S)
            if place.exists():
                place.rmdir()
        return {"ended": ended}

    def usage(self, serial: str) -> Mapping[str, Any]:
        """Raises Refusal(volume_closed)."""
        found = os.statvfs(self.require(serial))
        return {
            "size_bytes": found.f_blocks * found.f_frsize,
            "used_bytes": (found.f_blocks - found.f_bfree) * found.f_frsize,
            "read_only": bool(found.f_flag & os.ST_RDONLY),
        }

    def place(self, serial: object) -> Path:
        """Where the volume is mounted, or would be. Raises Refusal(bad_args)."""
        if not isinstance(serial, str) or not _SERIAL.fullmatch(serial):
            raise Refusal("bad_args", f"{serial!r} is no volume's serial.")
        return self._data / serial

    def require(self, serial: object) -> Path:
        """Where it is mounted. Raises Refusal(volume_closed)."""
        place = self.place(serial)
        if not place.is_mount():
            raise Refusal("volume_closed", "The volume is not open.")
        return place

    def _mount(self, serial: str, place: Path, *, fresh: bool, size_bytes: int | None) -> bool:
        """Whether the file system had to be repaired."""
        device = self._find(serial)
        disk_bytes = _size(device)
        if size_bytes is not None and disk_bytes < size_bytes:
            raise _truncated(size_bytes, disk_bytes)
        found = signatures.look(device)
        if found is None and fresh:
            _make_filesystem(device)
        elif found is None:
            raise Refusal(
                "no_filesystem", "The volume holds no file system: its file is damaged or another's."
            )
        elif found != "ext4":
            raise Refusal("foreign_filesystem", f"The volume holds {found}, which is none of ours.")
        filesystem_bytes = signatures.ext4_size(device)
        if filesystem_bytes > disk_bytes:
            raise _truncated(filesystem_bytes, disk_bytes)
        repaired = _check(device)
        place.mkdir(exist_ok=True)
        _do("mount_failed", "mount", "-t", "ext4", "-o", OPTIONS, device, str(place))
        if disk_bytes - filesystem_bytes >= GROWN_BYTES:
            _do("mount_failed", "resize2fs", device)
        _give_to_owner(place)
        return repaired

    def _mount_to_read(self, serial: str, place: Path, *, size_bytes: int | None) -> None:
        """A file system that was not let go of in order holds changes in its journal alone, which nobody may
        write to their places here: its owner's next logon does."""
        device = self._find(serial)
        if size_bytes is not None and _size(device) < size_bytes:
            raise _truncated(size_bytes, _size(device))
        if signatures.look(device) != "ext4":
            raise Refusal("no_filesystem", "The volume holds no file system of ours.")
        if signatures.ext4_is_unclean(device):
            words = "The volume was not closed in order: it is put right when its owner logs on."
            raise Refusal("volume_unclean", words)
        place.mkdir(exist_ok=True)
        _do("mount_failed", "mount", "-t", "ext4", "-o", READ_ONLY, device, str(place))

    def _find(self, serial: str) -> str:
        """The device of the disk with this serial, once the kernel shows it. Raises Refusal(no_such_disk)."""
        deadline = self._clock() + DISK_S
        while True:
            for file in self._disks.glob("vd*/serial"):
                if _text(file) == serial:
                    return str(self._devices / file.parent.name)
            if self._clock() > deadline:
                raise Refusal("no_such_disk", f"No disk {serial} was plugged into the virtual server.")
            self._pause(LOOK_S)


def _make_filesystem(device: str) -> None:
    """Many small files fit in (an inode for 8 KiB), all room is the user's, and it can grow while mounted.

    Nothing is discarded: on the volume's disk a hole would tell where nothing was ever written.
    """
    options = ("-q", "-F", "-t", "ext4", "-b", "4096", "-i", "8192", "-m", "0")
    features = ("-O", "has_journal,extent,64bit,metadata_csum,dir_index,dir_nlink,resize_inode")
    _do("mount_failed", "mke2fs", *options, *features, "-E", "nodiscard,lazy_itable_init=1", device)


def _check(device: str) -> bool:
    """Whether something had to be repaired. Raises Refusal(volume_damaged)."""
    done = _run(("e2fsck", "-p", device))
    if done.returncode >= UNCORRECTED:
        words = "The volume's file system is damaged beyond what is repaired without asking"
        raise Refusal("volume_damaged", f"{words}; recover it with the custodians' key. {_last_line(done)}")
    return bool(done.returncode)


def _give_to_owner(place: Path) -> None:
    """The volume's root, once: what was granted there later stays."""
    if place.stat().st_uid != OWNER:
        os.chown(place, OWNER, OWNER)
        place.chmod(0o700)


def _truncated(wanted: int, found: int) -> Refusal:
    words = f"The volume's disk has {found} bytes of {wanted}: its file was cut off."
    return Refusal("volume_truncated", words)


def _size(device: str) -> int:
    descriptor = os.open(device, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.lseek(descriptor, 0, os.SEEK_END)
    finally:
        os.close(descriptor)


def _do(code: str, *command: str) -> None:
    done = _run(command)
    if done.returncode:
        raise Refusal(code, f"{command[0]} failed: {_last_line(done)}")


def _trouble(*command: str) -> str:
    """Why it failed; nothing when it did not."""
    done = _run(command)
    return (_last_line(done) or f"{command[0]} failed") if done.returncode else ""


def _run(command: Sequence[str]) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )


def _last_line(done: "subprocess.CompletedProcess[str]") -> str:
    """What it said last, and best under its own name: with that its complaints begin."""
    lines = done.stdout.strip().splitlines()
    own = [line for line in lines if line.startswith(f"{done.args[0]}: ")]
    return [*lines, *own][-1] if lines else ""


def _text(file: Path) -> str:
    """Of a disk that may go meanwhile."""
    try:
        return file.read_text().strip()
    except OSError:
        return ""
