"""Machines of every kind start for real, and are what their definition says."""

import hashlib
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest

from tests.lab.libvirtd import comes, talking_disk
from tests.vrasnode.waiting import talking_vm
from vrasnode.domainxml import (
    Accelerator,
    ClientVm,
    Mark,
    ServiceVm,
    client_vm_xml,
    service_vm_xml,
)
from vrasnode.host import thispc
from vrasnode.machines.hypervisor import Hypervisor

pytestmark = pytest.mark.slow

Start = Callable[[ClientVm | ServiceVm], None]


@pytest.fixture
def hypervisor(libvirtd: str) -> Iterator[Hypervisor]:
    hypervisor = Hypervisor(libvirtd)
    yield hypervisor
    hypervisor.close()


@pytest.fixture
def start(hypervisor: Hypervisor) -> Iterator[Start]:
    """Starts a machine and returns when its disk has spoken; it ends with the test."""
    with ExitStack() as undo:

        def begin(vm: ClientVm | ServiceVm) -> None:
            undo.callback(hypervisor.destroy, vm.name)
            hypervisor.start(client_vm_xml(vm) if isinstance(vm, ClientVm) else service_vm_xml(vm))
            assert comes(lambda: vm.console_log.exists() and b"runs" in vm.console_log.read_bytes())

        yield begin


@pytest.fixture
def client(tmp_path: Path) -> ClientVm:
    return replace(talking_vm(tmp_path), vcpus=2)


@pytest.fixture
def service(tmp_path: Path) -> ServiceVm:
    (tmp_path / "service.raw").write_bytes(talking_disk("service runs"))
    uuid = uuid4()
    return ServiceVm(
        name=f"shape-{uuid}",
        uuid=uuid,
        memory_bytes=64 << 20,
        vcpus=1,
        accelerator=Accelerator.TCG,
        disk=tmp_path / "service.raw",
        console_log=tmp_path / "service.log",
        mark=Mark(manifest="22" * 32, serial=1),
        control_socket=tmp_path / "control",
    )


def test_a_disk_is_read_by_the_way_that_this_pc_has(start: Start, client: ClientVm) -> None:
    start(replace(client, io_uring=thispc.takes_io_uring(client.disk.parent)))


def test_who_is_at_the_pc_sees_a_machine_without_a_display_of_its_own(start: Start, client: ClientVm) -> None:
    screen = client.disk.parent / "screen"

    start(replace(client, screen=screen))

    with socket.socket(socket.AF_UNIX) as viewer:
        viewer.settimeout(60)
        viewer.connect(str(screen))
        assert viewer.recv(12).startswith(b"RFB 003.")  # RFC 6143 §7.1.1


def test_the_virtual_server_runs_from_an_image_that_stays_as_it_is(
    hypervisor: Hypervisor, start: Start, service: ServiceVm
) -> None:
    before = hashlib.sha256(service.disk.read_bytes()).digest()

    start(service)

    assert hypervisor.metadata(service.name) == service.mark
    assert hypervisor.attached(service.name) == []
    hypervisor.destroy(service.name)
    assert hashlib.sha256(service.disk.read_bytes()).digest() == before


def test_the_virtual_server_can_be_spoken_to(start: Start, service: ServiceVm) -> None:
    start(service)

    with socket.socket(socket.AF_UNIX) as control:
        control.settimeout(60)
        control.connect(str(service.control_socket))


def test_the_virtual_server_does_not_mind_the_death_of_its_neighbour(
    hypervisor: Hypervisor, start: Start, service: ServiceVm, client: ClientVm
) -> None:
    start(service)
    start(client)

    hypervisor.destroy(client.name)

    assert hypervisor.metadata(service.name) == service.mark
    with socket.socket(socket.AF_UNIX) as control:
        control.connect(str(service.control_socket))
