"""Devices on the PC: sees what is plugged, asks the plan, attaches or does nothing, tells what happened.

plugged -> planned -> attached -> detached (unplugged, or no longer granted)
                   -> nothing: for the client VM it does not exist

Which fate a device has is `devicepolicy.planning`'s, what a start may have `machines.passing`'s, how it is
written `domainxml`'s.
What hangs on the machine is asked of libvirt each time, so an agent that comes back finds its way, and a
device that someone else attached is taken off again.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Protocol

from vrasnode.devicepolicy import next_change
from vrasnode.devicepolicy.planning import Plan, Planned, make_plan
from vrasnode.devices.ledger import DeviceLedger
from vrasnode.devices.wanted import Wanted, is_shared_drive, wanted_of
from vrasnode.domainxml import Attached, Kind, device_xml
from vrasnode.errors import Refused, VrasError
from vrasnode.host import disk
from vrasnode.machines.grants import Grants
from vrasnode.machines.hypervisor import MachineState
from vrasnode.machines.passing import Failure, Passing
from vrasnode.wire import codec
from vrasnode.wire.devices import (
    Bus,
    DeviceFacts,
    DeviceHappening,
    DevicePolicy,
    DevicesReport,
    DeviceState,
    Suspend,
    UsbDevice,
)

log = logging.getLogger("vrasnode.devices")

NAME = "client-vm"
USB_LOOK_S = 1.0  # between looks at the ports; a plug is told by the kernel at once
FULL_LOOK_S = 30.0  # between looks at everything, and at what hangs on the machine
AGAIN_S = 10.0  # before what could not be attached or detached is tried again
LEAVES_S = 5.0  # for the guest to let a device go
DISPLAY = "03"  # PCI class
DEFAULT = DevicePolicy(rules=[])
BUS = {Kind.PCI: Bus.PCI, Kind.USB: Bus.USB, Kind.STORAGE: Bus.USB, Kind.OPTICAL: Bus.OPTICAL}


class Machines(Protocol):
    """The hypervisor, as far as the devices of one machine need it."""

    def state(self, name: str) -> MachineState: ...
    def edited(self, name: str) -> bool: ...
    def attached(self, name: str) -> Sequence[Attached]: ...
    def attach(self, name: str, device_xml: str) -> None: ...
    def detach(self, name: str, alias: str, *, wait_s: float) -> None: ...
    def give_back(self, address: str) -> bool: ...


class Bench(Protocol):
    """The PC's devices, as the kernel shows them."""

    def devices(self) -> DeviceFacts: ...
    def usb_devices(self) -> list[UsbDevice]: ...


