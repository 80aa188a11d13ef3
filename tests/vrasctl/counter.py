"""A wire between client and server that counts what goes up, and can hold it at a chosen byte."""

import socket
import threading
from contextlib import suppress
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

PIECE = 64 << 10


class Wire:
    """Forwards TCP connections to the server at `url`; reach it at its own `url`."""

    def __init__(self, url: str) -> None:
        self._target = (urlsplit(url).hostname, urlsplit(url).port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.up_bytes = 0
        self._hold_at: int | None = None
        self.held = threading.Event()
        self._open = threading.Event()
        self._open.set()
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.set()
        for each in (self._listener, *self._sockets):
            _end(each)

    def hold_at(self, up_bytes: int) -> None:
        """Lets no byte pass to the server once so many have; `held` is set then."""
        self._hold_at = up_bytes
        self._open.clear()

    def cut(self) -> None:
        """Ends what is held, and lets later connections pass."""
        self._hold_at = None
        for each in self._sockets:
            _end(each)
        self._open.set()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._target)
                self._sockets += [client, server]
                threading.Thread(target=self._up, args=(client, server), daemon=True).start()
                threading.Thread(target=_pump, args=(server, client), daemon=True).start()

    def _up(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            while data := client.recv(PIECE):
                with self._lock:
                    self.up_bytes += len(data)
                if self._hold_at is not None and self.up_bytes >= self._hold_at:
                    self.held.set()
                    self._open.wait()
                server.sendall(data)
            server.shutdown(socket.SHUT_WR)


def _pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(PIECE):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


def _end(each: socket.socket) -> None:
    """Wakes who waits at the socket, and lets the other side see that it is gone."""
    with suppress(OSError):
        each.shutdown(socket.SHUT_RDWR)
    each.close()
