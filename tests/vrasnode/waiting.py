"""The smallest client VM that starts under a real libvirtd: it says a word on its console and waits."""

from pathlib import Path
from uuid import uuid4

from tests.lab.libvirtd import talking_disk
from vrasnode.domainxml import Accelerator, ClientVm, Firmware, Mark
from vrasnode.machines.overlay import make_overlay


def waiting_vm(directory: Path) -> ClientVm:
    """Its disk and its console lie in `directory`; no other machine has its name."""
    (directory / "v1.raw").write_bytes(talking_disk("v1 runs"))
    make_overlay(directory / "v1.raw", directory / "overlay.qcow2")
    uuid = uuid4()
    return ClientVm(
        name=f"waiting-{uuid}",
        uuid=uuid,
        memory_bytes=64 << 20,
        vcpus=1,
        accelerator=Accelerator.TCG,
        firmware=Firmware.BIOS,
        disk=directory / "overlay.qcow2",
        console_log=directory / "console.log",
        mark=Mark(manifest="11" * 32, serial=1),
    )
