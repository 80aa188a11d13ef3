"""What tests of the client VM's life and of the virtual server's share: a machine that follows a script, a
clock that only tests move, and a PC that stages versions."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

from tests.vrasnode.office import CLIENT_ID, IMAGE, Published
from vrasnode.domainxml import Mark, mark_of
from vrasnode.errors import HostBroken
from vrasnode.imaging.slots import Slots
from vrasnode.machines.hypervisor import MachineState
from vrasnode.wire.imaging import Apply, Assignment, DeliveryReport, Health, Machine


class Time:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        self.now += 0.001
        return self.now


class ScriptedMachine:
    """One machine, as its hypervisor shows it. `guest` says how versions behave; `usual` is how others do."""

    usual = "healthy"

    def __init__(self) -> None:
        self.now = MachineState.ABSENT
        self.mark: Mark | None = None
        self.guest: dict[str, str] = {}
        self.obeys = True
        self.fails: HostBroken | None = None
        self.calls: list[str] = []

    def start(self, vm_xml: str) -> None:
        self.calls.append("start")
        if self.fails:
            raise self.fails
        self.read(vm_xml)
        self.mark = mark_of(vm_xml)
        self.now = MachineState.STOPPED if self.behaviour() == "dead" else MachineState.RUNNING

    def read(self, vm_xml: str) -> None:
        """What a test wants to know of it."""

    def shut_down(self, name: str) -> None:
        self.calls.append("shut_down")
        if self.obeys:
            self.now = MachineState.STOPPED

    def destroy(self, name: str) -> None:
        self.calls.append("destroy")
        self.now = MachineState.STOPPED

    def state(self, name: str) -> MachineState:
        return self.now

    def metadata(self, name: str) -> Mark | None:
        return self.mark

    def behaviour(self) -> str:
        assert self.mark is not None
        return self.guest.get(self.mark.manifest, self.usual)


class Part(Protocol):
    def step(self) -> bool: ...


class StagingPc:
    """A PC with one machine, and what it told."""

    machine = Machine.CLIENT_VM
    part: Part
    slots: Slots

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.told: list[DeliveryReport] = []
        self.time = Time()
        self.health = Health(within_s=60)

    def hear(self, report: DeliveryReport, keep: bool) -> None:
        if keep:
            self.told.append(report)

    def assignment(self, version: Published, *, serial: int, apply: Apply = Apply.NEXT_START) -> Assignment:
        return Assignment(
            client_id=CLIENT_ID,
            serial=serial,
            image=IMAGE,
            number=serial,
            manifest=version.digest,
            apply=apply,
            health=self.health,
            expires=datetime.now(UTC) + timedelta(days=1),
            machine=self.machine,
        )

    def stage(self, version: Published, *, serial: int, apply: Apply = Apply.NEXT_START) -> Path:
        assignment = self.assignment(version, serial=serial, apply=apply)
        self.slots.accept(assignment)
        slot = self.slots.open()
        self.slots.part(slot).write_bytes(version.data)
        self.slots.stage(assignment, slot, version.encoded)
        return self.slots.image(slot)

    def steps(self, count: int = 60, *, seconds: float = 2.0) -> None:
        """So many steps, the time between them passing."""
        for _ in range(count):
            while self.part.step():
                pass
            self.time.now += seconds

    @property
    def serial(self) -> int | None:
        return self.slots.boot.current.serial if self.slots.boot.current else None
