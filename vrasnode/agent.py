"""The crank: gives each part its bite, again and again, and puts the agent together.

One broken part does not stop the others. An error that a person can act on is logged when it comes and when
it is over; anything else is a bug of ours and is logged with its stack, each time it changes.
"""

import logging
import secrets
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol
from uuid import UUID

from msgspec.structs import replace

from vrasnode import disk, localpage
from vrasnode.contact import Contact
from vrasnode.desktop import Desktop
from vrasnode.devices import Devices
from vrasnode.domainxml import Firmware, Profile
from vrasnode.errors import HostBroken, Refused, VrasError
from vrasnode.identity import Identity
from vrasnode.localpage import LocalPage, LocalState
from vrasnode.outbox import Outbox
from vrasnode.server import Server
from vrasnode.shape import Machine
from vrasnode.slices import Slices
from vrasnode.wire import codec
from vrasnode.wire.devices import DevicesReport
from vrasnode.wire.imaging import DeliveryReport
from vrasnode.world import World

log = logging.getLogger("vrasnode.agent")

TICK_S = 1.0
STATE_MODE = 0o711  # libvirt's QEMU passes through to its disks; what is secret lies behind 0700


class Part(Protocol):
    name: str

    def step(self) -> bool:
        """One bite; whether there is more to do at once."""

    def close(self) -> None:
        """Lets go of what is under way."""


class Agent:
    """Turns until `stop` is set. With nothing to do it sleeps until `wake` is set, or for a tick."""

    def __init__(
        self, parts: Sequence[Part], *, wake: threading.Event, stop: threading.Event, tick_s: float = TICK_S
    ) -> None:
        self.parts = parts
        self._wake = wake
        self._stop = stop
        self._tick_s = tick_s
        self._troubles: dict[str, str] = {}

    def run(self) -> None:
        """Until stopped. The machines run on."""
        try:
            while not self._stop.is_set():
                self._wake.clear()
                if not self.turn():
                    self._wake.wait(self._tick_s)
        finally:
            for part in self.parts:
                part.close()

    def turn(self) -> bool:
        """A bite for every part; whether any has more."""
        steps = [self._step(part) for part in self.parts]  # all of them, then ask
        return any(steps)

    def _step(self, part: Part) -> bool:
        try:
            more = part.step()
        except VrasError as error:
            if self._is_new(part, error.code):
                log.warning("%s: %s", part.name, error)
            return False
        except Exception as error:  # the one broad except: a bug in one part must not stop the others
            if self._is_new(part, repr(error)):
                log.exception("%s: a bug of ours", part.name)
            return False
        if self._troubles.pop(part.name, None):
            log.info("%s: goes on", part.name)
        return more

    def _is_new(self, part: Part, trouble: str) -> bool:
        known = self._troubles.get(part.name)
        self._troubles[part.name] = trouble
        return known != trouble


@dataclass(frozen=True)
class State:
    """The state directory: where everything of this PC lies."""

    root: Path

    @property
    def identity(self) -> Path:
        return self.root / "identity"

    @property
    def slices(self) -> Path:
        return self.root / "slices"

    @property
    def images(self) -> Path:
        return self.root / "images"

    @property
    def desktop(self) -> Path:
        return self.root / "desktop"

    @property
    def devices(self) -> Path:
        return self.root / "devices"

    @property
    def outbox(self) -> Path:
        return self.root / "outbox.json"

    @property
    def lock(self) -> Path:
        return self.root / "lock"


@dataclass(frozen=True)
class Options:
    """What `vrasnode run` was told about the client VM; None: as it was before, or the default."""

    memory_mib: int | None = None
    vcpus: int | None = None
    firmware: Firmware | None = None
    profile: Profile | None = None
    tpm: bool | None = None
    secure_boot: bool | None = None
    lan_bridge: str | None = None


