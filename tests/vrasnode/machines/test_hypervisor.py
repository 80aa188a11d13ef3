"""Machines under a real libvirtd: they run, say what they are, and outlive the agent and libvirtd."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest

from config.demo.pcs import LabPc
from tests.lab.libvirtd import LIMIT_S, comes, talking_disk
from tests.vrasnode.waiting import talking_vm
from vrasnode.domainxml import ClientVm, Firmware, Mark, client_vm_xml
from vrasnode.errors import HostBroken, Unreachable
from vrasnode.machines.hypervisor import Hypervisor, MachineState, make_overlay

pytestmark = pytest.mark.slow

V1 = Mark(manifest="11" * 32, serial=1)
V2 = Mark(manifest="22" * 32, serial=2)

AGENT_THAT_DIES = """
import os, signal, sys
from vrasnode.machines.hypervisor import Hypervisor
Hypervisor(sys.argv[1]).start(sys.stdin.read())
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def vm(tmp_path: Path) -> ClientVm:
    """A client VM that says "v1" on its console and waits."""
    return talking_vm(tmp_path, name="vras-client")


@pytest.fixture
def hypervisor(lab_pc: LabPc) -> Iterator[Hypervisor]:
    hypervisor = Hypervisor(lab_pc.uri)
    yield hypervisor
    hypervisor.close()


def _says(vm: ClientVm, words: str) -> bool:
    return comes(lambda: vm.console_log.exists() and words in vm.console_log.read_text(errors="replace"))


def _qemu(pc: LabPc) -> int:
    (pid,) = (
        pid for pid in pc.place.processes() if "qemu-system" in Path(f"/proc/{pid}/exe").readlink().name
    )
    return pid


def test_a_machine_boots_from_its_disk_and_libvirt_knows_what_it_runs(
    hypervisor: Hypervisor, vm: ClientVm
) -> None:
    hypervisor.start(client_vm_xml(vm))

    assert _says(vm, "v1 runs")
    assert hypervisor.state(vm.name) is MachineState.RUNNING
    assert hypervisor.metadata(vm.name) == V1


def test_a_machine_that_runs_is_left_alone(hypervisor: Hypervisor, vm: ClientVm, lab_pc: LabPc) -> None:
    hypervisor.start(client_vm_xml(vm))
    before = _qemu(lab_pc)

    hypervisor.start(client_vm_xml(replace(vm, mark=V2)))

    assert _qemu(lab_pc) == before
    assert hypervisor.metadata(vm.name) == V1


def test_the_next_start_takes_the_new_definition(hypervisor: Hypervisor, vm: ClientVm) -> None:
    hypervisor.start(client_vm_xml(vm))
    hypervisor.destroy(vm.name)
    assert hypervisor.state(vm.name) is MachineState.STOPPED

    hypervisor.start(client_vm_xml(replace(vm, mark=V2, uuid=uuid4())))

    assert hypervisor.state(vm.name) is MachineState.RUNNING
    assert hypervisor.metadata(vm.name) == V2


def test_a_machine_that_is_off_may_be_told_to_end(hypervisor: Hypervisor, vm: ClientVm) -> None:
    hypervisor.start(client_vm_xml(vm))
    hypervisor.destroy(vm.name)

    hypervisor.destroy(vm.name)
    hypervisor.shut_down(vm.name)

    assert hypervisor.state(vm.name) is MachineState.STOPPED


def test_efi_firmware_keeps_its_settings_where_it_is_told(
    hypervisor: Hypervisor, vm: ClientVm, tmp_path: Path
) -> None:
    efi = replace(vm, firmware=Firmware.EFI, nvram=tmp_path / "nvram.fd")
    hypervisor.start(client_vm_xml(efi))
    hypervisor.destroy(vm.name)
    (tmp_path / "same.fd").hardlink_to(tmp_path / "nvram.fd")

    hypervisor.start(client_vm_xml(efi))

    assert hypervisor.state(vm.name) is MachineState.RUNNING
    assert (tmp_path / "nvram.fd").samefile(tmp_path / "same.fd")


def test_an_unknown_machine_is_absent_and_ending_it_is_nothing(hypervisor: Hypervisor) -> None:
    hypervisor.shut_down("nobody")
    hypervisor.destroy("nobody")

    assert hypervisor.state("nobody") is MachineState.ABSENT
    assert hypervisor.metadata("nobody") is None
    assert not hypervisor.ping("nobody")
    with pytest.raises(Unreachable) as silent:
        hypervisor.ask("nobody", ["true"], timeout_s=1)
    assert silent.value.code == "guest_silent"


def test_a_machine_of_someone_else_has_no_mark(hypervisor: Hypervisor, lab_pc: LabPc, tmp_path: Path) -> None:
    theirs = "<domain type='qemu'><name>theirs</name><memory>65536</memory><os><type>hvm</type></os></domain>"
    (tmp_path / "theirs.xml").write_text(theirs)
    subprocess.run(["virsh", "-qc", lab_pc.uri, "define", tmp_path / "theirs.xml"], check=True)

    assert hypervisor.state("theirs") is MachineState.STOPPED
    assert hypervisor.metadata("theirs") is None


def test_a_machine_that_died_has_crashed_and_the_agent_is_woken(
    hypervisor: Hypervisor, vm: ClientVm, lab_pc: LabPc
) -> None:
    hypervisor.start(client_vm_xml(vm))
    woken = threading.Event()
    hypervisor.on_change(lambda name: woken.set() if name == vm.name else None)

    os.kill(_qemu(lab_pc), signal.SIGKILL)

    assert woken.wait(LIMIT_S)
    assert comes(lambda: hypervisor.state(vm.name) is MachineState.CRASHED)


