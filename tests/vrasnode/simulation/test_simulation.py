"""One simulated PC: its machines keep a hypervisor's promises, its devices are plausible."""

import threading
from pathlib import Path
from uuid import UUID

import pytest

from vrasnode.agent import Agent
from vrasnode.domainxml import (
    Accelerator,
    ClientVm,
    Firmware,
    Mark,
    UsbPassed,
    client_vm_xml,
    device_xml,
)
from vrasnode.errors import HostBroken, Refused, Unreachable
from vrasnode.machines.hypervisor import MachineState
from vrasnode.simulation import hardware
from vrasnode.simulation.crank import Crank, Wake
from vrasnode.simulation.machines import SHUT_DOWN_S, SimulatedMachines
from vrasnode.simulation.metrics import Metrics, percentile
from vrasnode.simulation.pc import SimulatedBench
from vrasnode.simulation.settings import Images, Model, Settings, is_simulated, parse
from vrasnode.wire import codec
from vrasnode.wire.devices import Need
from vrasnode.wire.imaging import DeliveryStage

NAME = "client-vm"


class Clock:
    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


def machines_in(directory: Path, clock: Clock, **settings: float) -> SimulatedMachines:
    told = Settings(boot_s=settings.get("boot_s", 4.0), fail_rate=settings.get("fail_rate", 0.0))
    return SimulatedMachines(directory / "machines.json", name="pc-1", settings=told, now=clock)


def xml(manifest: str = "a" * 64, serial: int = 1) -> str:
    vm = ClientVm(
        name=NAME,
        uuid=UUID(int=1),
        memory_bytes=1 << 30,
        vcpus=1,
        accelerator=Accelerator.KVM,
        firmware=Firmware.BIOS,
        disk=Path("/disk.qcow2"),
        console_log=Path("/console.log"),
        mark=Mark(manifest=manifest, serial=serial),
    )
    return client_vm_xml(vm)


def test_a_simulated_machine_comes_up_after_a_while_and_shuts_down_when_asked(
    tmp_path: Path, clock: Clock
) -> None:
    machines = machines_in(tmp_path, clock)
    assert machines.state(NAME) is MachineState.ABSENT

    machines.start(xml())
    assert machines.state(NAME) is MachineState.RUNNING
    assert not machines.ping(NAME)
    clock.seconds += 6.0
    assert machines.ask(NAME, ["true"], timeout_s=1).exit_code == 0

    machines.shut_down(NAME)
    clock.seconds += SHUT_DOWN_S
    assert machines.state(NAME) is MachineState.STOPPED
    with pytest.raises(Unreachable):
        machines.ask(NAME, ["true"], timeout_s=1)


def test_simulated_machines_run_on_while_no_agent_does(tmp_path: Path, clock: Clock) -> None:
    machines_in(tmp_path, clock).start(xml(serial=7))

    clock.seconds += 100.0
    found = machines_in(tmp_path, clock)

    assert found.state(NAME) is MachineState.RUNNING
    assert found.ping(NAME)
    assert found.metadata(NAME) == Mark(manifest="a" * 64, serial=7)


def test_a_version_that_fails_on_a_simulated_pc_fails_at_every_start(tmp_path: Path, clock: Clock) -> None:
    machines = machines_in(tmp_path, clock, fail_rate=1.0)

    for _ in range(3):
        machines.start(xml())
        clock.seconds += 1000.0
        assert machines.state(NAME) is MachineState.RUNNING
        assert not machines.ping(NAME)
        machines.destroy(NAME)


def test_a_guest_that_never_came_up_does_not_hear_the_power_button(tmp_path: Path, clock: Clock) -> None:
    machines = machines_in(tmp_path, clock, fail_rate=1.0)
    machines.start(xml())

    machines.shut_down(NAME)
    clock.seconds += 100.0

    assert machines.state(NAME) is MachineState.RUNNING


def test_what_happens_to_a_simulated_machine_is_told(tmp_path: Path, clock: Clock) -> None:
    machines, told = machines_in(tmp_path, clock), []
    machines.on_change(told.append)

    machines.start(xml())
    machines.start(xml())
    machines.destroy(NAME)
    machines.destroy(NAME)

    assert told == [NAME, NAME]


def test_a_damaged_file_of_simulated_machines_is_said(tmp_path: Path, clock: Clock) -> None:
    (tmp_path / "machines.json").write_bytes(b"{")

    with pytest.raises(HostBroken) as broken:
        machines_in(tmp_path, clock)

    assert broken.value.code == "simulation_unreadable"


def test_the_address_of_a_simulated_pc_says_how_it_behaves() -> None:
    assert is_simulated("sim:")
    assert not is_simulated("qemu:///system")
    assert parse("sim:") == Settings()
    assert parse("sim:?boot_s=2.5&fail_rate=0.1&seed=7&images=none&model=notebook") == Settings(
        boot_s=2.5, fail_rate=0.1, seed=7, images=Images.NONE, model=Model.NOTEBOOK
    )


@pytest.mark.parametrize("uri", ["sim:?boots=1", "sim:?fail_rate=2", "sim:?boot_s=-1", "sim:?seed=x"])
def test_an_address_that_makes_no_sense_is_refused(uri: str) -> None:
    with pytest.raises(Refused) as refused:
        parse(uri)

    assert refused.value.code == "bad_simulation"