def build(
    state: State, *, world: World, options: Options, stop: threading.Event, wake: threading.Event
) -> Agent:
    """The agent of an enrolled PC, on this world. Raises Refused(not_enrolled) and HostBroken."""
    identity = Identity(state.identity)
    if not identity.enrolled or identity.enrolment is None or identity.installation is None:
        raise Refused("not_enrolled", "This PC is not enrolled. Run `vrasnode enroll` with a token first.")
    server = Server(identity.enrolment.server, identity=identity)
    slots = world.open_slots(state.images)
    slices = Slices(state.slices)
    outbox = Outbox(state.outbox)

    def now() -> datetime:
        return datetime.now(UTC) + timedelta(seconds=server.clock_offset_s)

    def report(message: DeliveryReport, keep: bool) -> None:
        outbox.put("imaging", str(message.serial), message, keep=keep)

    def report_devices(about: str, message: DevicesReport) -> None:
        outbox.put("devices", about, message, keep=bool(message.events))

    def facts_changed() -> None:
        contact.tell_facts()

    machine = machine_of(state.desktop, options)
    devices = Devices(
        state.devices,
        pc=world.bench,
        machines=world.machines,
        get_slice=slices.get,
        report=report_devices,
        on_facts=facts_changed,
        show=world.show,
        has_iommu=world.has_iommu,
        boot_id=world.boot_id,
        clock=time.monotonic,
        now=now,
    )
    desktop = Desktop(
        state.desktop,
        slots=slots,
        machines=world.machines,
        machine=machine,
        grantor=devices.passing,
        accelerator=world.accelerator,
        direct_io=world.direct_io,
        make_overlay=world.make_overlay,
        report=report,
        clock=time.monotonic,
        threads=world.threads,
    )
    contact = Contact(
        server=server,
        identity=identity,
        slices=slices,
        outbox=outbox,
        get_summary=lambda: desktop.summary,
        get_facts=world.facts,
        boot_id=world.boot_id,
        get_uptime_s=world.uptime_s,
        wake=wake,
        clock=time.monotonic,
        now=now,
    )
    imaging = world.imaging(
        slots=slots,
        source=server,
        client_id=identity.client_id,
        root_key=identity.installation.root_key,
        get_slice=slices.get,
        report=report,
        look=contact.look_soon,
        clock=time.monotonic,
        now=now,
        threads=world.threads,
        clones=world.clones,
    )

    def machine_changed(_name: str) -> None:
        desktop.nudge()
        devices_changed()

    def devices_changed() -> None:
        devices.nudge()
        wake.set()

    def local_state() -> LocalState:
        return localpage.state_of(
            identity.enrolment.name if identity.enrolment else "",
            contact=contact.last_answer,
            reachable=contact.reachable,
            client_vm=desktop.summary[0],
            virtual_server="absent",
            devices=devices.view(),
        )

    parts: list[Part] = [contact, devices, desktop, imaging]
    if world.networks:
        macs = {role: machine.mac(f"{role}/internal") for role in ("client-vm", "virtual-server")}
        page = LocalPage(networks=world.machines, macs=macs, get_state=local_state, clock=time.monotonic)
        parts.insert(1, page)
    world.machines.on_change(machine_changed)
    world.watch(devices_changed)
    return Agent(parts, wake=wake, stop=stop)


def machine_of(directory: Path, options: Options) -> Machine:
    """The client VM's size, and its UUID, which is made once. Raises HostBroken(machine_unreadable)."""
    path = directory / "machine.json"
    data = disk.read_file(path)
    try:
        machine = (
            codec.decode(data, Machine)
            if data
            else Machine(uuid=UUID(bytes=secrets.token_bytes(16), version=4))
        )
    except Refused as error:
        words = f"{path} cannot be used ({error.words}). Remove it; a new one is made."
        raise HostBroken("machine_unreadable", words) from error
    given = {name: value for name, value in vars(options).items() if value is not None}
    machine = replace(machine, **given)
    disk.make_directory(directory, mode=STATE_MODE)
    if codec.encode(machine) != data:
        disk.write_file(path, codec.encode(machine))
    return machine
