"""The virtual server's real image under real libvirt, QEMU and firmware, beside a client VM. Needs root."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Interface
from pathlib import Path
from time import monotonic
from uuid import uuid4

import pytest

from config.demo.lan import Lan
from config.demo.pcs import LabPc
from tests.lab.libvirtd import QEMU_CACHE, comes, talking_disk
from tests.vrasnode.conftest import member_of
from tests.vrasnode.office import CLIENT_ID, IMAGE, Keys, Office, Published, publish
from tests.vrasnode.waiting import talking_vm
from vrasnode.domainxml import (
    INTERNAL,
    Accelerator,
    Mark,
    Neighbour,
    Nic,
    client_vm_xml,
    mac_of,
    network_xml,
)
from vrasnode.errors import Refused
from vrasnode.imaging.slots import Slots
from vrasnode.machines.controlchannel import ControlChannel
from vrasnode.machines.hypervisor import Hypervisor, MachineState
from vrasnode.machines.virtualserver import NAME, ServiceMachine, VirtualServer, control_socket
from vrasnode.servicevm.build.cache import default_cache
from vrasnode.servicevm.build.image import ServiceImage, build_image
from vrasnode.wire.imaging import Apply, Assignment, DeliveryReport, DeliveryStage, Health, Machine

pytestmark = pytest.mark.slow

ANSWER_S = 60.0
GATEWAY = IPv4Interface("10.87.65.1/29")
ADDRESS = GATEWAY.ip + 1
MAC = mac_of("pc", "virtual-server/internal")


@pytest.fixture(scope="module")
def image() -> ServiceImage:
    return build_image(default_cache())


@pytest.fixture(scope="module")
def version(keys: Keys, image: ServiceImage) -> Published:
    return publish(keys, image.disk.read_bytes(), chunk_bytes=256 << 10, pack_bytes=64 << 20)


class Pc:
    """A PC with a libvirtd of its own and the part that keeps the virtual server."""

    def __init__(self, directory: Path, lab: LabPc) -> None:
        self.lab = lab
        self.directory = directory
        self.told: list[DeliveryReport] = []
        self.hypervisor = Hypervisor(lab.uri)
        self.hypervisor.ensure_network(
            network_xml(
                INTERNAL,
                bridge="vras-test",
                gateway=GATEWAY,
                neighbours=[Neighbour("virtual-server", MAC, ADDRESS)],
            )
        )
        self.begin()

    def begin(self) -> None:
        """As the next process of the agent does."""
        self.slots = Slots(self.directory / "images")
        self.channel = ControlChannel(control_socket(self.directory / "service"))
        self.server = VirtualServer(
            self.directory / "service",
            slots=self.slots,
            machines=self.hypervisor,
            channel=self.channel,
            machine=ServiceMachine(uuid=uuid4()),
            accelerator=Accelerator.TCG,
            direct_io=False,
            lan=None,
            internal=Nic(INTERNAL, MAC),
            idle=lambda: False,
            report=lambda report, keep: self.told.append(report),
            clock=monotonic,
            threads=2,
        )

    def stage(self, version: Published, *, serial: int, within_s: int = 120) -> None:
        assignment = Assignment(
            client_id=CLIENT_ID,
            serial=serial,
            image=IMAGE,
            number=serial,
            manifest=version.digest,
            apply=Apply.NOW,
            health=Health(within_s=within_s),
            expires=datetime.now(UTC) + timedelta(days=1),
            machine=Machine.VIRTUAL_SERVER,
        )
        self.slots.accept(assignment)
        slot = self.slots.open()
        self.slots.part(slot).write_bytes(version.data)
        self.slots.stage(assignment, slot, version.encoded)

    def becomes(self, what: Callable[[], bool]) -> bool:
        """Whether `what` becomes true while the part takes its steps."""

        def step() -> bool:
            while self.server.step():
                pass
            return what()

        return comes(step)

    def process(self) -> int:
        """The machine's QEMU."""
        commands = {pid: Path(f"/proc/{pid}/cmdline").read_bytes() for pid in self.lab.place.processes()}
        (pid,) = (pid for pid, command in commands.items() if f"guest={NAME},".encode() in command)
        return pid

    def serves(self) -> bool:
        """Whether something takes connections at the file server's port, on the network inside the PC."""

        def connect() -> bool:
            with socket.socket() as caller:
                caller.settimeout(5)
                return caller.connect_ex((str(ADDRESS), 445)) == 0

        return self.lab.place.run_inside(connect)

    def console(self) -> bytes:
        return (self.directory / "service/console.log").read_bytes()

    def close(self) -> None:
        self.server.close()
        self.hypervisor.close()


@pytest.fixture(scope="module")
def pc(swept: None, tmp_path_factory: pytest.TempPathFactory, version: Published) -> Iterator[Pc]:
    """The virtual server is up."""
    directory = tmp_path_factory.mktemp("service")
    with Lan() as lan, LabPc(lan.join("pc"), directory / "pc", cache=QEMU_CACHE) as lab:
        pc = Pc(directory, lab)
        pc.stage(version, serial=1)
        try:
            assert pc.becomes(lambda: pc.server.up)
            yield pc
        finally:
            pc.close()


def test_the_image_boots_and_answers_which_it_is(pc: Pc, image: ServiceImage) -> None:
    answer = pc.channel.call("version", timeout_s=ANSWER_S)

    assert answer["version"] == image.version
    (told,) = pc.told
    assert (told.serial, told.stage) == (1, DeliveryStage.BOOTED)
    assert told.boot_s is not None


