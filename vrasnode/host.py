"""The PC itself: what the machine under the agent is and can do. The only module that reads /proc and /sys.

Nothing is assumed that can be tried: whether KVM runs a guest, whether a file system clones or takes direct
I/O. Not here: the machines (`hypervisor`), the clock's trust, devices (a later part).
"""

import functools
import os
import platform
import socket
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import vrasnode
from vrasnode import disk
from vrasnode.domainxml import Accelerator
from vrasnode.errors import HostBroken
from vrasnode.wire.clients import HostFacts

PROBE_LIMIT_S = 3.0
BLOCK_BYTES = 4096

# A guest of one ROM: at the reset vector (16 bytes before 4 GiB) it writes 0x15 to the port that ends QEMU,
# whose exit status is then 0x15 * 2 + 1. Nothing else of a PC needs to work, and it takes 0.1 s.
_PROBE_ROM = bytes(0xFFF0) + bytes.fromhex("b015 e6f4 f4 ebfd").ljust(16, b"\x00")
_PROBE_STATUS = 0x15 * 2 + 1


def facts(state_dir: Path, *, accelerator: Accelerator) -> HostFacts:
    """What this PC tells the server about itself. Raises HostBroken(state_dir_unusable)."""
    try:
        state_disk = os.statvfs(state_dir)
    except OSError as error:
        words = f"The state directory {state_dir} cannot be used: {error}. Check its disk and its rights."
        raise HostBroken("state_dir_unusable", words) from error
    return HostFacts(
        hostname=socket.gethostname(),
        agent_version=vrasnode.__version__,
        os=_os_name(),
        cpus=len(os.sched_getaffinity(0)),
        memory_bytes=os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
        state_disk_bytes=state_disk.f_blocks * state_disk.f_frsize,
        state_disk_free_bytes=state_disk.f_bavail * state_disk.f_frsize,
        accelerator=accelerator,
        reflink=reflinks(state_dir),
    )


@functools.cache
def probe_accelerator() -> Accelerator:
    """What can run a guest here: tried once per process, for neither CPU nor kernel changes under it.

    /dev/kvm alone promises nothing: some kernels offer it on CPUs without virtualisation and can then run no
    ordinary guest, and firmware may have locked what the CPU has.
    """
    if virtualizes(Path("/proc/cpuinfo").read_text()) and runs_a_guest(Accelerator.KVM):
        return Accelerator.KVM
    return Accelerator.TCG


def virtualizes(cpuinfo: str) -> bool:
    """Whether the CPU of this /proc/cpuinfo has Intel VT-x (vmx) or AMD-V (svm)."""
    flags = (line.partition(":")[2].split() for line in cpuinfo.splitlines() if line.startswith("flags"))
    return any("vmx" in line or "svm" in line for line in flags)


def runs_a_guest(
    accelerator: Accelerator, *, limit_s: float = PROBE_LIMIT_S, rom: bytes = _PROBE_ROM
) -> bool:
    """Whether a guest of a few instructions, `rom`, comes to its end within `limit_s`."""
    with tempfile.TemporaryDirectory(prefix="vrasnode-probe-") as directory:
        bios = Path(directory) / "rom"
        bios.write_bytes(rom)
        machine = ["-nodefaults", "-display", "none", "-machine", f"q35,accel={accelerator}", "-m", "16"]
        ending = ["-device", "isa-debug-exit,iobase=0xf4,iosize=0x01", "-no-reboot"]
        with suppress(subprocess.TimeoutExpired, FileNotFoundError):
            done = subprocess.run(
                ["qemu-system-x86_64", *machine, *ending, "-bios", str(bios)],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=limit_s,
                check=False,
            )
            return done.returncode == _PROBE_STATUS
    return False


def reflinks(directory: Path) -> bool:
    """Whether files in `directory` can share their blocks (FICLONE: xfs, btrfs). False also where no file can
    be written now."""
    try:
        with _scratch(directory) as source, _scratch(directory) as clone:
            source.write(bytes(BLOCK_BYTES))
            source.flush()
            return disk.clone(source.fileno(), clone.fileno())
    except OSError:
        return False


def takes_direct_io(directory: Path) -> bool:
    """Whether files in `directory` can be opened past the page cache (O_DIRECT). False also where no file can
    be made now."""
    try:
        with _scratch(directory) as scratch:
            os.close(os.open(scratch.name, os.O_RDWR | os.O_DIRECT))
    except OSError:
        return False
    return True


def boot_id() -> str:
    """Names this run of the kernel: another value after each start of the PC (random(4))."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def uptime_s() -> int:
    """Seconds since the kernel started, those asleep included (CLOCK_BOOTTIME)."""
    return int(time.clock_gettime(time.CLOCK_BOOTTIME))


def _scratch(directory: Path) -> "tempfile._TemporaryFileWrapper[bytes]":
    return tempfile.NamedTemporaryFile(dir=directory, prefix=".probe-")


def _os_name() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except OSError:
        return platform.system()
