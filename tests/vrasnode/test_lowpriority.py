"""Image bytes give way: what the kernel was told, and what is seen on the cable (RFC 8622)."""

import socket
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import pytest

from config.demo.lan import LAN_BRIDGE, Lan, LanPc
from vrasnode import lowpriority
from vrasnode.contact.server import Server
from vrasnode.lowpriority import LOWER_EFFORT

ANY_FRAME = 3  # ETH_P_ALL
DSCP_CS1 = 8
LENGTH = 300_000
SERVER_V6, PC_V6 = "fd00::1", "fd00::2"


class Pack(BaseHTTPRequestHandler):
    """Gives parts of a file."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.send_response(206 if wanted else 200)
        self.send_header("Content-Length", str(LENGTH))
        self.send_header("Content-Range", f"bytes 0-{LENGTH - 1}/{LENGTH}")
        self.end_headers()
        self.wfile.write(bytes(LENGTH))

    def log_message(self, *_words: Any) -> None:
        pass


def give_address(pc: LanPc, address: str) -> dict[int, str]:
    """An IPv6 address besides; both."""
    argv = ["ip", "-n", pc.namespace, "address", "add", f"{address}/64", "dev", LAN_BRIDGE, "nodad"]
    subprocess.run(argv, check=True)
    return {socket.AF_INET: pc.address, socket.AF_INET6: address}


@pytest.fixture
def far(lan: Lan) -> Iterator[dict[int, str]]:
    """The addresses of a server in the LAN whose kernel answers as it is called."""
    place = lan.join("server")
    addresses = give_address(place, SERVER_V6)
    subprocess.run(place.command(["sysctl", "-qw", "net.ipv4.tcp_reflect_tos=1"]), check=True)
    server = ThreadingHTTPServer(("", 0), Pack, bind_and_activate=False)
    server.socket.close()
    server.socket = place.run_inside(
        lambda: socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True)
    )
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    port = server.socket.getsockname()[1]
    yield {
        socket.AF_INET: f"http://{addresses[socket.AF_INET]}:{port}",
        socket.AF_INET6: f"http://[{addresses[socket.AF_INET6]}]:{port}",
    }
    server.shutdown()
    server.server_close()


def fields_seen(cable: socket.socket) -> dict[str, set[int]]:
    """The DSCPs of TCP packets since the socket was opened, by the address that sent them."""
    cable.setblocking(False)
    found: dict[str, set[int]] = {}
    while True:
        try:
            frame = cable.recv(1 << 16)
        except BlockingIOError:
            return found
        if (frame[12:14], frame[23:24]) == (b"\x08\x00", b"\x06"):
            found.setdefault(socket.inet_ntoa(frame[26:30]), set()).add(frame[15] >> 2)
        elif (frame[12:14], frame[20:21]) == (b"\x86\xdd", b"\x06"):
            sender = socket.inet_ntop(socket.AF_INET6, frame[22:38])
            found.setdefault(sender, set()).add((int.from_bytes(frame[14:16]) >> 4 & 0xFF) >> 2)


def cable_of(pc: LanPc) -> socket.socket:
    """Hears what passes a PC's cable."""

    def opened() -> socket.socket:
        made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ANY_FRAME))
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        made.bind(("eth0", ANY_FRAME))
        return made

    return pc.run_inside(opened)


def fetch(pc: LanPc, url: str, *, dscp: int) -> dict[str, set[int]]:
    """What passes the PC's cable while it fetches."""

    def fetched() -> None:
        server = Server(url)
        with server.open_range("/packs/x", start=0, length=LENGTH, dscp=dscp) as body:
            assert len(body.read(LENGTH)) == LENGTH
        server.close()

    with cable_of(pc) as packets:
        pc.run_inside(fetched)
        return fields_seen(packets)


@pytest.mark.parametrize("dscp", [LOWER_EFFORT, DSCP_CS1])
@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_both_ways_of_a_pack_are_marked_from_the_first_packet_on_and_nothing_else_is(
    lan: Lan, far: dict[int, str], family: socket.AddressFamily, dscp: int
) -> None:
    pc = lan.join("pc")
    own, its = give_address(pc, PC_V6)[family], urlsplit(far[family]).hostname

    of_pack = fetch(pc, far[family], dscp=dscp)
    of_others = fetch(pc, far[family], dscp=0)

    assert of_pack == {own: {dscp}, its: {dscp}}
    assert of_others == {own: {0}, its: {0}}


def test_a_name_is_called_at_each_of_its_addresses_until_one_answers(
    lan: Lan, far: dict[int, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pc = lan.join("pc")
    give_address(pc, PC_V6)
    url = urlsplit(far[socket.AF_INET])
    plain = socket.getaddrinfo

    def two(host: str, *more: Any, **kinds: Any) -> Any:
        if host != "vras.example":
            return plain(host, *more, **kinds)
        return plain("fd00::dead", *more, **kinds) + plain(str(url.hostname), *more, **kinds)

    monkeypatch.setattr(socket, "getaddrinfo", two)

    seen = fetch(pc, f"http://vras.example:{url.port}", dscp=LOWER_EFFORT)

    assert seen[pc.address] == {LOWER_EFFORT}


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_a_socket_that_gives_way_is_marked_waits_in_the_last_queue_and_keeps_to_the_rate(
    family: socket.AddressFamily,
) -> None:
    with socket.socket(family) as sock:
        lowpriority.give_way(sock, dscp=LOWER_EFFORT, rate_bytes_s=1_250_000)

        assert sock.getsockopt(socket.IPPROTO_IP, socket.IP_TOS) == 0x04
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_PRIORITY) == 2
        assert lowpriority.pace_of(sock) == 1_250_000
        if family == socket.AF_INET6:
            assert sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS) == 0x04

        lowpriority.give_way(sock, dscp=0)

        assert sock.getsockopt(socket.IPPROTO_IP, socket.IP_TOS) == 0
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_PRIORITY) == 0
        assert lowpriority.pace_of(sock) is None


@pytest.mark.parametrize("dscp", [-1, 64, 1 << 40])
def test_what_is_no_field_of_a_packet_marks_nothing(dscp: int) -> None:
    with socket.socket() as sock:
        lowpriority.give_way(sock, dscp=dscp, rate_bytes_s=1 << 40)

        assert sock.getsockopt(socket.IPPROTO_IP, socket.IP_TOS) == 0
        assert lowpriority.pace_of(sock) == (1 << 32) - 2
