"""The programs of this machine that the boot images are made with: found, run, and named when they fail.

Not for programs that live on (daemons, machines): these here end, and what they print is only read when they
fail.
"""

import os
import shutil
import subprocess
from pathlib import Path

from vrasnode.errors import HostBroken

PROVIDED_BY = {
    "apt-cache": "apt",
    "apt-get": "apt",
    "cp": "coreutils",
    "debugfs": "e2fsprogs",
    "dpkg": "dpkg",
    "e2fsck": "e2fsprogs",
    "grub-mkimage": "grub-common",
    "mcopy": "mtools",
    "mke2fs": "e2fsprogs",
    "mkfs.vfat": "dosfstools",
    "mmd": "mtools",
    "readelf": "binutils",
    "sfdisk": "fdisk",
}
GRUB = Path("/usr/lib/grub")
GRUB_PLATFORMS = {"i386-pc": "grub-pc-bin", "x86_64-efi": "grub-efi-amd64-bin"}

# A fixed time in every image: the same packages give the same bytes.
EPOCH = 1_700_000_000


def require() -> None:
    """Raises HostBroken `tool_missing` with the Debian packages to install, all of them at once."""
    missing = {
        package
        for tool, package in PROVIDED_BY.items()
        if not shutil.which(tool, path=_environment()["PATH"])
    }
    missing |= {package for platform, package in GRUB_PLATFORMS.items() if not (GRUB / platform).is_dir()}
    if missing:
        names = " ".join(sorted(missing))
        raise HostBroken(
            "tool_missing",
            f"Boot images cannot be made without: {names}. Run as root: apt-get install {names}",
        )


def run(*command: str | Path, stdin: str = "", cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run to the end. Raises HostBroken `tool_missing`, or `tool_failed` with the last lines it printed."""
    tool = str(command[0])
    try:
        done = subprocess.run(
            command, input=stdin, cwd=cwd, env=_environment(), capture_output=True, text=True, check=False
        )
    except FileNotFoundError as error:
        package = PROVIDED_BY.get(tool, tool)
        raise HostBroken(
            "tool_missing", f"{tool} is missing. Run as root: apt-get install {package}"
        ) from error
    if done.returncode:
        raise HostBroken(
            "tool_failed", f"{tool} ended with {done.returncode}: {tail(done.stderr or done.stdout)}"
        )
    return done


def tail(printed: str) -> str:
    """The last lines that a program printed, on one line."""
    return " | ".join(line.strip() for line in printed.splitlines()[-4:] if line.strip()) or "it said nothing"


def _environment() -> dict[str, str]:
    return os.environ | {
        "PATH": os.environ.get("PATH", "") + ":/usr/sbin:/sbin",
        "LC_ALL": "C",
        "SOURCE_DATE_EPOCH": str(EPOCH),
        "E2FSPROGS_FAKE_TIME": str(EPOCH),
        "MTOOLS_SKIP_CHECK": "1",
        "PYTHONHASHSEED": "0",
    }
