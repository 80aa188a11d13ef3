"""Whether this code runs on a processor or on a program that plays one.

The processor says so itself: CPUID leaf 0x40000000 names the hypervisor, "TCGTCGTCGTCG" for QEMU's emulation
and "KVMKVMKVM" for KVM (Linux, Documentation/virt/kvm/x86/cpuid.rst). Where no machine code can be made to
run, its model name and the kernel's clocks decide.
"""

import ctypes
import mmap
import platform
from pathlib import Path

EMULATED = "TCGTCGTCGTCG"
VIRTUALIZED = frozenset({"KVMKVMKVM", "Microsoft Hv", "Linux KVM Hv"})

# void cpuid(uint32_t leaf, uint32_t name[3]): ebx, ecx and edx as the System V calling convention wants it
_CPUID = bytes.fromhex("53 89f8 31c9 0fa2 891e 894e04 895608 5b c3")


def accelerator_inside() -> str:
    """What runs this machine: "kvm", "tcg", or "" for a bare one and for hypervisors that we do not know."""
    return judge(
        cpuinfo=_text("/proc/cpuinfo"),
        clocks=_text("/sys/devices/system/clocksource/clocksource0/available_clocksource"),
        maker=_text("/sys/class/dmi/id/sys_vendor"),
        signature=cpuid_signature(),
    )


def judge(*, cpuinfo: str, clocks: str, maker: str, signature: str | None) -> str:
    """The same from what the kernel shows. `signature`: what CPUID says, None where it could not be asked."""
    if "TCG CPU" in cpuinfo or signature == EMULATED:
        return "tcg"
    if not any("hypervisor" in line.split() for line in cpuinfo.splitlines() if line.startswith("flags")):
        return ""
    if signature is not None:
        return "kvm" if signature in VIRTUALIZED else ""
    if "kvm-clock" in clocks:
        return "kvm"
    return "tcg" if maker.strip() == "QEMU" else ""


def cpuid_signature() -> str | None:
    """The hypervisor's name for itself; meaningless where there is none."""
    if platform.machine() != "x86_64":
        return None
    name = (ctypes.c_uint32 * 3)()
    try:
        with mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC) as code:
            code.write(_CPUID)
            start = ctypes.c_char.from_buffer(code)
            cpuid = ctypes.CFUNCTYPE(None, ctypes.c_uint32, ctypes.c_void_p)(ctypes.addressof(start))
            cpuid(0x40000000, ctypes.addressof(name))
            del cpuid, start  # they would keep the page from being let go
    except OSError:  # a kernel that runs nothing that was written
        return None
    return bytes(name).rstrip(b"\0").decode("latin-1")


def _text(path: str) -> str:
    try:
        return Path(path).read_text(errors="replace")
    except OSError:
        return ""