def test_its_disk_is_read_only_and_nobody_can_log_in(pc: Pc) -> None:
    assert b"login:" not in pc.console()
    root = pc.channel.call("status", timeout_s=ANSWER_S)["root"]
    assert root.startswith("ro,")
    with pytest.raises(Refused) as refused:
        pc.channel.call("run", timeout_s=ANSWER_S, command="id")
    assert refused.value.code == "unknown_op"


def test_it_serves_files_inside_the_pc(pc: Pc) -> None:
    assert comes(pc.serves)


def test_it_lives_on_when_the_client_vm_dies(pc: Pc, tmp_path: Path) -> None:
    card = Nic(INTERNAL, mac_of("pc", "client-vm/internal"))
    client_vm = replace(talking_vm(tmp_path, name="client-vm", words="client VM"), internal=card)
    session = pc.channel.call("ping", timeout_s=ANSWER_S)["session"]
    pc.hypervisor.start(client_vm_xml(client_vm))

    pc.hypervisor.destroy("client-vm")

    assert pc.channel.call("ping", timeout_s=ANSWER_S)["session"] == session
    assert comes(pc.serves)


def test_it_runs_on_without_the_agent_and_the_next_one_takes_it_over(pc: Pc) -> None:
    session = pc.channel.call("ping", timeout_s=ANSWER_S)["session"]
    pc.server.close()

    pc.begin()

    assert pc.becomes(lambda: pc.server.up)
    assert pc.channel.call("ping", timeout_s=ANSWER_S)["session"] == session


def test_killed_it_is_started_again_and_serves(pc: Pc) -> None:
    session = pc.channel.call("ping", timeout_s=ANSWER_S)["session"]
    os.kill(pc.process(), signal.SIGKILL)
    assert comes(lambda: pc.hypervisor.state(NAME) is not MachineState.RUNNING)

    assert pc.becomes(lambda: pc.server.up)

    assert pc.channel.call("ping", timeout_s=ANSWER_S)["session"] != session
    assert comes(pc.serves)


def test_a_version_that_does_not_start_gives_way_to_the_one_before(
    pc: Pc, keys: Keys, version: Published
) -> None:
    mute = publish(keys, talking_disk("not a virtual server"), chunk_bytes=256 << 10)
    pc.told.clear()
    pc.stage(mute, serial=2, within_s=3)

    assert pc.becomes(lambda: bool(pc.slots.boot.failed) and pc.server.up)

    assert pc.server.summary == ("running", version.digest)
    assert [(told.serial, told.stage) for told in pc.told] == [(2, DeliveryStage.FAILED)]
    assert pc.channel.call("ping", timeout_s=ANSWER_S)


def test_the_same_packages_give_the_same_bytes_and_another_version_changes_few(
    image: ServiceImage, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    (cache / "packages").symlink_to((default_cache() / "packages").resolve())

    again = build_image(cache)
    other = build_image(cache, version="other")

    assert subprocess.run(["cmp", image.disk, again.disk], check=False).returncode == 0
    changed, filled = 0, 0
    with image.disk.open("rb") as first, other.disk.open("rb") as second:
        while chunk := first.read(256 << 10):
            filled += any(chunk)
            changed += second.read(256 << 10) != chunk
    assert 0 < changed <= 6
    assert filled << 18 < 150 << 20


def test_the_agent_brings_it_up_first_takes_it_over_and_ends_it_last(
    office: Office, lab_pc: LabPc, version: Published, client_image: Published, tmp_path: Path
) -> None:
    office.stock(version, client_image)
    state = tmp_path / "state"
    member_of(office, state / "identity")
    hypervisor = Hypervisor(lab_pc.uri)
    runs_on = Health(within_s=5, agent=False)
    office.assign(version, serial=1, machine=Machine.VIRTUAL_SERVER, apply=Apply.NOW)

    with agent(state, lab_pc) as first:
        assert comes(lambda: office.stages("virtualserver")[-1:] == [DeliveryStage.BOOTED])
        office.assign(client_image, serial=2, apply=Apply.NOW, health=runs_on)
        assert comes(lambda: office.stages()[-1:] == [DeliveryStage.BOOTED])
        first.kill()
        first.wait()
    on = {name: hypervisor.state(name) for name in (NAME, "client-vm")}
    office.assign(version, serial=3, machine=Machine.VIRTUAL_SERVER)  # what runs already
    with agent(state, lab_pc) as second:
        assert comes(lambda: office.delivery_reports("virtualserver")[-1].serial == 3)
        begun = hypervisor.metadata(NAME)
        second.send_signal(signal.SIGTERM)
        assert second.wait(60) == 0
    stop = ["vrasnode", "stop", "--state", state, "--hypervisor", lab_pc.uri, "--timeout", "20"]
    stopped = subprocess.run([sys.executable, "-m", *stop], stderr=subprocess.PIPE, check=False)

    assert set(on.values()) == {MachineState.RUNNING}  # nobody missed the agent
    assert office.stages("virtualserver")[-1] == DeliveryStage.BOOTED
    assert begun == Mark(manifest=version.digest, serial=1)  # it runs on since then
    assert stopped.returncode == 0
    assert b"virtual-server did not" not in stopped.stderr  # it ended when it was asked
    assert {hypervisor.state(name) for name in on} == {MachineState.STOPPED}
    hypervisor.close()


@pytest.fixture(scope="module")
def client_image(keys: Keys) -> Published:
    return publish(keys, talking_disk("client VM"), chunk_bytes=256 << 10)


@contextmanager
def agent(state: Path, pc: LabPc) -> Iterator["subprocess.Popen[bytes]"]:
    run = [sys.executable, "-m", "vrasnode", "run", "--state", state, "--hypervisor", pc.uri]
    process = subprocess.Popen([*run, "--memory-mib", "64"])
    try:
        yield process
    finally:
        process.kill()
        process.wait()