@pytest.mark.parametrize("model", [Model.DESKTOP, Model.NOTEBOOK])
def test_a_simulated_pc_says_that_it_is_and_has_what_a_pc_has(model: Model) -> None:
    facts = hardware.facts_of("sim-001", model=model, seed=1)

    assert facts.simulated
    assert facts.devices is not None
    assert facts == hardware.facts_of("sim-001", model=model, seed=1)
    needs = {need for device in facts.devices.pci for need in device.needed_for}
    assert {Need.DISK, Need.LAN} <= needs
    classes = {device.device_class[:4] for device in facts.devices.pci}
    assert {"0300", "0403", "0108", "0200", "0c03"} <= classes
    assert any("08:06:50" in device.interfaces for device in facts.devices.usb)
    addresses = [device.address for device in facts.devices.pci]
    assert addresses == sorted(set(addresses))


def test_no_two_simulated_pcs_have_the_same_stick() -> None:
    serials = set()
    for number in range(100):
        devices = hardware.facts_of(f"sim-{number:03}", model=Model.ANY, seed=1).devices
        assert devices is not None
        serials |= {device.serial for device in devices.usb if device.serial}

    assert len(serials) == 100


def test_the_figures_say_what_95_of_100_do_not_exceed() -> None:
    assert percentile([float(value) for value in range(1, 101)], 0.95) == 95.0
    assert percentile([3.0], 0.95) == 3.0


def test_a_pc_counts_by_how_its_last_assignment_ended() -> None:
    clock = Clock()
    metrics = Metrics(clock=clock)
    for pc, stages in {"a": ("fetching", "staged", "booted"), "b": ("fetching", "failed")}.items():
        for stage in stages:
            clock.seconds += 2.0
            metrics.note(pc, 1, DeliveryStage(stage))
    metrics.note("a", 2, DeliveryStage.FETCHING)

    found = metrics.summary()

    assert (found["booted"], found["failed"], found["under_way"]) == (0, 1, 1)
    assert found["booted_s"] == {"n": 1, "median": 4.0, "p95": 4.0, "max": 4.0}


class Counting:
    """A part that counts its turns and stops the crank after some."""

    def __init__(self, name: str, crank: Crank, *, after: int) -> None:
        self.name = name
        self.turns = 0
        self.closed = False
        self._crank = crank
        self._after = after

    def step(self) -> bool:
        self.turns += 1
        if self.turns >= self._after:
            self._crank.stop()
        return True

    def close(self) -> None:
        self.closed = True


def test_one_crank_gives_every_agent_its_turns_and_closes_them_all() -> None:
    crank = Crank(threads=2)
    parts = [Counting(f"pc-{number}", crank, after=50 if number == 9 else 10**9) for number in range(10)]
    agents = [
        (part.name, Agent([part], wake=(wake := Wake()), stop=threading.Event()), wake) for part in parts
    ]

    crank.run(agents)

    assert all(part.closed for part in parts)
    assert parts[9].turns == 50
    assert all(part.turns for part in parts)


def test_a_woken_agent_does_not_wait_for_its_tick() -> None:
    clock = Clock()
    crank = Crank(threads=1, clock=clock)  # a clock that stands still: no tick ever comes
    wake = Wake()

    class Sleeping(Counting):
        def step(self) -> bool:
            super().step()
            threading.Timer(0.02, wake.set).start()  # when the turn is long over
            return False

    part = Sleeping("pc-1", crank, after=5)
    crank.run([("pc-1", Agent([part], wake=wake, stop=threading.Event()), wake)])

    assert part.turns == 5


STICK = UsbPassed(vendor="0951", product="1666", bus=1, device=5, port="1-3.1")


def test_a_device_hangs_on_a_simulated_machine_until_it_is_taken_off_or_the_machine_ends(
    tmp_path: Path, clock: Clock
) -> None:
    machines = machines_in(tmp_path, clock)
    with pytest.raises(Unreachable) as off:
        machines.attach(NAME, device_xml(STICK))
    machines.start(xml())

    machines.attach(NAME, device_xml(STICK))
    machines.attach(NAME, device_xml(STICK))
    hanging = machines_in(tmp_path, clock).attached(NAME)
    machines.detach(NAME, STICK.handle.alias, wait_s=1.0)
    taken = machines.attached(NAME)
    machines.attach(NAME, device_xml(STICK))
    machines.destroy(NAME)

    assert off.value.code == "machine_off"
    assert [device.handle for device in hanging] == [STICK.handle]
    assert taken == []
    assert machines.attached(NAME) == []


def test_sticks_are_plugged_into_a_simulated_pc_by_a_file(tmp_path: Path) -> None:
    facts = hardware.facts_of("sim-001", model=Model.DESKTOP, seed=1)
    bench = SimulatedBench(facts, tmp_path / "usb.json")
    stick = bench.usb_devices()[-1]

    (tmp_path / "usb.json").write_bytes(codec.encode([stick]))
    alone = bench.devices().usb
    (tmp_path / "usb.json").unlink()

    assert alone == [stick]
    assert facts.devices is not None
    assert bench.usb_devices() == facts.devices.usb
