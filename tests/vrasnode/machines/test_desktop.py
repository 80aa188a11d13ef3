"""The client VM's life: started, switched, proven or taken back. The machines here follow a script; real ones
under libvirt are in `test_desktop_machines`."""

from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

import pytest

from tests.vrasnode.machines.cast import ScriptedMachine, StagingPc
from tests.vrasnode.office import CHUNK, Published
from vrasnode.domainxml import Accelerator, Mark
from vrasnode.errors import HostBroken, Unreachable
from vrasnode.imaging.slots import Slots
from vrasnode.machines.desktop import MAX_STARTS, SHUT_DOWN_S, WHEN_HOPELESS_S, Desktop
from vrasnode.machines.grants import Grants
from vrasnode.machines.hypervisor import Answer, MachineState
from vrasnode.machines.passing import Failure, Passing
from vrasnode.machines.shape import Machine
from vrasnode.wire.imaging import Apply, DeliveryStage, Health

GPU, NIC = "0000:01:00.0", "0000:02:00.0"
ALIAS = str.maketrans(":.", "__")
HEALTH = Health(within_s=60, command=["/usr/bin/healthy"])


class Machines(ScriptedMachine):
    """The client VM: healthy, sick, mute, dead."""

    def __init__(self) -> None:
        super().__init__()
        self.disk = ""
        self.passed: list[str] = []  # what the last start had of the PC
        self.unpassable: set[str] = set()
        self.blinding: set[str] = set()  # with one of these the guest never answers

    def read(self, vm_xml: str) -> None:
        self.passed = [name for name in (GPU, NIC) if f"ua-pci-{name.translate(ALIAS)}" in vm_xml]
        if self.unpassable & set(self.passed):
            raise HostBroken("pass_through_failed", "vfio: group is not viable.")
        self.disk = vm_xml.partition('source file="')[2].partition('"')[0]

    def ping(self, name: str) -> bool:
        return self.behaviour() in ("healthy", "sick")

    def ask(self, name: str, command: Sequence[str], *, timeout_s: float) -> Answer:
        if self.behaviour() == "mute":
            raise Unreachable("guest_silent", "No answer.")
        sick = self.behaviour() == "sick"
        return Answer(exit_code=int(sick), output=b"", errors=b"No desktop" if sick else b"")

    def behaviour(self) -> str:
        return "blind" if self.blinding & set(self.passed) else super().behaviour()


