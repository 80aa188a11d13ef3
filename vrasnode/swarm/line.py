"""One connection to a peer: messages in and out over a non-blocking TLS socket."""

import socket
import ssl
from collections import deque
from dataclasses import dataclass

from vrasnode.errors import Unreachable
from vrasnode.wire.swarm import HEAD, MAX_PIECES, Flag, Kind

SEND_BUFFER_BYTES = 128 << 10  # what is in the kernel cannot be taken back
READ_BYTES = 64 << 10
READS_A_TURN = 16
_CORK_BYTES = 16 << 10

_WANTS = (ssl.SSLWantReadError, ssl.SSLWantWriteError, BlockingIOError, InterruptedError)


@dataclass(frozen=True, slots=True)
class Said:
    """One message of a peer."""

    kind: Kind
    flags: int
    number: int
    body: bytes


class Line:
    """Says and hears. `dialled`: we called. `max_body`: longer messages end the line."""

    def __init__(self, sock: socket.socket, context: ssl.SSLContext, *, dialled: bool, max_body: int) -> None:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        self.dialled = dialled
        self.shaken = False
        self.connected = not dialled
        self.sent_bytes = 0
        self.heard_at = 0.0
        self.raw = sock
        self._context = context
        self._sock: ssl.SSLSocket | None = None
        self._max_body = max(max_body, MAX_PIECES // 8)
        self._out: deque[memoryview] = deque()
        self._in = bytearray()
        self._buffer = memoryview(bytearray(READ_BYTES))

    def fileno(self) -> int:
        return (self._sock or self.raw).fileno()

    @property
    def certificate(self) -> bytes | None:
        """What the peer showed (DER)."""
        return self._sock.getpeercert(binary_form=True) if self._sock else None

    @property
    def idle(self) -> bool:
        """Whether all that was said has left."""
        return not self._out

    def shake(self) -> bool:
        """One step of connecting and the handshake; whether it is done. Raises OSError."""
        if not self.connected:
            if error := self.raw.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                raise OSError(error, "cannot connect")
            self.connected = True
        if self._sock is None:
            self._sock = self._context.wrap_socket(
                self.raw, server_side=not self.dialled, do_handshake_on_connect=False
            )
        try:
            self._sock.do_handshake()
        except _WANTS:
            return False
        self.shaken = True
        return True

    def say(self, kind: Kind, *, number: int = 0, flags: int = Flag.NONE, body: bytes = b"") -> None:
        """Puts a message behind what was said before."""
        head = HEAD.pack(kind, flags, 0, number, len(body))
        if len(body) < _CORK_BYTES:
            self._out.append(memoryview(head + body))
        else:
            # TLS makes a record of each write: the head travels with the first bytes.
            self._out.append(memoryview(head + body[:_CORK_BYTES]))
            self._out.append(memoryview(body)[_CORK_BYTES:])

    def flush(self) -> None:
        """Sends what goes now. Raises OSError when the line is gone."""
        if self._sock is None or not self.shaken:
            return
        try:
            while self._out:
                count = self._sock.send(self._out[0])
                self.sent_bytes += count
                if count == len(self._out[0]):
                    self._out.popleft()
                else:
                    self._out[0] = self._out[0][count:]
        except _WANTS:
            pass

    def hear(self) -> tuple[list[Said], bool]:
        """What has come, and whether more may be there already. Raises OSError, Unreachable(bad_line)."""
        if self._sock is None:
            return [], False
        more = True
        try:
            for _ in range(READS_A_TURN):
                count = self._sock.recv_into(self._buffer)
                if count == 0:
                    raise ConnectionResetError("the peer ended the line")
                self._in += self._buffer[:count]
        except _WANTS:
            more = False
        return list(self._parse()), more

    def close(self) -> None:
        (self._sock or self.raw).close()

    def _parse(self) -> list[Said]:
        said, at = [], 0
        while len(self._in) - at >= HEAD.size:
            kind, flags, _, number, length = HEAD.unpack_from(self._in, at)
            if length > self._max_body:
                raise Unreachable("bad_line", "A peer announced a message that is too long.")
            if len(self._in) - at - HEAD.size < length:
                break
            try:
                body = bytes(memoryview(self._in)[at + HEAD.size : at + HEAD.size + length])
                said.append(Said(Kind(kind), flags, number, body))
            except ValueError as error:
                raise Unreachable("bad_line", f"A peer said something unknown ({kind}).") from error
            at += HEAD.size + length
        del self._in[:at]
        return said


def listen(address: str) -> socket.socket:
    """A listener at a free port. Raises OSError."""
    if address:
        listener = socket.create_server((address, 0), backlog=128)
    elif socket.has_dualstack_ipv6():
        listener = socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True, backlog=128)
    else:
        listener = socket.create_server(("", 0), backlog=128)
    listener.setblocking(False)
    return listener
