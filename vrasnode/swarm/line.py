"""One connection to a peer: messages in and out over a non-blocking TLS socket.

TLS runs over memory, not over the socket: so many records go to the kernel, and come from it, at once, and a
long message is decrypted into its own place.
"""

import socket
import ssl
from collections import deque
from dataclasses import dataclass

from vrasnode.errors import Unreachable
from vrasnode.wire.swarm import HEAD, MAX_PIECES, Flag, Kind

SEND_BUFFER_BYTES = 128 << 10  # what is in the kernel cannot be taken back
READ_BYTES = 256 << 10
RECORD_BYTES = 16 << 10

_WANTS = (ssl.SSLWantReadError, ssl.SSLWantWriteError)
_LATER = (BlockingIOError, InterruptedError)


@dataclass(frozen=True, slots=True)
class Said:
    """One message of a peer."""

    kind: Kind
    flags: int
    number: int
    body: bytes


class Line:
    """Says and hears. `dialled`: we called. `max_body`: longer messages end the line. `buffer`: lines of one
    thread may read through the same."""

    def __init__(
        self,
        sock: socket.socket,
        context: ssl.SSLContext,
        *,
        dialled: bool,
        max_body: int,
        buffer: memoryview | None = None,
    ) -> None:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        self.dialled = dialled
        self.shaken = False
        self.connected = not dialled
        self.heard_at = 0.0
        self._sock = sock
        self._came, self._goes = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._came, self._goes, server_side=not dialled)
        self._max_body = max(max_body, MAX_PIECES // 8)
        self._buffer = buffer or memoryview(bytearray(READ_BYTES))
        self._said: deque[memoryview] = deque()  # in the clear
        self._sealed = memoryview(b"")  # what is encrypted, and not sent yet
        self._head = memoryview(bytearray(HEAD.size))
        self._body: bytearray | None = None
        self._place = self._head  # where what comes next is to be put
        self._got = 0

    def fileno(self) -> int:
        return self._sock.fileno()

    @property
    def certificate(self) -> bytes | None:
        """What the peer showed (DER)."""
        return self._tls.getpeercert(binary_form=True)

    @property
    def idle(self) -> bool:
        """Whether all that was said has left."""
        return not self._said and not self._sealed

    def shake(self) -> bool:
        """One step of connecting and the handshake; whether it is done. Raises OSError."""
        if not self.connected:
            if error := self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                raise OSError(error, "cannot connect")
            self.connected = True
        self._receive()
        try:
            self._tls.do_handshake()
            self.shaken = True
        except _WANTS:
            pass
        finally:
            self._push()
        return self.shaken

    def say(self, kind: Kind, *, number: int = 0, flags: int = Flag.NONE, body: bytes = b"") -> None:
        """Puts a message behind what was said before."""
        head = HEAD.pack(kind, flags, 0, number, len(body))
        first = RECORD_BYTES - len(head)  # TLS makes a record of each write: the head travels in the first
        self._said.append(memoryview(head + body[:first]))
        if len(body) > first:
            self._said.append(memoryview(body)[first:])

    def flush(self) -> None:
        """Sends what goes now. Raises OSError when the line is gone."""
        if not self.shaken:
            return
        while self._push() and self._said:
            sealed = 0
            while self._said and sealed < SEND_BUFFER_BYTES:
                part = self._said.popleft()
                while part:
                    part = part[self._tls.write(part) :]
                sealed = self._goes.pending

    def hear(self) -> list[Said]:
        """What has come. Raises OSError, Unreachable(bad_line)."""
        self._receive()
        said: list[Said] = []
        try:
            while True:
                # Reading into a place, it says how many came.
                count = int(self._tls.read(len(self._place) - self._got, self._place[self._got :]))
                if not count:
                    raise ConnectionResetError("the peer ended the line")
                self._got += count
                if self._got == len(self._place):
                    self._filled(said)
        except _WANTS:
            return said

    def close(self) -> None:
        self._sock.close()

    def _filled(self, said: list[Said]) -> None:
        """A head, or a body."""
        kind, flags, _, number, length = HEAD.unpack(self._head)
        if self._body is None and length:
            if length > self._max_body:
                raise Unreachable("bad_line", "A peer announced a message that is too long.")
            self._body = bytearray(length)
            self._place, self._got = memoryview(self._body), 0
            return
        try:
            said.append(Said(Kind(kind), flags, number, bytes(self._body or b"")))
        except ValueError as error:
            raise Unreachable("bad_line", f"A peer said something unknown ({kind}).") from error
        self._body, self._place, self._got = None, self._head, 0

    def _receive(self) -> None:
        try:
            count = self._sock.recv_into(self._buffer)
        except _LATER:
            return
        if count == 0:
            raise ConnectionResetError("the peer ended the line")
        self._came.write(self._buffer[:count])

    def _push(self) -> bool:
        """Hands to the kernel what is encrypted; whether all of it went."""
        if not self._sealed and self._goes.pending:
            self._sealed = memoryview(self._goes.read())
        try:
            while self._sealed:
                self._sealed = self._sealed[self._sock.send(self._sealed) :]
        except _LATER:
            return False
        return True


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
