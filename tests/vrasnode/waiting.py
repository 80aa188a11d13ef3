"""The smallest client VMs that start under a real libvirtd."""

from pathlib import Path
from uuid import uuid4

from tests.lab.libvirtd import talking_disk
from vrasnode.domainxml import Accelerator, ClientVm, Firmware, Mark
from vrasnode.machines.overlay import make_overlay


def small_vm(image: Path, directory: Path, *, name: str, memory_mib: int = 64) -> ClientVm:
    """One that starts from `image`, under BIOS, emulated; its disk and its console lie in `directory`."""
    make_overlay(image, directory / f"{name}.qcow2")
    return ClientVm(
        name=name,
        uuid=uuid4(),
        memory_bytes=memory_mib << 20,
        vcpus=1,
        accelerator=Accelerator.TCG,
        firmware=Firmware.BIOS,
        disk=directory / f"{name}.qcow2",
        console_log=directory / f"{name}.log",
        mark=Mark(manifest="11" * 32, serial=1),
    )


def talking_vm(directory: Path, *, name: str = "", words: str = "v1 runs") -> ClientVm:
    """One that says these words on its console and waits; where no name is given, no other has its name."""
    name = name or f"waiting-{uuid4()}"
    image = directory / f"{name}.raw"
    image.write_bytes(talking_disk(words))
    return small_vm(image, directory, name=name)