def test_a_machine_that_was_paused_is_not_called_running(
    hypervisor: Hypervisor, vm: ClientVm, lab_pc: LabPc
) -> None:
    hypervisor.start(client_vm_xml(vm))

    subprocess.run(["virsh", "-qc", lab_pc.uri, "suspend", vm.name], check=True)

    assert hypervisor.state(vm.name) is MachineState.PAUSED


def test_a_memory_image_that_someone_saved_is_not_resumed_over_a_new_disk(
    hypervisor: Hypervisor, vm: ClientVm, lab_pc: LabPc, tmp_path: Path
) -> None:
    hypervisor.start(client_vm_xml(vm))
    assert _says(vm, "v1 runs")
    subprocess.run(["virsh", "-qc", lab_pc.uri, "managedsave", vm.name], check=True)
    (tmp_path / "v2.raw").write_bytes(talking_disk("v2 runs"))
    make_overlay(tmp_path / "v2.raw", vm.disk)

    hypervisor.start(client_vm_xml(replace(vm, mark=V2)))

    assert _says(vm, "v2 runs")


def test_machines_run_on_while_libvirtd_is_away_and_are_found_again(
    hypervisor: Hypervisor, vm: ClientVm, lab_pc: LabPc
) -> None:
    hypervisor.start(client_vm_xml(vm))
    before = _qemu(lab_pc)

    lab_pc.end_libvirtd()
    with pytest.raises(HostBroken) as gone:
        hypervisor.state(vm.name)
    assert gone.value.code == "libvirt_gone"
    lab_pc.start()

    assert hypervisor.state(vm.name) is MachineState.RUNNING
    assert hypervisor.metadata(vm.name) == V1
    assert _qemu(lab_pc) == before


def test_events_come_again_after_libvirtd_was_away(
    hypervisor: Hypervisor, vm: ClientVm, lab_pc: LabPc
) -> None:
    woken = threading.Event()
    hypervisor.on_change(lambda _name: woken.set())
    lab_pc.end_libvirtd()
    lab_pc.start()

    hypervisor.start(client_vm_xml(vm))

    assert woken.wait(LIMIT_S)


def test_a_libvirtd_that_hangs_does_not_hang_the_agent(lab_pc: LabPc) -> None:
    hypervisor = Hypervisor(lab_pc.uri, patience_s=1)
    assert hypervisor.state("any") is MachineState.ABSENT
    (libvirtd,) = lab_pc.place.processes()

    os.kill(libvirtd, signal.SIGSTOP)
    try:
        for _ in range(2):
            with pytest.raises(HostBroken) as gone:
                hypervisor.state("any")
            assert gone.value.code == "libvirt_gone"
    finally:
        os.kill(libvirtd, signal.SIGCONT)

    assert hypervisor.state("any") is MachineState.ABSENT
    hypervisor.close()


def test_machines_outlive_an_agent_that_is_killed(
    hypervisor: Hypervisor, vm: ClientVm, lab_pc: LabPc
) -> None:
    died = subprocess.run(
        [sys.executable, "-c", AGENT_THAT_DIES, lab_pc.uri], input=client_vm_xml(vm), text=True, check=False
    )
    assert died.returncode == -signal.SIGKILL

    assert hypervisor.state(vm.name) is MachineState.RUNNING
    assert hypervisor.metadata(vm.name) == V1


def test_a_machine_without_its_disk_is_a_fault_of_the_host_and_libvirt_prints_nothing(
    hypervisor: Hypervisor, vm: ClientVm, capfd: pytest.CaptureFixture[str]
) -> None:
    vm.disk.unlink()

    with pytest.raises(HostBroken) as broken:
        hypervisor.start(client_vm_xml(vm))

    assert broken.value.code == "machine_start_failed"
    assert vm.disk.name in broken.value.words
    assert hypervisor.state(vm.name) is not MachineState.RUNNING
    assert capfd.readouterr().err == ""


def test_a_guest_without_an_agent_is_silent(hypervisor: Hypervisor, vm: ClientVm) -> None:
    hypervisor.start(client_vm_xml(vm))

    assert not hypervisor.ping(vm.name)
    with pytest.raises(Unreachable) as silent:
        hypervisor.ask(vm.name, ["true"], timeout_s=1)
    assert silent.value.code == "guest_silent"


def test_no_libvirtd_at_all_is_said_with_what_to_do() -> None:
    hypervisor = Hypervisor("qemu:///system?socket=/nowhere/libvirt-sock")

    with pytest.raises(HostBroken) as gone:
        hypervisor.state("any")

    assert gone.value.code == "libvirt_gone"
    assert "libvirtd" in gone.value.words


def test_an_overlay_shows_its_base_and_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    base, overlay = tmp_path / "base.raw", tmp_path / "overlay.qcow2"
    base.write_bytes(talking_disk("v1"))
    overlay.write_bytes(b"what the version before left")

    make_overlay(base, overlay)

    subprocess.run(["qemu-img", "compare", "-qs", "-f", "raw", "-F", "qcow2", base, overlay], check=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["base.raw", "overlay.qcow2"]


def test_an_overlay_that_cannot_be_made_leaves_the_one_before(tmp_path: Path) -> None:
    overlay = tmp_path / "overlay.qcow2"
    overlay.write_bytes(b"what the version before left")

    with pytest.raises(HostBroken) as broken:
        make_overlay(tmp_path / "missing.raw", overlay)

    assert broken.value.code == "overlay_failed"
    assert overlay.read_bytes() == b"what the version before left"
