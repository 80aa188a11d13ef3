"""What an agent finds outside itself: the PC's machines, and what the PC says of itself.

The agent is put together on a `World`. `pc` is a real one, behind libvirt; a simulated one is made in
`simulation`. Not here: the management server, which both have alike.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from vrasnode import disk, host
from vrasnode.domainxml import Accelerator, Mark
from vrasnode.hypervisor import Answer, Hypervisor, MachineState, make_overlay
from vrasnode.imaging import Imaging
from vrasnode.slots import Slots
from vrasnode.wire.clients import HostFacts


class Machines(Protocol):
    """What runs the PC's machines: `hypervisor.Hypervisor`, or what behaves like it."""

    def start(self, vm_xml: str) -> None: ...
    def shut_down(self, name: str) -> None: ...
    def destroy(self, name: str) -> None: ...
    def state(self, name: str) -> MachineState: ...
    def metadata(self, name: str) -> Mark | None: ...
    def ping(self, name: str) -> bool: ...
    def ask(self, name: str, command: Sequence[str], *, timeout_s: float) -> Answer: ...
    def on_change(self, callback: Callable[[str], None]) -> None: ...
    def close(self) -> None: ...


@dataclass(frozen=True, kw_only=True)
class World:
    """One PC. `facts` is asked again whenever the server is to be told; `direct_io` is about the disk of the
    client VM, `clones` about that of the images; `threads` is how many may work at once."""

    machines: Machines
    make_overlay: Callable[[Path, Path], None]
    facts: Callable[[], HostFacts]
    accelerator: Accelerator
    boot_id: str
    uptime_s: Callable[[], int]
    direct_io: bool
    clones: bool
    threads: int
    open_slots: Callable[[Path], Slots] = Slots
    imaging: type[Imaging] = Imaging


def pc(root: Path, *, images: Path, desktop: Path, hypervisor_uri: str) -> World:
    """The PC that this runs on, with its state directory `root`. Raises HostBroken."""
    for directory in (images, desktop):  # each is tried for what its own file system can do
        disk.make_directory(directory, mode=0o711)
    accelerator = host.probe_accelerator()
    return World(
        machines=Hypervisor(hypervisor_uri),
        make_overlay=make_overlay,
        facts=lambda: host.facts(root, accelerator=accelerator),
        accelerator=accelerator,
        boot_id=host.boot_id(),
        uptime_s=host.uptime_s,
        direct_io=host.takes_direct_io(desktop),
        clones=host.reflinks(images),
        threads=len(os.sched_getaffinity(0)),
    )
