"""A PC on which the real virtual server runs, with volumes to plug into it, and a client of its shares."""

import os
import re
import subprocess
from base64 import b64decode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from ipaddress import IPv4Interface
from pathlib import Path
from typing import Any
from uuid import uuid4

from config.demo.pcs import LabPc
from tests.lab.libvirtd import comes
from vrasnode.domainxml import (
    INTERNAL,
    Accelerator,
    Mark,
    Neighbour,
    Nic,
    ServiceVm,
    mac_of,
    network_xml,
    service_vm_xml,
    volume_disk_xml,
    volume_handle,
)
from vrasnode.machines.controlchannel import ControlChannel
from vrasnode.machines.hypervisor import Hypervisor, MachineState
from vrasnode.mydoc.naming import serial_of
from vrasnode.mydoc.volumes import Volumes

NAME = "virtual-server"
GATEWAY = IPv4Interface("10.87.66.1/29")
ADDRESS = GATEWAY.ip + 1
CLIENT, STRANGER = str(GATEWAY.ip), str(GATEWAY.ip + 2)
MAC = mac_of("pc", "virtual-server/internal")
ANSWER_S = 120.0
SHARE, USER = "documents", "u1"


@dataclass(frozen=True)
class Documents:
    """One user's volume and its keys."""

    name: str = field(default_factory=lambda: str(uuid4()))
    key: bytes = field(default_factory=lambda: os.urandom(32))
    password: str = field(default_factory=lambda: os.urandom(12).hex())

    @property
    def serial(self) -> str:
        return serial_of(self.name)


