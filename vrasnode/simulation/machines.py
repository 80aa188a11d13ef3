"""Machines that only tick: they start, come up after a while or never, shut down, hold devices.

They stand where `hypervisor.Hypervisor` stands and keep its promises, the one that machines run on while no
agent does included: all that is known of them lies in one small file, and what they do follows from the
time of day. Nothing in them runs.
"""

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from xml.etree import ElementTree

from msgspec.structs import replace

from vrasnode.domainxml import Attached, Mark, attached_of, mark_of
from vrasnode.errors import HostBroken, Refused, Unreachable
from vrasnode.host import disk
from vrasnode.machines.hypervisor import Answer, MachineState
from vrasnode.simulation.settings import Settings
from vrasnode.wire import codec
from vrasnode.wire.codec import Message

SHUT_DOWN_S = 2.0  # from the power button to off
SPREAD = (0.7, 1.5)  # of boot times around the one that was asked for


class Machine(Message, frozen=True):
    """One defined machine; times are Unix time in seconds. `up_at`: when its agent answers, None: never.
    `off_at`: when it is off; None: nobody asked."""

    xml: str
    starts: int = 0
    up_at: float | None = None
    off_at: float | None = 0.0
    plugged: list[str] = []  # devices, as their XML


class SimulatedMachines:
    """The machines of one PC, kept at `path`. `name` of the PC and the settings' seed decide what comes up,
    and when. Safe to use from several threads; what writes raises HostBroken when the disk does not take it.
    """

    def __init__(
        self, path: Path, *, name: str, settings: Settings, now: Callable[[], float] = time.time
    ) -> None:
        """Finds machines that an earlier process started. Raises HostBroken(simulation_unreadable)."""
        self._path = path
        self._name = name
        self._settings = settings
        self._now = now
        self._lock = threading.Lock()
        self._machines = _read(path)
        self._listeners: list[Callable[[str], None]] = []

    def start(self, vm_xml: str) -> None:
        """Begins to run the machine of this definition; one that runs already is left alone."""
        name = ElementTree.fromstring(vm_xml).findtext("name", "")  # noqa: S314 - made by domainxml
        with self._lock:
            known = self._machines.get(name)
            if known and self._runs(known):
                return
            starts = known.starts + 1 if known else 1
            up_at = self._up_at(name, vm_xml, starts)
            self._keep(name, Machine(xml=vm_xml, starts=starts, up_at=up_at, off_at=None))
        self._tell(name)

    def shut_down(self, name: str) -> None:
        """The guest is off a little later, if it is up; one that never came up does not hear it."""
        with self._lock:
            machine = self._machines.get(name)
            if machine is None or machine.off_at is not None or not self._up(machine):
                return
            self._keep(name, replace(machine, off_at=self._now() + SHUT_DOWN_S))
        self._tell(name)

    def destroy(self, name: str) -> None:
        """Off at once."""
        with self._lock:
            machine = self._machines.get(name)
            if machine is None or not self._runs(machine):
                return
            self._keep(name, replace(machine, off_at=self._now()))
        self._tell(name)

    def state(self, name: str) -> MachineState:
        machine = self._machines.get(name)
        if machine is None:
            return MachineState.ABSENT
        return MachineState.RUNNING if self._runs(machine) else MachineState.STOPPED

    def metadata(self, name: str) -> Mark | None:
        machine = self._machines.get(name)
        return mark_of(machine.xml) if machine else None

    def definition(self, name: str) -> str | None:
        """How the machine would start the next time."""
        machine = self._machines.get(name)
        return machine.xml if machine else None

    def attached(self, name: str) -> list[Attached]:
        """What the machine has of its PC while it runs."""
        machine = self._machines.get(name)
        if machine is None or not self._runs(machine):
            return []
        plugged = "".join(machine.plugged)
        return [*attached_of(machine.xml), *attached_of(f"<domain><devices>{plugged}</devices></domain>")]

    def attach(self, name: str, device_xml: str) -> None:
        """The device hangs on the machine until that ends. Raises Unreachable(machine_off)."""
        with self._lock:
            machine = self._running(name)
            if device_xml not in machine.plugged:
                self._keep(name, replace(machine, plugged=[*machine.plugged, device_xml]))

    def detach(self, name: str, alias: str, *, wait_s: float) -> None:
        """The guest lets go at once. Raises Unreachable(machine_off)."""
        del wait_s
        with self._lock:
            machine = self._running(name)
            kept = [device for device in machine.plugged if f'"{alias}"' not in device]
            self._keep(name, replace(machine, plugged=kept))

    def set_link(self, name: str, mac: str, *, up: bool) -> None:
        """Nobody misses the cable."""
        del name, mac, up

    def give_back(self, address: str) -> bool:
        """Nobody took it."""
        del address
        return False

    def ensure_network(self, network_xml: str) -> bool:
        """There is none, and nobody misses it."""
        del network_xml
        return False

    def edited(self, name: str) -> bool:
        """Nobody edits a simulated machine."""
        del name
        return False

    def ping(self, name: str) -> bool:
        machine = self._machines.get(name)
        return machine is not None and self._up(machine)

    def ask(self, name: str, command: Sequence[str], *, timeout_s: float, stdin: bytes = b"") -> Answer:
        """A guest that is up says yes to everything. Raises Unreachable(guest_silent)."""
        del timeout_s, stdin
        if not self.ping(name):
            raise Unreachable("guest_silent", f"The simulated machine {name} is not up.")
        return Answer(exit_code=0, output=f"simulated: {' '.join(command)}\n".encode())

    def on_change(self, callback: Callable[[str], None]) -> None:
        """Calls `callback` when a machine is started, asked to end, or switched off."""
        self._listeners.append(callback)

    def close(self) -> None:
        """Machines run on."""
        self._listeners.clear()

    def _running(self, name: str) -> Machine:
        machine = self._machines.get(name)
        if machine is None or not self._runs(machine):
            raise Unreachable("machine_off", f"The simulated machine {name} is off.")
        return machine

    def _runs(self, machine: Machine) -> bool:
        return machine.off_at is None or self._now() < machine.off_at

    def _up(self, machine: Machine) -> bool:
        return self._runs(machine) and machine.up_at is not None and self._now() >= machine.up_at

    def _up_at(self, name: str, vm_xml: str, starts: int) -> float | None:
        """A version comes up on a PC always or never, so that it has to go back from one that does not."""
        mark = mark_of(vm_xml)
        of_version = f"{self._settings.seed}/{self._name}/{name}/{mark.manifest if mark else ''}"
        if Random(of_version).random() < self._settings.fail_rate:  # noqa: S311 - not a secret
            return None
        spread = Random(f"{of_version}/{starts}").uniform(*SPREAD)  # noqa: S311 - not a secret
        return self._now() + self._settings.boot_s * spread

    def _keep(self, name: str, machine: Machine) -> None:
        machines = {**self._machines, name: machine}
        disk.write_file(self._path, codec.encode(machines))
        self._machines = machines

    def _tell(self, name: str) -> None:
        for listener in list(self._listeners):
            listener(name)


def _read(path: Path) -> dict[str, Machine]:
    data = disk.read_file(path)
    try:
        return codec.decode(data, dict[str, Machine]) if data else {}
    except Refused as error:
        words = f"{path} cannot be used ({error.words}). Remove it; its machines are then off."
        raise HostBroken("simulation_unreadable", words) from error
