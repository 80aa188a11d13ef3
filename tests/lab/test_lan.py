"""The LAN of the demo and the tests: apart from the machine's own, counted, and gone afterwards."""

import os
import signal
import socket
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from config.demo import lan as lans
from config.demo import pcs
from config.demo.lan import NAMESPACES, Lan
from tests.lab.libvirtd import QEMU_CACHE
from vrasnode.errors import HostBroken

pytestmark = pytest.mark.slow

PAYLOAD_BYTES = 1 << 20

KILLED_OWNER = """
import os, signal, subprocess, sys
from pathlib import Path
from config.demo.lan import Lan
from config.demo.pcs import LabPc
with Lan() as lan, LabPc(lan.join("pc"), Path(sys.argv[1]), cache=Path(sys.argv[2])) as pc:
    agent = subprocess.Popen(pc.command(["sleep", "1000"]), stdout=subprocess.DEVNULL, start_new_session=True)
    print(lan.tag, pc._run.name, pc._libvirtd.pid, agent.pid, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def _connected(lan: Lan, pc: lans.LanPc, listener: socket.socket) -> tuple[socket.socket, socket.socket]:
    address = listener.getsockname()
    to_server = pc.run_inside(lambda: socket.create_connection(address, timeout=10))
    to_pc, _ = listener.accept()
    return to_pc, to_server


def _namespaces(tag: str) -> list[str]:
    return [path.name for path in NAMESPACES.iterdir() if tag in path.name]


def _runs(pid: int) -> bool:
    return Path(f"/proc/{pid}/exe").exists()


def test_a_server_of_this_process_is_reached_from_the_lan(lan: Lan) -> None:
    pc = lan.join("pc")

    with closing(lan.open_listener(0)) as listener:
        to_pc, to_server = _connected(lan, pc, listener)

        assert to_pc.getpeername()[0] == pc.address
        to_pc.close()
        to_server.close()


def test_the_machines_own_network_is_left_as_it_was(lan: Lan) -> None:
    def addresses() -> str:
        return subprocess.run(["ip", "-o", "address"], capture_output=True, text=True, check=True).stdout

    before = Path("/proc/thread-self/ns/net").stat()
    lan.join("pc")
    with closing(lan.open_listener(0)) as listener, pytest.raises(OSError):
        socket.create_connection(listener.getsockname(), timeout=0.2).close()

    assert lan.address not in addresses()
    assert os.path.samestat(Path("/proc/thread-self/ns/net").stat(), before)


def test_bytes_are_counted_at_the_pc_that_got_them(lan: Lan) -> None:
    sales, stock = lan.join("sales"), lan.join("stock")
    with closing(lan.open_listener(0)) as listener:
        to_pc, to_server = _connected(lan, sales, listener)
        before, others_before = sales.received_bytes(), stock.received_bytes()

        to_pc.sendall(bytes(PAYLOAD_BYTES // 8))
        to_pc.shutdown(socket.SHUT_WR)
        while to_server.recv(1 << 16):
            pass

        got = sales.received_bytes() - before
        assert PAYLOAD_BYTES // 8 <= got <= PAYLOAD_BYTES // 8 * 1.1
        assert stock.received_bytes() - others_before < 1000
        assert sales.sent_bytes() > 0
        to_pc.close()
        to_server.close()


def test_a_cut_cable_is_mended(lan: Lan) -> None:
    pc = lan.join("pc")
    with closing(lan.open_listener(0)) as listener:
        pc.cut()
        with pytest.raises(OSError):
            pc.run_inside(lambda: socket.create_connection(listener.getsockname(), timeout=0.2))

        pc.mend()

        for connection in _connected(lan, pc, listener):
            connection.close()


def test_a_command_runs_on_the_pcs_network(lan: Lan) -> None:
    pc = lan.join("pc")

    shown = subprocess.run(pc.command(["ip", "-br", "address"]), capture_output=True, text=True, check=True)

    assert pc.address in shown.stdout


def test_two_lans_live_side_by_side(lan: Lan) -> None:
    with Lan() as other, closing(lan.open_listener(8000)) as one, closing(other.open_listener(8000)) as two:
        assert one.getsockname() == two.getsockname()
        assert other.tag != lan.tag


def test_a_lan_is_gone_after_an_error_and_so_is_what_ran_in_it() -> None:
    class OutOfLuckError(Exception):
        pass

    with pytest.raises(OutOfLuckError), Lan() as lan:
        command = lan.join("pc").command(["sh", "-c", "echo up; exec sleep 1000"])
        agent = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert agent.stdout is not None
        assert agent.stdout.readline() == b"up\n"
        raise OutOfLuckError

    agent.communicate(timeout=10)
    assert agent.returncode == -signal.SIGTERM
    assert not _namespaces(lan.tag)


def test_what_the_kernel_refuses_is_said(lan: Lan) -> None:
    lan.namespace = "no-such-namespace"

    with pytest.raises(HostBroken) as broken:
        lan.join("pc")

    assert broken.value.code == "lan_failed"
    assert len(_namespaces(lan.tag)) == 2  # its own and, until it ends, that of the PC it could not plug in


def test_what_a_killed_owner_left_is_swept_and_nothing_else(lan: Lan, tmp_path: Path) -> None:
    killed = subprocess.run(
        [sys.executable, "-c", KILLED_OWNER, str(tmp_path / "pc"), str(QEMU_CACHE)],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    lan_tag, pc_tag, libvirtd, agent = killed.stdout.split()
    assert len(_namespaces(lan_tag)) == 2
    assert _runs(int(libvirtd))
    assert _runs(int(agent))

    pcs.sweep_stale()

    assert not _namespaces(lan_tag)
    assert not _runs(int(libvirtd))
    assert not _runs(int(agent))
    assert not (pcs.RUN / pc_tag).exists()
    assert len(_namespaces(lan.tag)) == 1
