"""One simulated PC in its state directory: the world that an agent is put together on.

Its machines lie in `simulated/machines.json` and run on while no agent does; the PC itself starts anew with
each agent.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from uuid import UUID

from msgspec.structs import replace

from vrasnode.contact.identity import read_enrolment
from vrasnode.domainxml import Accelerator
from vrasnode.host import disk
from vrasnode.host.tpm import Tpm
from vrasnode.imaging.part import Imaging
from vrasnode.places import State
from vrasnode.simulation import hardware, people
from vrasnode.simulation.documents import SimulatedHousing, SimulatedVolumes
from vrasnode.simulation.images import EmptySlots, FetchingAlone, Watch, WatchedSlots
from vrasnode.simulation.machines import SimulatedMachines
from vrasnode.simulation.settings import Images, Settings
from vrasnode.wire import codec
from vrasnode.wire.clients import HostFacts
from vrasnode.wire.devices import DeviceFacts, UsbDevice
from vrasnode.world import World


def machines(state: State, *, settings: Settings) -> SimulatedMachines:
    """The machines of the simulated PC with this state directory."""
    kept = state.root / "simulated"
    disk.make_directory(kept, mode=0o700)
    return SimulatedMachines(kept / "machines.json", name=_name(state), settings=settings)


def facts(state: State, *, settings: Settings) -> HostFacts:
    """What the simulated PC says of itself, with what it had plugged in when it was made."""
    return hardware.facts_of(_name(state), model=settings.model, seed=settings.seed)


def world(
    state: State,
    *,
    settings: Settings,
    watch: Watch = lambda _serial, _stage: None,
    clock: Callable[[], float] = time.monotonic,
) -> World:
    """Everything around the agent of that PC. `watch` is told how far assignments come; `clock` counts
    seconds and never goes back. Raises HostBroken."""
    name, began = _name(state), clock()
    kept = settings.images is Images.REAL
    told = facts(state, settings=settings)
    bench = SimulatedBench(told, state.root / "simulated" / "usb.json")
    return World(
        machines=machines(state, settings=settings),
        make_overlay=_make_overlay,
        facts=lambda: replace(told, devices=bench.devices()),
        accelerator=Accelerator.KVM,
        boot_id=str(UUID(int=Random(f"{name}/{began}").getrandbits(128), version=4)),  # noqa: S311
        uptime_s=lambda: int(clock() - began),
        direct_io=False,
        clones=False,
        threads=1,
        bench=bench,
        has_iommu=True,
        watch=lambda _changed: None,
        show=lambda _words: None,
        enforce=lambda _suspend: None,
        networks=False,
        shares=kept and settings.share,
        open_slots=partial(WatchedSlots if kept else EmptySlots, watch=watch),
        imaging=Imaging if kept else FetchingAlone,
        open_volumes=SimulatedVolumes,
        house=SimulatedHousing,
        tpm=Tpm("device:/dev/none"),
        keeper=people.keeper,
        people=lambda checkout: [people.User(checkout, clock=clock)],
        knows_logon=lambda _nonce: True,  # nobody sits there: whoever the server says has logged on, has
    )


@dataclass(frozen=True)
class SimulatedBench:
    """The devices that the PC would have. Whoever puts a list of USB devices at `plugged` (JSON, as in facts)
    plugs and unplugs there."""

    facts: HostFacts
    plugged: Path

    def devices(self) -> DeviceFacts:
        found = self.facts.devices or DeviceFacts(pci=[], usb=[], optical=[])
        return replace(found, usb=self.usb_devices())

    def usb_devices(self) -> list[UsbDevice]:
        """Raises Refused(bad_message) and HostBroken when the list cannot be read."""
        data = disk.read_file(self.plugged)
        if data is not None:
            return codec.decode(data, list[UsbDevice])
        return self.facts.devices.usb if self.facts.devices else []


def _name(state: State) -> str:
    enrolment = read_enrolment(state.identity)
    return enrolment.name if enrolment else state.root.name


def _make_overlay(base: Path, overlay: Path) -> None:
    """An empty file: nobody reads it."""
    del base
    with disk.told(f"The overlay {overlay} cannot be made"):
        overlay.touch()
