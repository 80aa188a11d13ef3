"""The virtual server's life: first up, started again, proven or taken back. The machine here follows a
script; the real image under real libvirt is in `test_virtualserver_machines`."""

from concurrent.futures import Future
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from tests.vrasnode.machines.cast import ScriptedMachine, StagingPc
from tests.vrasnode.office import CHUNK, Published
from vrasnode.domainxml import Accelerator, Mark, Nic
from vrasnode.errors import HostBroken, Unreachable
from vrasnode.imaging.slots import Slots
from vrasnode.machines import virtualserver
from vrasnode.machines.hypervisor import MachineState
from vrasnode.machines.virtualserver import ServiceMachine, VirtualServer
from vrasnode.wire.imaging import Apply, DeliveryStage, Machine

INTERNAL = Nic("openvras-internal", "02:00:00:00:00:07")
ROUTED = Nic("openvras-routed", "02:00:00:00:00:08")


class Machines(ScriptedMachine):
    """The virtual server: up, mute, dead."""

    usual = "up"

    def __init__(self) -> None:
        super().__init__()
        self.xml = ""
        self.session = 0

    def read(self, vm_xml: str) -> None:
        self.xml = vm_xml
        self.session += 1

    def begin(self, op: str, **args: Any) -> "Future[Any]":
        """As the control channel does."""
        asked: Future[Any] = Future()
        if op != "ping":
            self.calls.append(f"{op} {args}")
        elif self.now is not MachineState.RUNNING:
            asked.set_exception(Unreachable("service_silent", "Nobody is there."))
        elif self.behaviour() == "up":
            asked.set_result({"session": self.session})
        return asked

    def close(self) -> None:
        self.calls.append("let go")


class Pc(StagingPc):
    """The part with what it needs."""

    machine = Machine.VIRTUAL_SERVER

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.machines = Machines()
        self.missed = True  # by a running client VM
        self.routed = False  # whether there is a way by Wi-Fi
        self.restart()

    def restart(self) -> None:
        """As the next process finds it."""
        self.slots = Slots(self.directory / "images")
        self.server = self.part = VirtualServer(
            self.directory / "service",
            slots=self.slots,
            machines=self.machines,
            channel=self.machines,
            machine=ServiceMachine(uuid=UUID(int=2)),
            accelerator=Accelerator.TCG,
            direct_io=True,
            lan=None,
            internal=INTERNAL,
            routed=ROUTED,
            is_routed=lambda: self.routed,
            idle=lambda: not self.missed,
            report=self.hear,
            clock=self.time,
            threads=2,
        )


@pytest.fixture
def pc(tmp_path: Path) -> Pc:
    return Pc(tmp_path)


@pytest.fixture
def running(pc: Pc, old: Published) -> Pc:
    """The old version is up."""
    pc.stage(old, serial=1)
    pc.steps(3)
    assert pc.server.summary == ("running", old.digest)
    pc.told.clear()
    pc.machines.calls.clear()
    return pc


def test_without_an_image_there_is_nothing_to_start_or_to_wait_for(pc: Pc) -> None:
    pc.steps(3)

    assert pc.machines.calls == []
    assert pc.server.summary == ("absent", None)
    assert not pc.server.awaited


@pytest.mark.parametrize("routed", [True, False])
def test_while_there_is_a_way_by_wifi_it_starts_with_a_card_for_it(
    pc: Pc, old: Published, routed: bool
) -> None:
    pc.routed = routed
    pc.stage(old, serial=1)
    pc.steps(3)

    assert (ROUTED.mac in pc.machines.xml) is routed
    assert ('<link state="down"' in pc.machines.xml) is routed  # until Wi-Fi is connected


def test_the_first_version_is_started_read_only_and_told_where_to_serve(pc: Pc, old: Published) -> None:
    image = pc.stage(old, serial=1)
    assert pc.server.awaited

    pc.steps(3)

    assert pc.server.up
    assert not pc.server.awaited
    assert pc.machines.calls == ["start", f"serve {{'mac': '{INTERNAL.mac}'}}"]
    assert str(image.resolve()) in pc.machines.xml
    assert "<readonly" in pc.machines.xml
    (told,) = pc.told
    assert (told.serial, told.stage, told.running) == (1, DeliveryStage.BOOTED, None)


def test_a_client_vm_waits_for_it_but_not_for_ever(pc: Pc, old: Published) -> None:
    pc.machines.guest[old.digest] = "mute"
    pc.stage(old, serial=1)

    pc.steps(2)
    at_first = pc.server.awaited
    pc.steps(40)

    assert at_first
    assert not pc.server.awaited


