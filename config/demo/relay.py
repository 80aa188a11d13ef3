"""Connections from this machine's loopback into a LAN of the lab: a process here, a daemon there."""

import socket
import threading
from contextlib import suppress
from types import TracebackType
from typing import Self

from config.demo.lan import LanPc

BLOCK_BYTES = 1 << 16
DIAL_S = 10.0


class Relay:
    """Listens on 127.0.0.1 at `port`; each connection is dialled on to (`address`, `to`) from `machine`.

    A context manager: afterwards every connection through it is closed.
    """

    def __init__(self, machine: LanPc, address: str, to: int) -> None:
        self._machine = machine
        self._target = (address, to)
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = int(self._listener.getsockname()[1])
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)  # wakes who waits in accept; close() alone does not
        self._listener.close()
        self._accepting.join()
        self.hang_up()

    def hang_up(self) -> None:
        """Ends the connections of this moment."""
        with self._lock:
            for end in self._open:
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return  # closed
            threading.Thread(target=self._carry, args=[near], daemon=True).start()

    def _carry(self, near: socket.socket) -> None:
        with near:
            try:
                far = self._machine.run_inside(lambda: socket.create_connection(self._target, timeout=DIAL_S))
            except OSError:
                return  # as a machine that is away: the connection ends
            far.settimeout(None)
            with far:
                with self._lock:
                    self._open |= {near, far}
                back = threading.Thread(target=_pump, args=[far, near], daemon=True)
                back.start()
                _pump(near, far)
                back.join()
                with self._lock:
                    self._open -= {near, far}


def _pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while block := source.recv(BLOCK_BYTES):
            target.sendall(block)
    for end in (source, target):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
