"""A guest that measures itself: the client VM as the product defines it, with a kernel and one script.

The definition is `domainxml`'s and libvirt is real. Put in its place are the guest's system, a second disk
that nothing slows down and, for comparison, the devices that QEMU emulates for a plain PC.
"""

import re
import shutil
import tempfile
import time
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from config.demo.bootimage import default_cache
from vrasnode.domainxml import Accelerator, ClientVm, Firmware, Mark, Nic, client_vm_xml
from vrasnode.errors import HostBroken
from vrasnode.host import thispc
from vrasnode.machines.hypervisor import Hypervisor, MachineState
from vrasnode.servicevm.build import debianpackages, initramfs

INIT = Path(__file__).parent / "guest" / "machines-init"
KERNEL = "linux-image-amd64"  # the kernel for clouds has no driver for e1000
MODULES = (
    *("virtio_pci", "virtio_blk", "virtio_net", "ata_piix", "e1000"),
    *("crct10dif_common", "crc_t10dif", "crc64", "crc64_rocksoft", "t10_pi", "sd_mod"),
)
MEMORY_BYTES = 384 << 20
LIMIT_S = 240.0
LOOK_S = 0.1
NAME = "measured"
MAC = "52:54:00:12:34:56"
_LINE = re.compile(r"^BENCH (\S+) (\d+) ([\d.]+) ([\d.]+)\s*$", re.MULTILINE)


@dataclass(frozen=True)
class System:
    """What the guest starts: a kernel, and everything else in its first file system."""

    kernel: Path
    initrd: Path


@dataclass(frozen=True)
class Machine:
    """One start of the guest. Both disks are qcow2 over raw, as a client VM's; `slow` passes `rate_bytes_s`
    at most. `words` go to the guest's script; without `virtio` disks are IDE, the network card an e1000."""

    slow: Path
    fast: Path
    rate_bytes_s: int
    bridge: str
    words: Mapping[str, object]
    virtio: bool = True


def system() -> System:
    """From Debian packages by this machine's apt sources, kept in the cache. Raises HostBroken."""
    packages = default_cache() / "packages"
    newest = debianpackages.fetch([KERNEL], into=packages, say=_quiet)[KERNEL].package.depends
    found = re.search(r"linux-image-(\d\S*-amd64)", newest)
    if found is None:
        raise HostBroken("package_unknown", f"{KERNEL} names no kernel.")
    kept = default_cache() / "benchmarks" / f"kernel-{found[1]}"
    if not kept.exists():
        unsigned = f"linux-image-{found[1]}-unsigned"
        _unpack(debianpackages.fetch([unsigned], into=packages, say=_quiet)[unsigned].deb, kept)
    initrd = kept / "initrd.img"
    files = initramfs.build(
        busybox=Path("/bin/busybox"), init=INIT, kernel_tree=kept / "modules", modules=MODULES
    )
    initrd.write_bytes(files)
    return System(kept / "vmlinuz", initrd)


def run(hypervisor: Hypervisor, machine: Machine, start: System, *, directory: Path) -> dict[str, float]:
    """What the guest measured, in units per second. Raises HostBroken(guest_failed) with its last words."""
    log = directory / "console.log"
    log.unlink(missing_ok=True)
    hypervisor.start(definition(machine, start, log=log))
    try:
        deadline = time.monotonic() + LIMIT_S
        while hypervisor.state(NAME) is MachineState.RUNNING and time.monotonic() < deadline:
            time.sleep(LOOK_S)
    finally:
        hypervisor.destroy(NAME)
    said = log.read_text(errors="replace")
    if "BENCH-DONE" not in said or "BENCH-FAILED" in said:
        raise HostBroken("guest_failed", f"The guest did not measure all. Its last words: {said[-800:]}")
    return {name: int(units) / (float(end) - float(begin)) for name, units, begin, end in _LINE.findall(said)}


def definition(machine: Machine, start: System, *, log: Path) -> str:
    """The client VM's definition with the guest's system, the second disk and the rate of the first."""
    vm = ClientVm(
        name=NAME,
        uuid=uuid4(),
        memory_bytes=MEMORY_BYTES,
        vcpus=1,
        accelerator=Accelerator.TCG,
        firmware=Firmware.BIOS,
        disk=machine.slow,
        console_log=log,
        mark=Mark(manifest="00" * 32, serial=1),
        direct_io=thispc.takes_direct_io(machine.slow.parent),
        lan=Nic(machine.bridge, MAC),
    )
    domain = ElementTree.fromstring(client_vm_xml(vm))  # noqa: S314 - ours
    words = " ".join(f"bench.{name}={value}" for name, value in machine.words.items())
    system_of(domain, start, words=f"console=ttyS0 quiet panic=-1 {words}")
    slow = _child(domain, "devices/disk")
    _child(domain, "devices").insert(0, _beside(slow, machine.fast))
    rate = ElementTree.SubElement(ElementTree.SubElement(slow, "iotune"), "total_bytes_sec")
    rate.text = str(machine.rate_bytes_s)
    if not machine.virtio:
        _emulate(domain)
    return ElementTree.tostring(domain, encoding="unicode")


def system_of(domain: Element, start: System, *, words: str) -> None:
    """The machine starts this kernel instead of what its disk holds."""
    os = _child(domain, "os")
    for tag, text in (("kernel", str(start.kernel)), ("initrd", str(start.initrd)), ("cmdline", words)):
        ElementTree.SubElement(os, tag).text = text
    for disk in domain.iterfind("devices/disk"):
        if (boot := disk.find("boot")) is not None:
            disk.remove(boot)


def _beside(disk: Element, other: Path) -> Element:
    """The same disk over another file, next to it."""
    found = deepcopy(disk)
    _child(found, "source").set("file", str(other))
    _child(found, "target").set("dev", "vdb")
    return found


def _emulate(domain: Element) -> None:
    """QEMU's plain PC: the i440FX chip set with its IDE, and Intel's card of 2002."""
    _child(domain, "os/type").set("machine", "pc")
    domain.remove(_child(domain, "iothreads"))
    for disk in domain.iterfind("devices/disk"):
        target, driver = _child(disk, "target"), _child(disk, "driver")
        target.set("bus", "ide")
        target.set("dev", target.get("dev", "").replace("vd", "hd"))
        for ours in ("iothread", "io"):
            driver.attrib.pop(ours, None)
    _child(domain, "devices/interface/model").set("type", "e1000")


def _child(element: Element, path: str) -> Element:
    found = element.find(path)
    if found is None:
        raise ValueError(f"a definition without {path}")
    return found


def _unpack(deb: Path, kept: Path) -> None:
    """Kernel and modules, there whole or not at all."""
    kept.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=kept.parent, prefix="unpacking-") as scratch:
        tree, done = Path(scratch) / "tree", Path(scratch) / "done"
        debianpackages.unpack(deb, tree)
        (image,) = (tree / "boot").glob("vmlinuz-*")
        (modules,) = (tree / "lib/modules").iterdir()
        done.mkdir()
        image.rename(done / "vmlinuz")
        shutil.copytree(modules, done / "modules")
        done.rename(kept)


def _quiet(_line: str) -> None:
    pass