def test_it_is_started_again_when_it_dies_and_told_everything_anew(running: Pc) -> None:
    running.machines.now = MachineState.CRASHED

    running.steps(4)

    assert running.machines.calls == ["start", f"serve {{'mac': '{INTERNAL.mac}'}}"]
    assert running.server.up
    assert running.told == []  # nothing new for the server: the version is the same


def test_it_is_started_more_and_more_seldom_when_it_always_ends(running: Pc, old: Published) -> None:
    running.machines.guest[old.digest] = "dead"
    running.machines.now = MachineState.CRASHED

    running.steps(300)  # ten minutes

    assert 8 <= running.machines.calls.count("start") <= 16
    assert running.serial == 1


def test_a_program_inside_that_began_anew_is_told_where_to_serve(running: Pc) -> None:
    running.machines.session += 1

    running.steps(8)

    assert running.machines.calls == [f"serve {{'mac': '{INTERNAL.mac}'}}"]


def test_one_that_hangs_is_switched_off_in_the_end_and_started_again(running: Pc, old: Published) -> None:
    running.machines.guest[old.digest] = "mute"

    running.steps(int(virtualserver.HUNG_S / 2) - 10)
    before = list(running.machines.calls)
    running.steps(20)

    assert before == []
    assert running.machines.calls[:2] == ["destroy", "start"]
    assert not running.server.up


def test_a_staged_version_waits_until_nobody_would_miss_the_machine(running: Pc, new: Published) -> None:
    running.stage(new, serial=2)
    running.steps()
    waiting = list(running.machines.calls)

    running.missed = False
    running.steps(10)

    assert waiting == []
    assert running.machines.calls[:2] == ["shut_down", "start"]
    assert running.server.summary == ("running", new.digest)


def test_a_staged_version_that_is_to_be_applied_now_is(running: Pc, new: Published) -> None:
    running.stage(new, serial=2, apply=Apply.NOW)

    running.steps(10)

    assert running.serial == 2
    assert [told.stage for told in running.told] == [DeliveryStage.BOOTED]


def test_a_machine_that_does_not_shut_down_is_switched_off(running: Pc, new: Published) -> None:
    running.machines.obeys = False
    running.stage(new, serial=2, apply=Apply.NOW)

    running.steps()

    assert running.machines.calls[:3] == ["shut_down", "destroy", "start"]
    assert running.serial == 2


@pytest.mark.parametrize("behaviour", ["mute", "dead"])
def test_a_version_that_never_answers_is_taken_back_and_told(
    running: Pc, new: Published, old: Published, behaviour: str
) -> None:
    running.machines.guest[new.digest] = behaviour
    running.stage(new, serial=2, apply=Apply.NOW)

    running.steps(150)

    assert running.server.summary == ("running", old.digest)
    assert running.slots.boot.failed is not None
    (told,) = running.told
    assert (told.serial, told.stage, told.code) == (2, DeliveryStage.FAILED, "no_answer")


def test_a_first_version_that_never_answers_is_tried_on_and_told_once(pc: Pc, old: Published) -> None:
    pc.machines.guest[old.digest] = "mute"
    pc.stage(old, serial=1)

    pc.steps(400)

    assert [told.stage for told in pc.told] == [DeliveryStage.FAILED]
    assert pc.machines.calls.count("start") > virtualserver.MAX_STARTS

    pc.machines.guest[old.digest] = "up"
    pc.steps(60)
    assert pc.server.up


def test_a_staged_version_that_turned_bad_is_not_started(running: Pc, new: Published) -> None:
    image = running.stage(new, serial=2, apply=Apply.NOW)
    image.chmod(0o600)
    with image.open("r+b") as file:
        file.seek(3 * CHUNK)
        file.write(b"rot")

    running.steps(10)

    assert running.serial == 1
    assert running.slots.boot.next is None
    assert running.slots.boot.spoiled == 1
    assert running.server.up


def test_the_next_process_takes_the_running_machine_over(running: Pc, old: Published) -> None:
    running.server.close()
    running.restart()

    running.steps(3)

    assert running.machines.calls == ["let go", f"serve {{'mac': '{INTERNAL.mac}'}}"]
    assert running.server.summary == ("running", old.digest)
    assert running.told == []


def test_a_machine_of_that_name_that_runs_something_else_is_replaced(running: Pc) -> None:
    running.machines.mark = Mark(manifest="ff" * 32, serial=9)
    running.restart()

    running.steps(5)

    assert running.machines.calls[:2] == ["shut_down", "start"]


def test_a_start_that_libvirt_refuses_is_said_and_tried_again(pc: Pc, old: Published) -> None:
    pc.machines.fails = HostBroken("machine_start_failed", "No memory.")
    pc.stage(old, serial=1)
    with pytest.raises(HostBroken, match="No memory"):
        while True:
            pc.server.step()

    pc.machines.fails = None
    pc.steps(5)

    assert pc.server.up
