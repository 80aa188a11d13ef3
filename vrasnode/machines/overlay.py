"""Disk overlays of machines, by qemu-img. Which machine has which is said elsewhere."""

import os
import subprocess
from pathlib import Path

from vrasnode.errors import HostBroken
from vrasnode.host.disk import sync_directory, told


def make_overlay(base: Path, overlay: Path) -> None:
    """A fresh qcow2 disk over the raw image `base`, in place of what was at `overlay`: whole or not at all.

    Raises HostBroken(overlay_failed, disk_full, disk_failed).
    """
    part = overlay.with_name(f"{overlay.name}.part")
    create = ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", str(base.resolve()), str(part)]
    with told(f"The overlay {overlay} cannot be made"):
        part.unlink(missing_ok=True)
        done = subprocess.run(create, capture_output=True, text=True, check=False)
        if done.returncode:
            raise HostBroken("overlay_failed", f"No overlay on {base}: {done.stderr.strip()}.")
        with part.open("rb") as file:
            os.fsync(file.fileno())
        part.replace(overlay)
        sync_directory(overlay.parent)
