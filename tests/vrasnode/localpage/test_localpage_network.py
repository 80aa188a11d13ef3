"""The page where its user finds it: on the network inside a PC that a real libvirtd keeps, by its name."""

import http.client
import socket
import struct
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from config.demo.lan import Lan, LanPc
from config.demo.pcs import LabPc
from tests.lab.libvirtd import QEMU_CACHE
from tests.vrasnode.localpage.test_localpage import MACS, STATE
from vrasnode.domainxml import INTERNAL_BRIDGE, LOCAL_NAME
from vrasnode.localpage.part import CLIENT_VM, GATEWAY, PORT, VIRTUAL_SERVER, LocalPage
from vrasnode.machines.hypervisor import Hypervisor

pytestmark = pytest.mark.slow


@pytest.fixture
def place(lan: Lan, tmp_path: Path) -> Iterator[LanPc]:
    """A machine on the network inside a PC: its card alone, and whatever asks from there."""
    machine = lan.join("machine")
    with LabPc(lan.join("pc"), tmp_path / "pc", cache=QEMU_CACHE) as pc:
        hypervisor = Hypervisor(pc.uri)
        page = LocalPage(networks=hypervisor, macs=MACS, get_state=lambda: STATE, clock=time.monotonic)
        try:
            pc.place.run_inside(page.step)
            _plug(machine, pc.place)
            yield machine
        finally:
            page.close()
            hypervisor.close()


def _plug(machine: LanPc, pc: LanPc) -> None:
    peer = ["peer", "name", "inner", "netns", machine.namespace]
    for command in (
        ["-n", pc.namespace, "link", "add", "vm0", "type", "veth", *peer],
        ["-n", pc.namespace, "link", "set", "vm0", "master", INTERNAL_BRIDGE, "up"],
        ["-n", machine.namespace, "link", "set", "inner", "address", MACS["client-vm"], "up"],
    ):
        subprocess.run(["ip", *command], check=True)


def _take(machine: LanPc, address: object) -> None:
    place = f"{address}/{GATEWAY.network.prefixlen}"
    subprocess.run(["ip", "-n", machine.namespace, "address", "replace", place, "dev", "inner"], check=True)


def _ask_page() -> tuple[int, str]:
    connection = http.client.HTTPConnection(str(GATEWAY.ip), PORT, timeout=20)
    try:
        connection.request("GET", "/", headers={"Host": LOCAL_NAME})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def _ask_name() -> str:
    """The address of the local page's name (DNS, RFC 1035 §4), asked of the control base."""
    labels = b"".join(bytes([len(part)]) + part.encode() for part in LOCAL_NAME.split("."))
    question = struct.pack("!6H", 7, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!2H", 1, 1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.settimeout(20)
        asking.sendto(question, (str(GATEWAY.ip), 53))
        answer = asking.recv(512)
    return socket.inet_ntoa(answer[-4:])


def test_the_client_vm_finds_the_page_by_its_name_and_nobody_else_is_answered(place: LanPc) -> None:
    _take(place, CLIENT_VM)
    name, (status, body) = place.run_inside(_ask_name), place.run_inside(_ask_page)
    _drop(place, CLIENT_VM)
    _take(place, VIRTUAL_SERVER)
    refused = place.run_inside(_ask_page)

    assert name == str(GATEWAY.ip)
    assert status == 200
    assert "<h1>&lt;pc-1&gt;</h1>" in body
    assert refused == (403, "")


def _drop(machine: LanPc, address: object) -> None:
    place = f"{address}/{GATEWAY.network.prefixlen}"
    subprocess.run(["ip", "-n", machine.namespace, "address", "delete", place, "dev", "inner"], check=True)
