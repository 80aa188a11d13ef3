"""One connection to a peer: messages in and out over a non-blocking TLS socket.

TLS runs over memory, not over the socket: so many records go to the kernel, and come from it, at once, and a
long message is decrypted into its own place. While one comes, the kernel is told not to wake anybody before
enough of it is there: with many lines, each bringing a little, waking would be most of the work.
"""

import socket
import ssl
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from typing import cast

from vrasnode.errors import Unreachable
from vrasnode.wire.swarm import HEAD, MAX_PIECES, Flag, Kind

MOST_BUFFER_BYTES, LEAST_BUFFER_BYTES = 128 << 10, 48 << 10  # what is in the kernel cannot be taken back
ALL_BUFFERS_BYTES = 512 << 10
SEALED_BYTES = 128 << 10  # at once
READ_BYTES = 256 << 10
CONGESTION = b"cubic"
RECORD_BYTES = 16 << 10
AWAITED_BYTES = 48 << 10  # at most: more than half of what the kernel holds for a line would stop the sender
_RECORD_HEAD, _RECORD_TAIL = 5, 17  # bytes around what a record says (TLS 1.3)
_UNKNOWN = 1 << 40

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
        with suppress(OSError):
            # What sends by a timer for each line (BBR) costs, with many lines, more than the bytes do.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, CONGESTION)
        self.dialled = dialled
        self.shaken = False
        self.connected = not dialled
        self.heard_at = 0.0
        self.came_bytes = 0
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
        self._awaited = 1
        self._next = 0  # where the next record begins, in what comes from now on
        self._record = 0  # length of the one that is under way
        self._clear = _UNKNOWN  # bytes that can be read now, at the most
        self._split = b""  # of the head of a record that came in two

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

    def one_of(self, lines: int) -> None:
        """So many lines share what this PC can send."""
        size = min(MOST_BUFFER_BYTES, max(LEAST_BUFFER_BYTES, ALL_BUFFERS_BYTES // lines))
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, size)

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
            while self._said and sealed < SEALED_BYTES:
                part = self._said.popleft()
                while part:
                    part = part[self._tls.write(part) :]
                sealed = self._goes.pending

    def hear(self) -> list[Said]:
        """What has come. Raises OSError, Unreachable(bad_line)."""
        self._receive()
        said: list[Said] = []
        try:
            while self._clear > 0:  # to read without need costs as much as a record
                # Reading into a place, it says how many came.
                place = self._place[self._got :] if self._got else self._place
                count = int(self._tls.read(len(place), place))
                if not count:
                    raise ConnectionResetError("the peer ended the line")
                self._clear -= count
                self._got += count
                if self._got == len(self._place):
                    self._filled(said)
        except _WANTS:
            self._clear = 0
        self._await(self._coming())
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
            # Nobody changes it any more; a copy would cost as much as its decryption.
            body = b"" if self._body is None else cast(bytes, self._body)
            said.append(Said(Kind(kind), flags, number, body))
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
        self.came_bytes += count
        self._follow(count)
        self._came.write(self._buffer[:count])

    def _follow(self, count: int) -> None:
        """Follows the records through what came, to know how much of the last one is missing."""
        at, buffer = self._next, self._buffer
        if 0 < at <= count:
            self._clear += max(0, self._record - _RECORD_HEAD - _RECORD_TAIL)
        while at + _RECORD_HEAD <= count:
            head = buffer[at : at + _RECORD_HEAD] if at >= 0 else self._split + bytes(buffer[: at + 5])
            self._record = _RECORD_HEAD + (head[3] << 8 | head[4])
            at += self._record
            if at <= count:
                self._clear += max(0, self._record - _RECORD_HEAD - _RECORD_TAIL)
        if at < count:
            self._split = (self._split if at < 0 else b"") + bytes(buffer[max(at, 0) : count])
        self._next = at - count

    def _coming(self) -> int:
        """How many bytes will come for certain before there is anything to do."""
        if self._body is None:
            return 1
        left = len(self._place) - self._got
        here = self._record - self._next if self._next > 0 else -self._next
        return max(1, left + (_RECORD_HEAD + _RECORD_TAIL) * -(-left // RECORD_BYTES) - here)

    def _await(self, count: int) -> None:
        count = min(count, AWAITED_BYTES)
        if count != self._awaited:
            self._awaited = count
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, count)

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