class Pc(StagingPc):
    """The part with what it needs."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.machines = Machines()
        self.overlay_fails: HostBroken | None = None
        self.granted: tuple[str, ...] = ()
        self.policy = "1"
        self.health = HEALTH
        self.failures: list[Failure] = []
        self.restart()

    def restart(self) -> None:
        """As the next process finds it."""
        self.slots = Slots(self.directory / "images")
        self.grantor = Passing(
            self.directory / "passing.json",
            plan=lambda: Grants(pci=self.granted),
            get_policy=lambda: self.policy,
            tell=self.failures.append,
            boot_id="boot-1",
        )
        self.desktop = self.part = Desktop(
            self.directory / "desktop",
            slots=self.slots,
            machines=self.machines,
            machine=Machine(uuid=UUID(int=1)),
            grantor=self.grantor,
            accelerator=Accelerator.TCG,
            direct_io=True,
            make_overlay=self._make_overlay,
            report=self.hear,
            clock=self.time,
            threads=2,
        )

    def _make_overlay(self, base: Path, overlay: Path) -> None:
        if self.overlay_fails:
            raise self.overlay_fails
        overlay.write_text(base.name)

    @property
    def overlays(self) -> set[str]:
        return {path.name for path in (self.directory / "desktop").glob("*.qcow2")}


@pytest.fixture
def pc(tmp_path: Path) -> Pc:
    return Pc(tmp_path)


@pytest.fixture
def running(pc: Pc, old: Published) -> Pc:
    """The old version runs and is proven."""
    pc.stage(old, serial=1)
    pc.steps(3)
    assert pc.desktop.summary == ("running", old.digest)
    pc.told.clear()
    pc.machines.calls.clear()
    return pc


def test_with_nothing_to_run_nothing_is_started(pc: Pc) -> None:
    pc.steps(3)

    assert pc.machines.calls == []
    assert pc.desktop.summary == ("absent", None)


def test_the_first_version_is_started_proven_and_told(pc: Pc, old: Published) -> None:
    pc.stage(old, serial=1)

    pc.steps(3)

    assert [(report.stage, report.running) for report in pc.told] == [(DeliveryStage.BOOTED, old.digest)]
    assert pc.told[0].boot_s is not None
    assert pc.machines.disk == str(pc.directory / "desktop" / f"{old.digest}-1.qcow2")
    assert pc.slots.boot.current is not None
    assert pc.slots.boot.current.proven


def test_a_stopped_machine_is_started_again_with_its_overlay(running: Pc, old: Published) -> None:
    overlay = running.directory / "desktop" / f"{old.digest}-1.qcow2"
    overlay.write_text("what the user did")
    running.machines.now = MachineState.STOPPED

    running.steps(5)

    assert running.machines.calls == ["start"]
    assert overlay.read_text() == "what the user did"
    assert running.told == []


def test_a_staged_version_waits_for_the_users_own_stop(running: Pc, new: Published) -> None:
    running.stage(new, serial=2)
    running.steps(30)
    assert running.machines.calls == []

    running.machines.now = MachineState.STOPPED
    running.steps(5)

    assert running.serial == 2
    assert [report.stage for report in running.told] == [DeliveryStage.BOOTED]
    assert running.desktop.summary == ("running", new.digest)


def test_now_means_that_the_guest_is_asked_to_go(running: Pc, new: Published) -> None:
    running.stage(new, serial=2, apply=Apply.NOW)

    running.steps(10)

    assert running.machines.calls == ["shut_down", "start"]
    assert running.serial == 2


def test_a_guest_that_does_not_go_is_switched_off_after_a_minute(
    running: Pc,
    new: Published,
) -> None:
    running.machines.obeys = False
    running.stage(new, serial=2, apply=Apply.NOW)

    running.steps(int(SHUT_DOWN_S / 2) - 2)
    assert running.machines.calls == ["shut_down"]
    running.steps(10)

    assert running.machines.calls == ["shut_down", "destroy", "start"]
    assert running.serial == 2


@pytest.mark.parametrize(
    ("guest", "code"), [("sick", "unhealthy"), ("mute", "no_answer"), ("dead", "no_answer")]
)
def test_a_version_that_does_not_become_healthy_in_three_starts_is_taken_back_with_the_old_overlay(
    guest: str,
    code: str,
    running: Pc,
    old: Published,
    new: Published,
) -> None:
    running.machines.guest[new.digest] = guest
    running.stage(new, serial=2, apply=Apply.NOW)

    running.steps(200)

    assert running.machines.calls.count("start") == MAX_STARTS + 1
    assert running.serial == 1
    assert running.machines.mark == Mark(manifest=old.digest, serial=1)
    assert [(report.serial, report.stage, report.code) for report in running.told] == [
        (2, DeliveryStage.FAILED, code)
    ]
    assert running.told[0].running == old.digest
    assert running.overlays == {f"{old.digest}-1.qcow2"}
    assert ("No desktop" in running.told[0].words) == (guest == "sick")


def test_a_version_that_is_healthy_at_its_third_start_stays(
    running: Pc,
    new: Published,
) -> None:
    running.machines.guest[new.digest] = "mute"
    running.stage(new, serial=2, apply=Apply.NOW)
    while running.machines.calls.count("start") < MAX_STARTS:
        running.steps(1)

    running.machines.guest[new.digest] = "healthy"
    running.steps(10)

    assert running.serial == 2
    assert [report.stage for report in running.told] == [DeliveryStage.BOOTED]


def test_without_a_version_to_go_back_to_it_is_told_and_left_alone_until_it_recovers(
    pc: Pc,
    old: Published,
) -> None:
    pc.machines.guest[old.digest] = "mute"
    pc.stage(old, serial=1)
    pc.steps(300)
    assert pc.machines.calls.count("start") == MAX_STARTS
    assert pc.machines.now is MachineState.RUNNING
    assert [report.code for report in pc.told] == ["no_answer"]

    pc.machines.guest[old.digest] = "healthy"
    pc.steps(10)

    assert [report.stage for report in pc.told] == [DeliveryStage.FAILED, DeliveryStage.BOOTED]


def test_a_machine_that_always_ends_at_once_is_not_started_all_the_time(pc: Pc, old: Published) -> None:
    pc.machines.guest[old.digest] = "dead"
    pc.stage(old, serial=1)

    pc.steps(600, seconds=1.0)

    assert MAX_STARTS < pc.machines.calls.count("start") <= MAX_STARTS + 600 / WHEN_HOPELESS_S
    assert [report.code for report in pc.told] == ["no_answer"]


def test_a_first_version_that_does_not_start_gives_way_to_the_next_without_being_waited_for(
    pc: Pc, old: Published, new: Published
) -> None:
    pc.machines.guest[old.digest] = "mute"
    pc.stage(old, serial=1)
    pc.steps(2)

    pc.stage(new, serial=2, apply=Apply.NOW)
    pc.steps(10)

    assert pc.serial == 2
    assert [report.stage for report in pc.told] == [DeliveryStage.BOOTED]


def test_a_version_that_works_takes_the_place_of_one_that_never_did(
    pc: Pc,
    old: Published,
    new: Published,
) -> None:
    pc.machines.guest[old.digest] = "mute"
    pc.stage(old, serial=1)
    pc.steps(300)

    pc.stage(new, serial=2, apply=Apply.NOW)
    pc.steps(100)

    assert pc.serial == 2
    assert pc.told[-1].stage is DeliveryStage.BOOTED


@pytest.mark.parametrize("at", [3 * CHUNK + 5, 61 * CHUNK])
def test_a_flipped_byte_in_a_staged_image_is_never_started(
    at: int,
    running: Pc,
    old: Published,
    new: Published,
) -> None:
    image = running.stage(new, serial=2)
    image.chmod(0o600)
    with image.open("rb+") as file:
        file.seek(at)
        byte = file.read(1)
        file.seek(at)
        file.write(bytes([byte[0] ^ 1]))
    running.machines.now = MachineState.STOPPED

    running.steps(5)

    assert running.serial == 1
    assert running.machines.mark == Mark(manifest=old.digest, serial=1)
    assert running.slots.boot.next is None
    assert running.slots.boot.spoiled == (1 if at < 60 * CHUNK else 0)
    assert running.slots.boot.failed is None  # imaging makes it whole and stages it again


def test_a_staged_image_that_is_gone_is_not_waited_for(running: Pc, new: Published) -> None:
    running.stage(new, serial=2).unlink()
    running.machines.now = MachineState.STOPPED

    running.steps(5)

    assert running.machines.calls == ["start"]
    assert running.serial == 1


def test_no_room_for_an_overlay_fails_the_new_version_and_the_old_one_is_started(
    running: Pc,
    new: Published,
) -> None:
    running.stage(new, serial=2)
    running.overlay_fails = HostBroken("overlay_failed", "The disk is full.")
    running.machines.now = MachineState.STOPPED

    with pytest.raises(HostBroken):
        running.steps(5)
    running.steps(5)

    assert running.serial == 1
    assert running.machines.now is MachineState.RUNNING
    assert [(report.stage, report.code) for report in running.told] == [
        (DeliveryStage.FAILED, "overlay_failed")
    ]


def test_the_next_process_takes_a_running_machine_over(running: Pc, old: Published) -> None:
    running.restart()

    running.steps(5)

    assert running.machines.calls == []
    assert running.told == []
    assert running.desktop.summary == ("running", old.digest)


def test_the_next_process_goes_on_watching_a_start(running: Pc, new: Published) -> None:
    running.machines.guest[new.digest] = "mute"
    running.stage(new, serial=2, apply=Apply.NOW)
    while running.serial != 2:
        running.steps(1)
    running.restart()
    running.steps(1)
    assert running.desktop.summary == ("starting", new.digest)

    running.steps(300)

    assert running.machines.calls.count("start") == MAX_STARTS + 1
    assert running.serial == 1


def test_a_machine_that_runs_something_else_gives_way(running: Pc, old: Published) -> None:
    running.machines.mark = Mark(manifest="f" * 64, serial=9)
    running.restart()

    running.steps(10)

    assert running.machines.calls == ["shut_down", "start"]
    assert running.machines.mark == Mark(manifest=old.digest, serial=1)


def test_a_start_that_libvirt_refuses_is_tried_again_later_and_counted(
    running: Pc,
    new: Published,
) -> None:
    running.stage(new, serial=2)
    running.machines.fails = HostBroken("machine_start_failed", "No memory.")
    running.machines.now = MachineState.STOPPED

    for _ in range(MAX_STARTS):
        with pytest.raises(HostBroken):
            running.steps(20)
    running.machines.fails = None
    running.steps(20)

    assert running.serial == 1
    assert running.machines.now is MachineState.RUNNING
    assert "No memory." in running.told[0].words


def test_overlays_that_nobody_goes_back_to_are_removed(
    running: Pc,
    old: Published,
    new: Published,
) -> None:
    running.stage(new, serial=2, apply=Apply.NOW)
    running.steps(20)
    assert running.overlays == {f"{old.digest}-1.qcow2", f"{new.digest}-2.qcow2"}

    running.stage(old, serial=3, apply=Apply.NOW)
    running.steps(20)

    assert running.overlays == {f"{new.digest}-2.qcow2", f"{old.digest}-3.qcow2"}


def test_what_is_granted_is_passed_through_to_each_start(pc: Pc, old: Published) -> None:
    pc.granted = (GPU, NIC)
    pc.stage(old, serial=1)

    pc.steps(3)

    assert pc.machines.passed == [GPU, NIC]
    assert pc.desktop.summary == ("running", old.digest)
    assert pc.grantor.withheld == {}


def test_a_pc_that_cannot_pass_its_devices_starts_as_it_did_before_and_says_so(running: Pc) -> None:
    running.granted = (NIC,)
    running.machines.now = MachineState.STOPPED
    running.steps(10)
    assert running.machines.passed == [NIC]

    running.granted = (GPU, NIC)
    running.machines.unpassable = {GPU}
    running.machines.now = MachineState.STOPPED
    running.steps(10)

    assert running.desktop.summary[0] == "running"
    assert running.machines.passed == [NIC]
    assert [(failure.pci, failure.code) for failure in running.failures] == [
        ([GPU, NIC], "pass_through_failed")
    ]
    assert set(running.grantor.withheld) == {GPU}


def test_with_nothing_that_went_well_before_it_starts_without_devices(pc: Pc, old: Published) -> None:
    pc.granted = (GPU,)
    pc.machines.unpassable = {GPU}
    pc.stage(old, serial=1)

    pc.steps(3)

    assert pc.machines.passed == []
    assert pc.desktop.summary == ("running", old.digest)


def test_a_machine_that_stays_dark_with_a_new_device_comes_back_without_it(running: Pc) -> None:
    """The version is not blamed for what the graphics card did."""
    running.granted = (GPU,)
    running.machines.blinding = {GPU}
    version = running.slots.boot.current
    assert version is not None
    running.slots.mark(proven=False, told=True)
    running.machines.now = MachineState.STOPPED

    running.steps(120)

    assert running.desktop.summary[0] == "running"
    assert running.machines.passed == []
    assert [failure.code for failure in running.failures] == ["pass_through_unhealthy"]
    assert running.serial == version.serial


def test_what_failed_is_not_tried_again_until_the_policy_changes(pc: Pc, old: Published) -> None:
    pc.granted = (GPU,)
    pc.machines.unpassable = {GPU}
    pc.stage(old, serial=1)
    pc.steps(3)
    pc.machines.unpassable = set()

    pc.restart()
    pc.machines.now = MachineState.STOPPED
    pc.steps(10)
    assert pc.machines.passed == []

    pc.policy = "2"
    pc.machines.now = MachineState.STOPPED
    pc.steps(10)
    assert pc.machines.passed == [GPU]
    assert pc.grantor.withheld == {}


def test_a_guest_without_an_agent_is_healthy_when_it_runs_on(pc: Pc, old: Published) -> None:
    pc.machines.guest[old.digest] = "mute"
    pc.health = Health(within_s=20, agent=False)
    pc.stage(old, serial=1)

    pc.steps(5)
    assert pc.told == []

    pc.steps(20)
    assert [report.stage for report in pc.told] == [DeliveryStage.BOOTED]


def test_a_guest_without_an_agent_that_ends_at_once_is_given_up(pc: Pc, old: Published) -> None:
    pc.machines.guest[old.digest] = "dead"
    pc.health = Health(within_s=20, agent=False)
    pc.stage(old, serial=1)

    pc.steps(60)

    assert [(report.stage, report.code) for report in pc.told] == [(DeliveryStage.FAILED, "ended_early")]


def test_a_version_that_was_given_up_and_is_sent_again_is_tried_again_before_it_is_told(
    pc: Pc, old: Published
) -> None:
    pc.machines.guest[old.digest] = "mute"
    pc.stage(old, serial=1)
    pc.steps(200)
    assert [report.serial for report in pc.told] == [1]

    pc.machines.guest.clear()
    again = pc.assignment(old, serial=2)
    pc.slots.accept(again)
    pc.slots.keep(again)
    pc.steps(60)

    assert [(report.serial, report.stage) for report in pc.told[1:]] == [(2, DeliveryStage.BOOTED)]
