"""Image bytes give way: what the kernel was told, and what is seen on the cable (RFC 8622)."""

import socket
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from config.demo.lan import Lan
from vrasnode import lowpriority
from vrasnode.contact.server import Server
from vrasnode.lowpriority import LOWER_EFFORT

ANY_FRAME = 3  # ETH_P_ALL
DSCP_CS1 = 8
LENGTH = 300_000


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


@pytest.fixture
def far(lan: Lan) -> Iterator[str]:
    """The address of a server in the LAN whose kernel answers as it is called."""
    subprocess.run(lan.command(["sysctl", "-qw", "net.ipv4.tcp_reflect_tos=1"]), check=True)
    server = ThreadingHTTPServer(("", 0), Pack, bind_and_activate=False)
    server.socket.close()
    server.socket = lan.open_listener(0)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield f"http://{lan.address}:{server.socket.getsockname()[1]}"
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
        kind, protocol = frame[12:14], frame[23:24]
        if (kind, protocol) == (b"\x08\x00", b"\x06"):
            found.setdefault(socket.inet_ntoa(frame[26:30]), set()).add(frame[15] >> 2)


@pytest.mark.parametrize("dscp", [LOWER_EFFORT, DSCP_CS1])
def test_both_ways_of_a_pack_are_marked_from_the_first_packet_on_and_nothing_else_is(
    lan: Lan, far: str, dscp: int
) -> None:
    pc = lan.join("pc")

    def cable() -> socket.socket:
        made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ANY_FRAME))
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        made.bind(("eth0", ANY_FRAME))
        return made

    def fetch() -> None:
        server = Server(far)
        with server.open_range("/packs/x", start=0, length=LENGTH, dscp=dscp) as body:
            assert len(body.read(LENGTH)) == LENGTH
        server.close()

    def ask() -> None:
        server = Server(far)
        with server.open_range("/packs/x", start=0, length=LENGTH) as body:
            body.read(LENGTH)
        server.close()

    with pc.run_inside(cable) as packets:
        pc.run_inside(fetch)
        of_pack = fields_seen(packets)
    with pc.run_inside(cable) as packets:
        pc.run_inside(ask)
        of_others = fields_seen(packets)

    assert of_pack == {pc.address: {dscp}, lan.address: {dscp}}
    assert of_others == {pc.address: {0}, lan.address: {0}}


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
