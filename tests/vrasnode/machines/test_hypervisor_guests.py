"""Guests with an agent inside, asked from outside."""

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from config.demo.bootimage import MARKER, BootImages
from tests.lab.libvirtd import comes
from tests.vrasnode.waiting import small_vm
from vrasnode.domainxml import Mark, client_vm_xml
from vrasnode.errors import Unreachable
from vrasnode.machines.hypervisor import Answer, Hypervisor, MachineState

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def hypervisor(libvirtd: str) -> Iterator[Hypervisor]:
    hypervisor = Hypervisor(libvirtd)
    yield hypervisor
    hypervisor.close()


@pytest.fixture(scope="module")
def guest(
    hypervisor: Hypervisor, boot_images: BootImages, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The name of a client VM on version 1, up and answering."""
    vm = small_vm(boot_images.v1, tmp_path_factory.mktemp("guest"), name="guest", memory_mib=128)
    hypervisor.start(client_vm_xml(vm))
    assert comes(lambda: hypervisor.ping(vm.name))
    yield vm.name
    hypervisor.destroy(vm.name)


def test_what_a_command_is_told_by_stdin_is_in_no_argument(hypervisor: Hypervisor, guest: str) -> None:
    told = b'{"password": "\xe7\xa7\x98\xe5\xaf\x86"}' * 1000

    answer = hypervisor.ask(
        guest, ["sh", "-c", "tr '\\0' ' ' </proc/$$/cmdline >&2; cat"], timeout_s=60, stdin=told
    )

    assert answer.output == told
    assert b"password" not in answer.errors


def test_a_guest_proves_which_version_it_runs(
    hypervisor: Hypervisor, guest: str, boot_images: BootImages
) -> None:
    answer = hypervisor.ask(guest, ["sha256sum", MARKER], timeout_s=60)

    assert answer.exit_code == 0
    assert answer.output.split()[0].decode() == boot_images.marker["v1"]


def test_an_answer_has_exit_code_output_and_errors(hypervisor: Hypervisor, guest: str) -> None:
    answer = hypervisor.ask(guest, ["sh", "-c", "echo out; echo err >&2; exit 3"], timeout_s=60)

    assert answer == Answer(exit_code=3, output=b"out\n", errors=b"err\n")


def test_a_command_is_a_list_that_no_shell_reads(hypervisor: Hypervisor, guest: str) -> None:
    words = """$HOME; `id` 'a' "b" \\ 日本"""

    assert hypervisor.ask(guest, ["printf", "%s", words], timeout_s=60).output.decode() == words


def test_an_answer_may_be_long(hypervisor: Hypervisor, guest: str) -> None:
    answer = hypervisor.ask(guest, ["head", "-c", "300000", "/dev/zero"], timeout_s=60)

    assert hashlib.sha256(answer.output).digest() == hashlib.sha256(bytes(300000)).digest()


def test_a_command_that_was_killed_did_not_succeed(hypervisor: Hypervisor, guest: str) -> None:
    assert hypervisor.ask(guest, ["sh", "-c", "kill -9 $$"], timeout_s=60).exit_code == 128 + 9


def test_a_command_that_the_guest_does_not_have_did_not_succeed(hypervisor: Hypervisor, guest: str) -> None:
    answer = hypervisor.ask(guest, ["/no/such/program"], timeout_s=60)

    assert answer.exit_code == 127
    assert b"/no/such/program" in answer.errors


def test_a_command_that_does_not_end_is_not_waited_for(hypervisor: Hypervisor, guest: str) -> None:
    with pytest.raises(Unreachable) as busy:
        hypervisor.ask(guest, ["sleep", "600"], timeout_s=1)

    assert busy.value.code == "guest_busy"
    assert hypervisor.ping(guest)


def test_a_new_agent_asks_a_machine_that_another_started(guest: str, libvirtd: str) -> None:
    newcomer = Hypervisor(libvirtd)

    assert newcomer.metadata(guest) == Mark(manifest="11" * 32, serial=1)
    assert newcomer.ping(guest)
    newcomer.close()


def test_a_guest_shuts_down_when_it_is_asked_and_the_agent_is_woken(
    hypervisor: Hypervisor, boot_images: BootImages, tmp_path: Path
) -> None:
    vm = small_vm(boot_images.v1, tmp_path, name="leaver", memory_mib=128)
    told: list[str] = []
    hypervisor.on_change(told.append)
    hypervisor.start(client_vm_xml(vm))
    assert comes(lambda: hypervisor.ping(vm.name))
    before = told.count(vm.name)

    hypervisor.shut_down(vm.name)

    assert comes(lambda: hypervisor.state(vm.name) is MachineState.STOPPED)
    assert comes(lambda: told.count(vm.name) > before)
    assert not hypervisor.ping(vm.name)


def test_what_a_guest_writes_stays_in_its_overlay(
    hypervisor: Hypervisor, boot_images: BootImages, tmp_path: Path
) -> None:
    vm = small_vm(boot_images.v1, tmp_path, name="writer", memory_mib=128)
    before = boot_images.v1.stat()
    hypervisor.start(client_vm_xml(vm))
    assert comes(lambda: hypervisor.ping(vm.name))
    assert hypervisor.ask(vm.name, ["sh", "-c", "echo mine > /mine && sync"], timeout_s=60).exit_code == 0
    hypervisor.destroy(vm.name)

    hypervisor.start(client_vm_xml(replace(vm, mark=Mark(manifest="11" * 32, serial=2))))

    assert comes(lambda: hypervisor.ping(vm.name))
    assert hypervisor.ask(vm.name, ["cat", "/mine"], timeout_s=60).output == b"mine\n"
    hypervisor.destroy(vm.name)
    after = boot_images.v1.stat()
    assert (after.st_mtime_ns, after.st_blocks) == (before.st_mtime_ns, before.st_blocks)