class Devices:
    """The part. `clock` counts seconds and never goes back, `now` is the time of day that rules are held
    against; `report` takes what the server should hear, under the name of what it is about; `on_facts` is
    called when the PC has other devices than before; `show` puts words on its own screen; `enforce` holds the
    PC awake where policy forbids sleep, and says so where it cannot; `has_iommu` says whether devices can be
    passed through at all."""

    name = "devices"

    def __init__(
        self,
        directory: Path,
        *,
        pc: Bench,
        machines: Machines,
        get_slice: Callable[[str], bytes | None],
        report: Callable[[str, DevicesReport], None],
        on_facts: Callable[[], None],
        show: Callable[[str], None],
        enforce: Callable[[Suspend], None],
        has_iommu: bool,
        boot_id: str,
        clock: Callable[[], float],
        now: Callable[[], datetime],
    ) -> None:
        """Raises HostBroken."""
        disk.make_directory(directory, mode=0o700)
        self._pc = pc
        self._machines = machines
        self._get_slice = get_slice
        self._report = report
        self._on_facts = on_facts
        self._show = show
        self._enforce = enforce
        self._has_iommu = has_iommu
        self._clock = clock
        self._now = now
        self._ledger = DeviceLedger(directory / "events.json", report=report, now=now)
        self.passing = Passing(
            directory / "passing.json",
            plan=self._grants,
            get_policy=lambda: self._revision,
            tell=self._tell_failure,
            boot_id=boot_id,
        )
        self._seen: bytes | None = None
        self._policy, self._revision = DEFAULT, codec.revision(DEFAULT)
        self._facts: DeviceFacts | None = None
        self._plan = Plan(devices=())
        self._replan_at: datetime | None = None
        self._attached: Sequence[Attached] = ()
        self._edit_told = False
        self._told: list[DeviceState] | None = None
        self._not_before: dict[str, float] = {}
        self._usb_at = self._full_at = clock()

    def view(self) -> list[tuple[Planned, bool]]:
        """Each device with what the PC makes of it, and whether the client VM has it now. A start that had to
        do without one has the reason as its code."""
        withheld = self.passing.withheld
        present = {(BUS[one.kind], one.key) for one in self._attached if one.kind in BUS}
        return [
            (
                replace(one, code=withheld[one.key].code) if one.key in withheld else one,
                (one.bus, one.key) in present,
            )
            for one in self._plan.devices
        ]

    def nudge(self) -> None:
        """Something was plugged or a machine changed: look at the next step. From any thread."""
        self._usb_at = self._full_at = float("-inf")

    def step(self) -> bool:
        """One bite; never more to do at once."""
        changed = self._read_policy()
        looked = self._look()
        due = self._replan_at is not None and self._now() >= self._replan_at
        if changed or looked or due:
            self._make_plan()
        if changed or looked or due or self._not_before:
            self._put_right()
            self._tell()
        self._enforce(
            self._policy.suspend
        )  # last: a PC that cannot be held awake has its devices all the same
        return False

    def close(self) -> None:
        """What hangs on the machine stays there; the PC may sleep where nobody watches it."""
        self._enforce(Suspend.ALLOWED)

    def _read_policy(self) -> bool:
        found = self._get_slice("devices")
        if found is self._seen:
            return False
        self._seen = found
        try:
            policy = codec.decode(found, DevicePolicy) if found is not None else DEFAULT
        except Refused:
            self._policy = DEFAULT  # of what cannot be read nothing is granted
            raise
        self._policy, self._revision = policy, codec.revision(policy)
        self._not_before.clear()
        return True

    def _look(self) -> bool:
        """Whether there was a look at the PC that may have shown something new."""
        clock, before = self._clock(), self._facts
        if before is None or clock >= self._full_at:
            self._full_at = clock + FULL_LOOK_S
            self._usb_at = clock + USB_LOOK_S
            self._facts = self._pc.devices()
        elif clock >= self._usb_at:
            self._usb_at = clock + USB_LOOK_S
            usb = self._pc.usb_devices()
            if usb == before.usb:
                return False
            self._facts = self._pc.devices()
        else:
            return False
        self._took(before)
        return True

    def _took(self, before: DeviceFacts | None) -> None:
        if self._facts is not None and self._facts != before:
            self._ledger.compare(before, self._facts)
            if before is not None:
                self._on_facts()

    def _make_plan(self) -> None:
        if self._facts is None:
            return
        now = self._now()
        self._plan = make_plan(self._facts, self._policy, now=now, iommu=self._has_iommu)
        self._replan_at = next_change(self._policy.rules, now=now)

    def _grants(self) -> Grants:
        """For a start: what is there at this moment, not when it was last looked at."""
        self._edit_told = False
        self._read_policy()
        before, self._facts = self._facts, self._pc.devices()
        self._took(before)
        self._make_plan()
        opticals = (one.key for one in self._plan.devices if is_shared_drive(one))
        pci = tuple(self._plan.passed_pci())
        displays = {one.address for one in self._facts.pci if one.device_class.startswith(DISPLAY)}
        return Grants(pci, tuple(opticals), self._policy.suspend, display=not displays.isdisjoint(pci))

    def _put_right(self) -> None:
        """Makes what hangs on the machine what the plan says."""
        running = self._machines.state(NAME) is MachineState.RUNNING
        if not running or self._facts is None:
            self._after_the_end()
            return
        self._tell_of_edits()
        self._attached = self._machines.attached(NAME)
        wanted = wanted_of(self._plan, self._facts)
        for one in self._attached:
            if one.alias not in wanted:
                self._detach(one)
        there = {one.alias for one in self._attached}
        for alias, want in wanted.items():
            if alias not in there and want.hot:
                self._attach(alias, want)
        self._attached = self._machines.attached(NAME)

    def _after_the_end(self) -> None:
        """The PC's own drivers have their devices again, also where libvirt died before it gave them back."""
        self._not_before.clear()
        for one in self._attached:
            if one.kind is Kind.PCI and self._machines.give_back(one.key):
                log.info("gave %s back to its driver", one.key)
        self._attached = ()

    def _tell_of_edits(self) -> None:
        """The next start defines the machine anew; that someone changed it meanwhile is said."""
        if not self._edit_told and self._machines.edited(NAME):
            words = f"Someone changed the definition of {NAME}. Its next start is by ours again."
            self._ledger.tell(DeviceHappening.FAILED, None, key=NAME, code="definition_changed", words=words)
            self._edit_told = True

    def _attach(self, alias: str, want: Wanted) -> None:
        if self._clock() < self._not_before.get(alias, float("-inf")):
            return
        try:
            self._machines.attach(NAME, device_xml(want.device))
        except VrasError as error:
            self._later(alias, want.planned, error)
            return
        self._not_before.pop(alias, None)
        self._ledger.tell(DeviceHappening.ATTACHED, want.planned, rule=want.planned.rule)

    def _detach(self, one: Attached) -> None:
        if self._clock() < self._not_before.get(one.alias, float("-inf")):
            return
        planned = self._plan.of(BUS[one.kind], one.key) if one.kind in BUS else None
        try:
            self._machines.detach(NAME, one.alias, wait_s=LEAVES_S)
        except VrasError as error:
            self._later(one.alias, planned, error)
            return
        self._not_before.pop(one.alias, None)
        code = "foreign" if one.kind is Kind.OTHER else ""  # someone's hand behind our back
        self._ledger.tell(DeviceHappening.DETACHED, planned, key=one.key, code=code)

    def _later(self, alias: str, planned: Planned | None, error: VrasError) -> None:
        if alias not in self._not_before:
            self._ledger.tell(DeviceHappening.FAILED, planned, key=alias, code=error.code, words=error.words)
        self._not_before[alias] = self._clock() + AGAIN_S

    def _tell_failure(self, failure: Failure) -> None:
        for address in failure.pci:
            planned = self._plan.of(Bus.PCI, address)
            self._ledger.tell(
                DeviceHappening.FAILED, planned, key=address, code=failure.code, words=failure.words
            )

    def _tell(self) -> None:
        """The states, when they are other than last told; and on the PC's screen what was withheld."""
        first = next(iter(self.passing.withheld.values()), None)
        self._show(f"{first.words} [{first.code}]" if first else "")
        states = [
            DeviceState(
                bus=one.bus,
                key=one.key,
                name=one.name,
                fate=one.fate,
                code=one.code,
                rule=one.rule.id if one.rule else None,
                present=present,
            )
            for one, present in self.view()
        ]
        if states != self._told:
            self._told = states
            self._report("state", DevicesReport(policy=self._revision, devices=states))
