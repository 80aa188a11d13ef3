"""Makes the probe guest: a disk of 1 MiB that boots through a BIOS and tells what devices its machine has.

What it says is described in probe.c. It is compiled within a second and needs gcc alone.
"""

from pathlib import Path

from vrasnode.servicevm.build.hosttools import run

DISK_BYTES = 1 << 20
_HERE = Path(__file__).parent
_FREESTANDING = (
    *("-m32", "-march=i686", "-Os", "-std=c11", "-Wall", "-Wextra", "-Werror"),
    *("-ffreestanding", "-fno-pic", "-no-pie", "-fno-stack-protector", "-fno-asynchronous-unwind-tables"),
    *("-mno-sse", "-mno-mmx", "-nostdlib", "-Wl,--build-id=none,--oformat=binary"),
)


def make_disk(disk: Path) -> None:
    """Writes the disk (raw). Raises HostBroken `tool_failed` with the compiler's words."""
    sources = (_HERE / "start.S", _HERE / "probe.c")
    run("gcc", *_FREESTANDING, "-T", _HERE / "probe.ld", "-o", disk, *sources)
    with disk.open("r+b") as file:
        file.truncate(DISK_BYTES)
