"""A user's volume on a PC with the real virtual server: real Samba, real encryption, real locks.

Needs root. The client VM here is a namespace on the PC's inner network, and what it is told is looked at.
"""

import os
import signal
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from msgspec.structs import replace

from config.demo.lan import Lan
from config.demo.pcs import LabPc
from tests.lab.libvirtd import QEMU_CACHE
from tests.vrasnode.conftest import member_of
from tests.vrasnode.mydoccast import DataOffice, DataPc
from tests.vrasnode.office import Keys
from tests.vrasnode.service_pc import CLIENT, MAC, NAME, ServicePc
from vrasnode.cli.stop import lock_all
from vrasnode.domainxml import Profile
from vrasnode.machines.hypervisor import MachineState
from vrasnode.mydoc.housing import VirtualServerHousing
from vrasnode.mydoc.record import kept
from vrasnode.servicevm.build.cache import default_cache
from vrasnode.servicevm.build.image import build_image
from vrasnode.wire.mydoc import VolumeState, VolumeWish

pytestmark = pytest.mark.slow

LIMIT_S = 400.0
LIMIT_BYTES = 64 << 20


class Housing(VirtualServerHousing):
    """What is told to the client VM, is told to the test."""

    def __init__(self, machine: ServicePc) -> None:
        super().__init__(
            machines=machine.hypervisor,
            channel=machine.channel,
            virtual_server=NAME,
            client_vm="client-vm",
            mac=MAC,
            get_profile=lambda: Profile.LINUX,
        )
        self.told: list[Mapping[str, object]] = []

    def tell(self, message: Mapping[str, object]) -> None:
        self.told.append(message)


class Pc(DataPc):
    client = CLIENT

    def __init__(self, directory: Path, machine: ServicePc, office: DataOffice) -> None:
        self.machine, self.housing = machine, Housing(machine)
        identity = member_of(office, directory / "identity")
        super().__init__(directory, office=office, identity=identity, housing=self.housing, limit_s=LIMIT_S)

    def smb(self, *commands: str) -> "subprocess.CompletedProcess[str]":
        """What the client VM's user gets, with what it was told last."""
        told = [message for message in self.housing.told if "password" in message][-1]
        self.machine.user = str(told["user"])
        return self.machine.smb(str(told["password"]), *commands)

    def open_again(self, wish: VolumeWish | None = None) -> VolumeWish:
        """The user logs on; their documents are open."""
        self.housing.told.clear()
        again = self.log_on(volume=wish.volume if wish else "", limit_bytes=LIMIT_BYTES)
        self.until(lambda: self.housing.told)
        return again


@pytest.fixture(scope="module")
def pc(swept: None, keys: Keys, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pc]:
    """Its virtual server is up."""
    directory = tmp_path_factory.mktemp("mydoc")
    image = build_image(default_cache()).disk
    with (
        DataOffice(keys=keys).open() as office,
        Lan() as lan,
        LabPc(lan.join("pc"), directory / "pc", cache=QEMU_CACHE) as lab,
    ):
        assert isinstance(office, DataOffice)
        machine = ServicePc(directory, lab, image)
        machine.start()
        pc = Pc(directory, machine, office)
        try:
            yield pc
        finally:
            pc.close()
            machine.close()


@pytest.fixture
def canary(tmp_path: Path) -> bytes:
    text = b"canary-" + os.urandom(8).hex().encode()
    (tmp_path / "file").write_bytes(text * 1000)
    return text


def test_documents_are_there_until_the_server_says_no_and_again_after_the_next_logon(
    pc: Pc, canary: bytes, tmp_path: Path
) -> None:
    wish = pc.open_again()
    put = pc.smb("mkdir 営業", f"put {tmp_path}/file 営業/見積.txt")

    pc.say(replace(wish, session="", nonce=""))
    report = pc.until_state(VolumeState.LOCKED)
    locked = pc.smb("ls")
    left = pc.machine.memory_holds(canary)
    pc.open_again(wish)
    got = pc.smb(f"get 営業/見積.txt {tmp_path}/got")

    assert put.returncode == 0, put.stdout
    assert report.proof is not None
    assert (report.proof.read_failed, report.proof.guest_answered) == (True, True)
    assert locked.returncode != 0
    assert left == [0]
    assert got.returncode == 0, got.stdout
    assert (tmp_path / "got").read_bytes() == canary * 1000


def test_a_virtual_server_that_hangs_is_ended_and_the_next_one_gets_the_documents_again(pc: Pc) -> None:
    wish = pc.wishes[0]
    os.kill(pc.machine.process(), signal.SIGSTOP)

    pc.say(replace(wish, session="", nonce=""))
    report = pc.until_state(VolumeState.LOCKED)

    assert report.proof is not None
    assert (report.proof.read_failed, report.proof.guest_answered) == (True, False)
    assert pc.machine.hypervisor.state(NAME) is not MachineState.RUNNING
    pc.machine.start()
    pc.open_again(wish)
    assert "見積.txt" in pc.smb("ls 営業/*").stdout


def test_a_virtual_server_that_died_comes_back_with_the_documents_of_the_same_logon(pc: Pc) -> None:
    wish = pc.wishes[0]
    pc.housing.told.clear()

    pc.machine.destroy()
    pc.machine.start()
    pc.time.ahead += 6
    pc.until(lambda: pc.housing.told)

    assert pc.report().session == wish.session
    assert "見積.txt" in pc.smb("ls 営業/*").stdout


def test_an_agent_that_was_ended_leaves_them_open_and_the_pcs_shutdown_locks_them(pc: Pc) -> None:
    wish = pc.wishes[0]
    pc.mydoc.close()
    assert pc.smb("ls").returncode == 0

    troubles = list(lock_all(pc.directory / "mydoc", volumes=pc.volumes, housing=pc.housing))

    assert troubles == []
    (proof,) = (record.proof for _, record in kept(pc.directory / "mydoc"))
    assert proof is not None
    assert proof.guest_answered  # what it had acknowledged is written down
    assert not pc.readable(wish.volume)
    assert pc.smb("ls").returncode != 0