class ServicePc:
    """The virtual server is up from `start` on."""

    def __init__(self, directory: Path, lab: LabPc, image: Path) -> None:
        self.lab = lab
        self.directory = directory
        self.hypervisor = Hypervisor(lab.uri)
        self.volumes = Volumes(directory / "volumes")
        self.channel = ControlChannel(directory / "control")
        self.user = USER
        self._image = image
        neighbour = Neighbour("virtual-server", MAC, ADDRESS)
        network = network_xml(INTERNAL, bridge="vras-data", gateway=GATEWAY, neighbours=[neighbour])
        self.hypervisor.ensure_network(network)

    def start(self) -> None:
        machine = ServiceVm(
            name=NAME,
            uuid=uuid4(),
            memory_bytes=256 << 20,
            vcpus=1,
            accelerator=Accelerator.TCG,
            disk=self._image,
            console_log=self.directory / "console.log",
            mark=Mark(manifest="11" * 32, serial=1),
            control_socket=self.directory / "control",
            internal=Nic(INTERNAL, MAC),
            direct_io=False,
        )
        self.hypervisor.start(service_vm_xml(machine))
        self.ask("serve", mac=MAC)

    def destroy(self) -> None:
        self.hypervisor.destroy(NAME)
        assert comes(lambda: self.hypervisor.state(NAME) is not MachineState.RUNNING)
        self.channel.close()

    def ask(self, op: str, **args: Any) -> Mapping[str, Any]:
        return self.channel.call(op, timeout_s=ANSWER_S, **args)

    def make(self, documents: Documents, *, limit_bytes: int = 256 << 20) -> None:
        self.volumes.create(
            documents.name, lan_key=documents.key, recovery_key=os.urandom(32), limit_bytes=limit_bytes
        )

    def open(self, documents: Documents, *, fresh: bool = False) -> Mapping[str, Any]:
        """Served, plugged in and mounted."""
        socket = self.volumes.serve(documents.name, documents.key)
        self.plug(documents.serial, socket, documents.name)
        size = self.volumes.size(documents.name)
        return self.ask("volume_open", serial=documents.serial, fresh=fresh, size_bytes=size)

    def plug(self, serial: str, socket: Path, export: str) -> None:
        self.hypervisor.attach(NAME, volume_disk_xml(serial=serial, socket=socket, export=export))

    def unplug(self, serial: str) -> None:
        self.hypervisor.detach(NAME, volume_handle(serial).alias, wait_s=20)

    def share(self, documents: Documents, *, client: str = CLIENT) -> None:
        self.ask(
            "share_open",
            serial=documents.serial,
            name=SHARE,
            user=USER,
            password=documents.password,
            client=client,
        )

    def lock(self, documents: Documents) -> None:
        """In the designed order."""
        self.hypervisor.set_link(NAME, MAC, up=False)
        self.ask("volume_cut", serial=documents.serial)
        self.ask("volume_close", serial=documents.serial)
        self.unplug(documents.serial)
        self.volumes.stop(documents.name)
        self.hypervisor.set_link(NAME, MAC, up=True)

    def names(self, documents: Documents, path: str = "", **more: Any) -> list[str]:
        answer = self.ask("folder_list", serial=documents.serial, path=path, **more)
        return [b64decode(entry["name"]).decode(errors="surrogateescape") for entry in answer["entries"]]

    def smb(self, password: str, *commands: str) -> "subprocess.CompletedProcess[str]":
        """What the client VM's user gets."""
        with self._smbclient(password, *commands) as process:
            output, _ = process.communicate()
        return subprocess.CompletedProcess(process.args, process.returncode, output)

    @contextmanager
    def smb_aside(self, password: str, *commands: str) -> Iterator[None]:
        """The user does that meanwhile."""
        with self._smbclient(password, *commands) as process:
            try:
                yield
            finally:
                process.kill()

    def _smbclient(self, password: str, *commands: str) -> "subprocess.Popen[str]":
        login = self.directory / "login"
        login.write_text(f"username={self.user}\npassword={password}\n")
        login.chmod(0o600)
        (self.directory / "smb.conf").touch()
        conf = ("-s", str(self.directory / "smb.conf"), f"--option=lock directory={self.directory}")
        patient = ("--timeout", str(int(ANSWER_S)))  # of itself it waits 20 s, too short where QEMU emulates
        what = (f"//{ADDRESS}/{SHARE}", "-A", str(login), "-m", "SMB3", *patient, "-c", "; ".join(commands))
        return subprocess.Popen(
            self.lab.command(["smbclient", *conf, *what]),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=self.directory,
            env={**os.environ, "LC_ALL": "C.UTF-8"},
        )

    def process(self) -> int:
        """The machine's QEMU."""
        commands = {pid: Path(f"/proc/{pid}/cmdline").read_bytes() for pid in self.lab.place.processes()}
        (pid,) = (pid for pid, command in commands.items() if f"guest={NAME},".encode() in command)
        return pid

    def memory_holds(self, *patterns: bytes) -> list[int]:
        """How often each of them lies in the memory of the machine's QEMU, the guest's in it."""
        return counted(self.process(), patterns)

    def close(self) -> None:
        self.channel.close()
        self.hypervisor.close()


def counted(pid: int, patterns: tuple[bytes, ...]) -> list[int]:
    """How often each of these lies in the memory of a process."""
    found = [0] * len(patterns)
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            start, end, rights = re.match(r"(\w+)-(\w+) (\S+)", line).groups()  # type: ignore[union-attr]
            if not rights.startswith("r") or "[v" in line:
                continue
            at = int(start, 16)
            while at < int(end, 16):
                try:
                    memory.seek(at)
                    piece = memory.read(min(int(end, 16) - at, 32 << 20))
                except OSError:
                    break
                for number, pattern in enumerate(patterns):
                    found[number] += piece.count(pattern)
                at += max(len(piece), 4096)
    return found


def master_key(file: Path, key: bytes) -> bytes:
    """What encrypts the data, as cryptsetup shows it."""
    dump = ["cryptsetup", "luksDump", "-q", "--dump-volume-key", "--key-file", "-", file]
    typed = key.hex().encode()  # as a key is written for programs that take text
    said = subprocess.run(dump, input=typed, capture_output=True, check=True).stdout.decode()
    digits = re.search(r"(?:MK|Volume key) ?dump:((?:\s+[0-9a-f ]+)+)", said, re.IGNORECASE)
    assert digits is not None, said
    return bytes.fromhex("".join(digits[1].split()))
