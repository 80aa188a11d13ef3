"""What hangs on the client VM, as devices come and go. Bench and machines here follow a script, for this
machine has no USB; real ones are in `tests/e2e`, and libvirt's side in `test_hypervisor_devices`."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace

from vrasnode.devices.part import AGAIN_S, FULL_LOOK_S, NAME, Devices
from vrasnode.domainxml import Attached, Kind, attached_of
from vrasnode.errors import HostBroken, Refused, Unreachable, VrasError
from vrasnode.machines.hypervisor import MachineState
from vrasnode.wire import codec
from vrasnode.wire.devices import (
    Bus,
    DeviceFacts,
    DeviceHappening,
    DevicePolicy,
    DevicesReport,
    Fate,
    Need,
    OpticalDrive,
    PciDevice,
    Rule,
    Scope,
    Suspend,
    UsbDevice,
    Verdict,
)

HOST = PciDevice(address="0000:00:00.0", device_class="060000", vendor="8086", product="29c0", iommu_group=0)
GPU = PciDevice(
    address="0000:01:00.0", device_class="030000", vendor="10de", product="1cb3", iommu_group=1, name="GPU"
)
DISK = PciDevice(
    address="0000:02:00.0",
    device_class="010802",
    vendor="144d",
    product="a808",
    iommu_group=2,
    resets=["flr"],
    needed_for=[Need.DISK],
)
STICK = UsbDevice(
    port="1-2",
    number=5,
    controller="0000:00:14.0",
    vendor="0930",
    product="6545",
    serial="SN123",
    interfaces=["08:06:50"],
    name="TransMemory",
)
TWIN = replace(STICK, port="1-3", number=6, serial="SN999")
DRIVE = OpticalDrive(node="sr0", name="DVD-RAM", port="0000:00:17.0")
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def rule(number: int, verdict: Verdict = Verdict.PASS, **match: object) -> Rule:
    return Rule(id=number, scope=Scope.GROUP, verdict=verdict, **match)  # type: ignore[arg-type]


class Bench:
    def __init__(self) -> None:
        self.pci = [HOST, GPU, DISK]
        self.usb: list[UsbDevice] = []
        self.optical: list[OpticalDrive] = []

    def devices(self) -> DeviceFacts:
        return DeviceFacts(pci=list(self.pci), usb=list(self.usb), optical=list(self.optical))

    def usb_devices(self) -> list[UsbDevice]:
        return list(self.usb)


class Machines:
    """One running machine; `refuses` what it is asked to plug, `holds` what it is asked to let go."""

    def __init__(self) -> None:
        self.now = MachineState.RUNNING
        self.plugged: dict[str, Attached] = {}
        self.refuses: VrasError | None = None
        self.holds = False
        self.is_edited = False
        self.given_back: list[str] = []

    def state(self, name: str) -> MachineState:
        assert name == NAME
        return self.now

    def edited(self, name: str) -> bool:
        return self.is_edited

    def attached(self, name: str) -> list[Attached]:
        return list(self.plugged.values())

    def attach(self, name: str, device_xml: str) -> None:
        if self.refuses:
            raise self.refuses
        (one,) = attached_of(f"<domain><devices>{device_xml}</devices></domain>")
        assert one.alias not in self.plugged
        self.plugged[one.alias] = one

    def detach(self, name: str, alias: str, *, wait_s: float) -> None:
        if self.holds:
            raise Unreachable("device_held", "The guest did not let go.")
        del self.plugged[alias]

    def give_back(self, address: str) -> bool:
        self.given_back.append(address)
        return True

    def keys(self) -> list[str]:
        return sorted(one.key for one in self.plugged.values())


class Pc:
    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.bench = Bench()
        self.machines = Machines()
        self.slice: bytes | None = None
        self.told: list[tuple[str, DevicesReport]] = []
        self.shown: list[str] = []
        self.enforced: list[Suspend] = []
        self.sleeps_anyway = False
        self.facts_told = 0
        self.seconds = 1000.0
        self.restart()

    def restart(self) -> None:
        """As the next process finds it."""
        self.devices = Devices(
            self.directory,
            pc=self.bench,
            machines=self.machines,
            get_slice=lambda _app: self.slice,
            report=lambda about, message: self.told.append((about, message)),
            on_facts=self._on_facts,
            show=self.shown.append,
            enforce=self._enforce,
            has_iommu=True,
            boot_id="boot-1",
            clock=lambda: self.seconds,
            now=lambda: NOON + timedelta(seconds=self.seconds - 1000),
        )

    def _enforce(self, suspend: Suspend) -> None:
        self.enforced.append(suspend)
        if suspend is Suspend.BLOCKED and self.sleeps_anyway:
            raise HostBroken("no_inhibitor", "Nothing holds it awake.")

    def _on_facts(self) -> None:
        self.facts_told += 1

    def rules(self, *rules: Rule) -> None:
        self.slice = codec.encode(DevicePolicy(rules=list(rules)))

    def steps(self, count: int = 3, *, seconds: float = 1.5) -> None:
        for _ in range(count):
            self.devices.step()
            self.seconds += seconds

    def events(self) -> list[tuple[DeviceHappening, str, str]]:
        found = [event for _, message in self.told for event in message.events]
        assert [event.number for event in found] == sorted({event.number for event in found})
        return [(event.happening, event.key, event.code) for event in found]

    def state(self, key: str) -> tuple[Fate, str, bool]:
        states = [message.devices for _, message in self.told if message.devices is not None][-1]
        one = next(one for one in states if one.key == key)
        return one.fate, one.code, one.present


@pytest.fixture
def pc(tmp_path: Path) -> Pc:
    return Pc(tmp_path / "devices")


def test_without_a_word_of_the_server_nothing_is_granted(pc: Pc) -> None:
    pc.bench.usb = [STICK]

    pc.steps()

    assert pc.machines.keys() == []
    assert pc.devices.passing.for_start().pci == ()
    assert pc.state("1-2") == (Fate.HIDDEN, "no_rule", False)


def test_of_two_sticks_of_one_model_the_allowed_one_is_attached(pc: Pc) -> None:
    pc.rules(rule(1, bus=Bus.USB, device_id="0930:6545", serial="SN123"))
    pc.steps()
    pc.bench.usb = [STICK, TWIN]

    pc.steps()

    assert pc.machines.keys() == ["1-2"]
    assert pc.state("1-2") == (Fate.PASSED, "rule", True)
    assert pc.state("1-3") == (Fate.HIDDEN, "no_rule", False)
    assert pc.events() == [
        (DeviceHappening.PLUGGED, "1-2", ""),
        (DeviceHappening.PLUGGED, "1-3", ""),
        (DeviceHappening.ATTACHED, "1-2", "rule"),
    ]
    assert pc.facts_told == 1


def test_what_is_pulled_is_taken_off_and_put_in_again_is_another(pc: Pc) -> None:
    pc.rules(rule(1, bus=Bus.USB))
    pc.bench.usb = [STICK]
    pc.steps()
    first = list(pc.machines.plugged)

    pc.bench.usb = []
    pc.steps()
    assert pc.machines.keys() == []

    pc.bench.usb = [replace(STICK, number=9)]
    pc.steps()
    assert pc.machines.keys() == ["1-2"]
    assert list(pc.machines.plugged) != first


def test_a_device_that_names_itself_anew_is_judged_anew(pc: Pc) -> None:
    pc.rules(rule(1, bus=Bus.USB, serial="SN123"))
    pc.bench.usb = [STICK]
    pc.steps()

    pc.bench.usb = [replace(STICK, number=6, serial="KEYBOARD")]
    pc.steps()

    assert pc.machines.keys() == []
    assert pc.state("1-2") == (Fate.HIDDEN, "no_rule", False)


def test_what_is_no_longer_granted_leaves_the_running_machine(pc: Pc) -> None:
    pc.rules(rule(1, bus=Bus.USB))
    pc.bench.usb = [STICK]
    pc.steps()

    pc.rules(rule(1, bus=Bus.USB), rule(2, Verdict.HIDE, bus=Bus.USB, serial="SN123"))
    pc.steps(1)

    assert pc.machines.keys() == []
    assert pc.events()[-1][:2] == (DeviceHappening.DETACHED, "1-2")


def test_a_rule_that_ends_takes_the_device_with_it(pc: Pc) -> None:
    pc.rules(rule(1, bus=Bus.USB, valid_until=NOON + timedelta(seconds=20)))
    pc.bench.usb = [STICK]
    pc.steps()
    assert pc.machines.keys() == ["1-2"]

    pc.steps(20)

    assert pc.machines.keys() == []


def test_a_policy_that_cannot_be_read_grants_nothing(pc: Pc) -> None:
    pc.rules(rule(1, bus=Bus.USB))
    pc.bench.usb = [STICK]
    pc.steps()

    pc.slice = b"{"
    with pytest.raises(Refused, match="bad_message"):
        pc.devices.step()
    pc.devices.nudge()
    pc.steps()

    assert pc.machines.keys() == []


def test_storage_that_may_only_be_read_is_given_as_a_disk_once_it_is_there(pc: Pc) -> None:
    pc.rules(rule(1, Verdict.READ_ONLY, bus=Bus.USB, device_class="08"))
    pc.bench.usb = [STICK]
    pc.steps()
    assert pc.machines.keys() == []

    pc.bench.usb = [replace(STICK, disks=["sdb"])]
    pc.steps()

    (one,) = pc.machines.plugged.values()
    assert (one.kind, one.key, one.part) == (Kind.STORAGE, "1-2", "5-sdb")
    assert pc.state("1-2")[2]


def test_an_optical_drive_is_shared_as_a_virtual_one(pc: Pc) -> None:
    pc.rules(rule(1, bus=Bus.OPTICAL))
    pc.bench.optical = [DRIVE]

    pc.steps()

    assert pc.machines.keys() == ["sr0"]
    assert pc.devices.passing.for_start().opticals == ("sr0",)


def test_what_someone_else_attached_is_taken_off_and_said(pc: Pc) -> None:
    pc.rules()
    pc.machines.plugged["hostdev0"] = Attached("hostdev0", Kind.OTHER, "hostdev usb 0x0930 0x6545")

    pc.steps()

    assert pc.machines.plugged == {}
    assert pc.events() == [(DeviceHappening.DETACHED, "hostdev usb 0x0930 0x6545", "foreign")]


def test_a_definition_that_someone_changed_is_said_once_and_a_start_is_no_change(pc: Pc) -> None:
    pc.steps()
    pc.machines.is_edited = True
    pc.steps(3, seconds=FULL_LOOK_S)
    assert pc.events() == [(DeviceHappening.FAILED, NAME, "definition_changed")]

    pc.devices.passing.for_start()
    pc.machines.is_edited = False
    pc.steps(3, seconds=FULL_LOOK_S)
    assert len(pc.events()) == 1


def test_what_cannot_be_attached_is_said_once_and_tried_again(pc: Pc) -> None:
    pc.rules(rule(1, bus=Bus.USB))
    pc.machines.refuses = HostBroken("pass_through_failed", "Device or resource busy.")
    pc.bench.usb = [STICK]

    pc.steps(10, seconds=AGAIN_S)
    assert [event[0] for event in pc.events()] == [DeviceHappening.FAILED]

    pc.machines.refuses = None
    pc.steps(3, seconds=AGAIN_S)
    assert pc.machines.keys() == ["1-2"]
    assert pc.events()[-1][0] is DeviceHappening.ATTACHED


def test_a_guest_that_holds_a_device_is_asked_again(pc: Pc) -> None:
    pc.rules(rule(1, bus=Bus.USB))
    pc.bench.usb = [STICK]
    pc.steps()
    pc.machines.holds = True

    pc.rules()
    pc.steps(4, seconds=AGAIN_S)
    assert pc.machines.keys() == ["1-2"]
    assert [event[2] for event in pc.events() if event[0] is DeviceHappening.FAILED] == ["device_held"]

    pc.machines.holds = False
    pc.steps(2, seconds=AGAIN_S)
    assert pc.machines.keys() == []


def test_a_function_that_is_granted_comes_with_the_next_start_and_not_before(pc: Pc) -> None:
    pc.rules(rule(1, bus=Bus.PCI, device_class="03"))

    pc.steps()

    assert pc.machines.keys() == []
    assert pc.state(GPU.address) == (Fate.PASSED, "rule", False)
    grants = pc.devices.passing.for_start()
    assert (grants.pci, grants.display) == ((GPU.address,), True)


def test_the_disk_is_never_granted(pc: Pc) -> None:
    pc.rules(rule(1))

    assert DISK.address not in pc.devices.passing.for_start().pci
    pc.steps()
    assert pc.state(DISK.address) == (Fate.SHARED, "needed_disk", False)


def test_a_start_has_what_is_there_at_that_moment(pc: Pc) -> None:
    """A card that was pulled, or that shares its group since, is not asked for."""
    pc.rules(rule(1, bus=Bus.PCI, device_class="03"))
    pc.steps()

    pc.bench.pci = [HOST, replace(GPU, iommu_group=2), DISK]

    assert pc.devices.passing.for_start().pci == ()


def test_what_a_start_had_to_do_without_is_said_on_the_screen_and_to_the_server(pc: Pc) -> None:
    pc.rules(rule(1, bus=Bus.PCI, device_class="03"))
    passing = pc.devices.passing
    passing.for_start()

    assert passing.failed(HostBroken("pass_through_failed", "vfio: cannot reset."))
    assert passing.for_start().pci == ()
    pc.steps()

    assert pc.state(GPU.address) == (Fate.PASSED, "pass_through_failed", False)
    assert "vfio: cannot reset." in pc.shown[-1]
    assert (DeviceHappening.FAILED, GPU.address, "pass_through_failed") in pc.events()


def test_a_machine_that_ended_gives_its_functions_back(pc: Pc) -> None:
    pc.rules(rule(1, bus=Bus.PCI, device_class="03"))
    alias = "ua-pci-0000_01_00_0"
    pc.machines.plugged[alias] = Attached(alias, Kind.PCI, GPU.address)
    pc.steps()
    assert pc.state(GPU.address)[2]

    pc.machines.now, pc.machines.plugged = MachineState.STOPPED, {}
    pc.steps(2, seconds=FULL_LOOK_S)

    assert pc.machines.given_back == [GPU.address]
    assert not pc.state(GPU.address)[2]


def test_an_agent_that_comes_back_finds_what_hangs_there_and_counts_on(pc: Pc) -> None:
    pc.rules(rule(1, bus=Bus.USB))
    pc.steps(1)
    pc.bench.usb = [STICK]
    pc.steps()
    before = len(pc.events())

    pc.restart()
    pc.steps()
    assert pc.machines.keys() == ["1-2"]
    assert len(pc.events()) == before

    pc.bench.usb = []
    pc.steps()
    assert len(pc.events()) == before + 2  # unplugged, detached: numbered on


def test_nothing_new_is_told_when_nothing_is_new(pc: Pc) -> None:
    pc.rules(rule(1, bus=Bus.USB))
    pc.bench.usb = [STICK]
    pc.steps()
    told = len(pc.told)

    pc.steps(20, seconds=FULL_LOOK_S)

    assert len(pc.told) == told


def test_a_pc_is_held_awake_as_its_policy_says_and_until_it_has_one(pc: Pc) -> None:
    pc.steps(1)
    assert pc.enforced == [Suspend.BLOCKED]

    pc.slice = codec.encode(DevicePolicy(rules=[], suspend=Suspend.ALLOWED))
    pc.steps(1)
    assert pc.enforced[-1] is Suspend.ALLOWED


def test_a_pc_that_cannot_be_held_awake_has_its_devices_all_the_same(pc: Pc) -> None:
    pc.sleeps_anyway = True
    pc.rules(rule(1, bus=Bus.USB))
    pc.bench.usb = [STICK]

    for _ in range(3):
        with pytest.raises(HostBroken, match="no_inhibitor"):
            pc.devices.step()
        pc.seconds += 1.5

    assert pc.machines.keys() == ["1-2"]


def test_without_an_agent_a_pc_may_sleep(pc: Pc) -> None:
    pc.steps(1)

    pc.devices.close()

    assert pc.enforced[-1] is Suspend.ALLOWED
