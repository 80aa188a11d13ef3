"""Whether a locked volume can still be read, found out by trying. It decides nothing."""

import os
import subprocess
from pathlib import Path

from vrasnode.errors import HostBroken

PROBE_S = 20.0


def reads_served(export: str, at: Path) -> bool:
    """Whether a block comes back from where a volume is, or was, served."""
    return _reads("-f", "raw", f"nbd+unix:///{export}?socket={at}")


def reads_without_key(file: Path) -> bool:
    """Whether a block of the file's data comes back though no key is given."""
    return _reads(
        "--image-opts", f"driver=luks,file.driver=file,file.filename={str(file).replace(',', ',,')}"
    )


def is_held_open(file: Path) -> bool:
    """Whether any process has the file open, or the kernel has, as a loop device."""
    wanted = file.stat()
    if any(_holds(process, wanted) for process in os.scandir("/proc") if process.name.isdecimal()):
        return True
    return any(_backed_by(loop, file) for loop in Path("/sys/block").glob("loop*/loop/backing_file"))


def _reads(*source: str) -> bool:
    command = ["qemu-io", "--read-only", *source, "-c", "read 0 512"]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=PROBE_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise HostBroken("proof_failed", f"It cannot be tried to read a locked volume: {error}.") from error
    return done.returncode == 0


def _holds(process: os.DirEntry[str], wanted: os.stat_result) -> bool:
    try:
        return any(_is(handle, wanted) for handle in os.scandir(f"{process.path}/fd"))
    except OSError:  # it has ended
        return False


def _is(handle: os.DirEntry[str], wanted: os.stat_result) -> bool:
    try:
        found = handle.stat()
    except OSError:  # closed meanwhile
        return False
    return (found.st_dev, found.st_ino) == (wanted.st_dev, wanted.st_ino)


def _backed_by(loop: Path, file: Path) -> bool:
    try:
        return loop.read_text().strip() == str(file.resolve())
    except OSError:
        return False
