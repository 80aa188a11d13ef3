"""The virtual server keeps its file server running, and tells how the machine is."""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab.libvirtd import comes
from vrasnode.servicevm.guest import machine
from vrasnode.servicevm.guest.answering import Ops, Refusal
from vrasnode.servicevm.guest.fileserver import FileServer, interface_of

# Says where the configuration is and what it says of interfaces, then serves until it is ended.
SMBD = """
import signal, sys
said = [line for line in open(sys.argv[1]) if line.startswith("interfaces")]
open(sys.argv[2], "a").write(said[0])
signal.pause()
"""


class Said:
    """What each start wrote, line by line. Open at both ends, so that it does not end with a writer."""

    def __init__(self, fifo: Path) -> None:
        self.fifo = fifo
        self._file = os.fdopen(os.open(fifo, os.O_RDWR), "rb", buffering=0)

    def line(self) -> str:
        return self._file.readline().decode()

    def close(self) -> None:
        self._file.close()


@pytest.fixture
def said(tmp_path: Path) -> Iterator[Said]:
    os.mkfifo(tmp_path / "said")
    said = Said(tmp_path / "said")
    yield said
    said.close()


@pytest.fixture
def fileserver(tmp_path: Path, said: Said) -> Iterator[FileServer]:
    command = [sys.executable, "-c", SMBD, "{run}/smb.conf", str(said.fifo)]
    server = FileServer(tmp_path / "samba", command=command, pause=lambda _s: None)
    yield server
    server.stop()


def test_a_file_server_that_dies_is_started_again(fileserver: FileServer, said: Said) -> None:
    fileserver.start()
    first = said.line()
    assert comes(lambda: fileserver.pid is not None)  # it may write before its start has returned here
    pid = fileserver.pid or 0

    os.kill(pid, signal.SIGKILL)

    assert first == said.line() == "interfaces = lo\n"  # nobody outside, until told
    assert comes(lambda: fileserver.pid not in (pid, None))


def test_it_serves_on_the_card_that_the_control_base_names(fileserver: FileServer, said: Said) -> None:
    fileserver.start()
    said.line()

    fileserver.listen(["eth1"])

    assert said.line() == "interfaces = lo eth1\n"


def test_who_uses_it_is_not_disturbed_by_being_named_the_same_card_again(
    fileserver: FileServer, said: Said
) -> None:
    fileserver.start()
    said.line()
    fileserver.listen(["eth1"])
    said.line()
    assert comes(lambda: fileserver.pid is not None)
    pid = fileserver.pid

    fileserver.listen(["eth1"])

    assert fileserver.pid == pid


def test_a_configuration_shares_nothing_and_demands_encryption(
    fileserver: FileServer, said: Said, tmp_path: Path
) -> None:
    fileserver.start()
    said.line()

    text = (tmp_path / "samba/smb.conf").read_text()

    assert text.count("[") == 1  # [global]
    assert "server smb encrypt = required\n" in text
    assert (tmp_path / "samba/private").stat().st_mode & 0o777 == 0o700


@pytest.fixture
def net(tmp_path: Path) -> Path:
    for name, mac in (
        ("lo", "00:00:00:00:00:00"),
        ("eth0", "02:00:00:00:00:01"),
        ("eth1", "02:aa:00:00:00:02"),
    ):
        (tmp_path / "net" / name).mkdir(parents=True)
        (tmp_path / "net" / name / "address").write_text(f"{mac}\n")
    return tmp_path / "net"


def test_a_card_is_found_by_its_address_in_either_case(net: Path) -> None:
    assert interface_of("02:AA:00:00:00:02", interfaces=net) == "eth1"
    with pytest.raises(Refusal) as refusal:
        interface_of("02:00:00:00:00:09", interfaces=net)
    assert refusal.value.code == "no_such_card"


class Served:
    pid: int | None = 77

    def __init__(self) -> None:
        self.interfaces: list[str] = []

    def listen(self, interfaces: list[str]) -> None:
        self.interfaces = interfaces


@pytest.fixture
def asked(net: Path, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    (tmp_path / "uptime").write_text("12.34 20.00\n")
    (tmp_path / "mounts").write_text("rootfs / rootfs rw 0 0\n/dev/root / ext4 ro,noatime 0 0\n")
    (tmp_path / "meminfo").write_text("MemTotal:  262144 kB\nMemFree: 9 kB\nMemAvailable:  131072 kB\n")
    ops, served, ended = Ops(), Served(), threading.Event()
    machine.add_to(
        ops,
        fileserver=served,
        version="7",
        session="s1",
        power_off=ended.set,
        proc=tmp_path,
        net=net,
    )

    def ask(op: str, **args: object) -> object:
        return ops.find(op)[0](**args), served.interfaces, ended.is_set()

    yield ask


def test_the_machine_tells_its_version_its_memory_and_its_cards(asked: Callable[..., Any]) -> None:
    assert asked("ping")[0] == {"session": "s1"}
    assert asked("version")[0]["version"] == "7"
    status = asked("status")[0]
    assert status["uptime_s"] == 12.34
    assert status["memory"] == {"total_bytes": 256 << 20, "available_bytes": 128 << 20}
    assert status["smbd_pid"] == 77
    assert status["root"] == "ro,noatime"
    assert [card["name"] for card in status["cards"]] == ["eth0", "eth1"]


def test_the_machine_serves_on_a_card_and_ends_when_told(asked: Callable[..., Any]) -> None:
    assert asked("serve", mac="02:aa:00:00:00:02") == ({"interface": "eth1"}, ["eth1"], False)
    assert asked("shutdown")[2] is True
