"""The PC itself: what the machine under the agent is and can do. With `hardware` the only one that reads
/proc and /sys.

Nothing is assumed that can be tried: whether KVM runs a guest, whether a file system clones or takes direct
I/O. Not here: the machines (`hypervisor`), the clock's trust, and how devices are read (`hardware`).
"""

import functools
import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from platform import freedesktop_os_release

import vrasnode
from vrasnode.domainxml import Accelerator
from vrasnode.errors import HostBroken
from vrasnode.host import disk, hardware, kerneltree
from vrasnode.host.hardware import PROC, SYSFS
from vrasnode.host.needs import Disks
from vrasnode.wire.clients import HostFacts, Platform

PROBE_LIMIT_S = 3.0
BLOCK_BYTES = 4096
POWER_S = 5.0  # between looks at where the power comes from

# A guest of one ROM: at the reset vector (16 bytes before 4 GiB) it writes 0x15 to the port that ends QEMU,
# whose exit status is then 0x15 * 2 + 1. Nothing else of a PC needs to work, and it takes 0.1 s.
_PROBE_ROM = bytes(0xFFF0) + bytes.fromhex("b015 e6f4 f4 ebfd").ljust(16, b"\x00")
_PROBE_STATUS = 0x15 * 2 + 1

# System Enclosure or Chassis Types (SMBIOS 3.7 §7.4.1); what is neither "other" nor "unknown" is no notebook.
_NOTEBOOKS = {8, 9, 10, 14, 30, 31, 32}
_UNTOLD = {1, 2}
_FILLED_IN_BY_NOBODY = (
    "to be filled",
    "default string",
    "system manufacturer",
    "system product name",
    "o.e.m.",
)
_SECURE_BOOT = "SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"  # UEFI 2.10 §3.3: attributes, then one byte
_TPM_VERSIONS = {1: "1.2", 2: "2.0"}


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
        platform=platform(state_dir),
        devices=hardware.devices(state_dir=state_dir),
    )


def platform(state_dir: Path, *, sysfs: Path = SYSFS, proc: Path = PROC) -> Platform:
    """What the board and the firmware offer; what cannot be told is None."""
    disks = Disks(sysfs=sysfs, proc=proc)
    cpuinfo = kerneltree.read(proc / "cpuinfo")
    return Platform(
        model=_model(sysfs),
        notebook=_is_notebook(sysfs),
        iommu=_iommu(sysfs),
        tpm=_TPM_VERSIONS.get(kerneltree.number(sysfs / "class" / "tpm" / "tpm0" / "tpm_version_major") or 0),
        secure_boot=_secure_boot(sysfs),
        encrypted_state=disks.is_encrypted(state_dir),
        virtualizes=None if cpuinfo is None else virtualizes(cpuinfo.decode("utf-8", "replace")),
        swap=disks.swaps,
        vfio=_vfio(sysfs.parent / "dev"),
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


def takes_io_uring(directory: Path) -> bool:
    """Whether QEMU reads files in `directory` by io_uring: tried, for kernels can be built or told to forbid
    it, and QEMU can be built without."""
    try:
        with _scratch(directory) as scratch:
            scratch.truncate(BLOCK_BYTES)
            read = ["qemu-img", "bench", "-f", "raw", "-i", "io_uring", "-c", "1", "-s", str(BLOCK_BYTES)]
            return not subprocess.run([*read, scratch.name], capture_output=True, check=False).returncode
    except OSError:
        return False


class MainsPower:
    """Whether this PC runs on mains, or has no battery; looked up anew every few seconds at most."""

    def __init__(self, *, clock: Callable[[], float], sysfs: Path = SYSFS) -> None:
        self._clock = clock
        self._supplies = sysfs / "class" / "power_supply"
        self._looked_at = float("-inf")
        self._mains = True

    def __call__(self) -> bool:
        if self._clock() - self._looked_at >= POWER_S:
            self._looked_at = self._clock()
            self._mains = self._look()
        return self._mains

    def _look(self) -> bool:
        kinds = {
            name: kerneltree.said(self._supplies / name / "type") for name in kerneltree.names(self._supplies)
        }
        others = (name for name, kind in kinds.items() if kind != "Battery")
        return "Battery" not in kinds.values() or any(
            kerneltree.number(self._supplies / name / "online") == 1 for name in others
        )


def boot_id() -> str:
    """Names this run of the kernel: another value after each start of the PC (random(4))."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def uptime_s() -> int:
    """Seconds since the kernel started, those asleep included (CLOCK_BOOTTIME)."""
    return int(time.clock_gettime(time.CLOCK_BOOTTIME))


def _model(sysfs: Path) -> str:
    """The maker's name once, and nothing where the maker left the field as it came."""
    said = (kerneltree.said(sysfs / "class" / "dmi" / "id" / name) for name in ("sys_vendor", "product_name"))
    vendor, product = ("" if word.lower().startswith(_FILLED_IN_BY_NOBODY) else word for word in said)
    return product if product.startswith(vendor) else f"{vendor} {product}".strip()


def _is_notebook(sysfs: Path) -> bool | None:
    chassis = kerneltree.number(sysfs / "class" / "dmi" / "id" / "chassis_type")
    return None if chassis is None or chassis in _UNTOLD else chassis in _NOTEBOOKS


def _iommu(sysfs: Path) -> str | None:
    """By the names that the kernel gives to the units that it switched on."""
    units = kerneltree.names(sysfs / "class" / "iommu")
    kinds = {"dmar": "vtd", "ivhd": "amdvi"}
    return next((kinds[unit[:4]] for unit in units if unit[:4] in kinds), None)


def _vfio(devices: Path) -> bool | None:
    """Made at start where the module is installed, and loads it when somebody asks."""
    return (devices / "vfio" / "vfio").exists() if devices.is_dir() else None


def _secure_boot(sysfs: Path) -> bool | None:
    """False also for a PC that was started the old way, without UEFI."""
    firmware = sysfs / "firmware" / "efi"
    if not firmware.exists():
        return False
    data = kerneltree.read(firmware / "efivars" / _SECURE_BOOT)
    return None if data is None or len(data) != 5 else data[4] == 1


def _scratch(directory: Path) -> "tempfile._TemporaryFileWrapper[bytes]":
    return tempfile.NamedTemporaryFile(dir=directory, prefix=".probe-")


def _os_name() -> str:
    try:
        return freedesktop_os_release()["PRETTY_NAME"]
    except OSError:
        return os.uname().sysname
