"""The company's domain controllers, as proof that this PC is on the company's LAN while the server is silent.

One answers when it completes a TLS handshake with a certificate of the company's authority for its own name:
nobody elsewhere can. Nothing is said to it. Each is asked by a thread of its own, so that nobody waits.
"""

import logging
import socket
import ssl
import threading
from collections.abc import Callable, Sequence
from contextlib import closing

log = logging.getLogger("vrasnode.controllers")

ANSWER_S = 4.0  # for the connection, and again for the handshake
BETWEEN_S = 10.0
MOST = 8  # of those named are asked


class Controllers:
    """`clock` counts seconds, while the PC sleeps too."""

    def __init__(self, *, clock: Callable[[], float], answer_s: float = ANSWER_S) -> None:
        self._clock = clock
        self._answer_s = answer_s
        self._lock = threading.Lock()
        self._asked_at: dict[str, float] = {}
        self._under_way: set[str] = set()
        self._said = ""
        self.answered_at = float("-inf")  # when the question was asked that was answered last

    def ask(self, addresses: Sequence[str], authority: str) -> None:
        """Asks these (`host:port`), believing certificates of `authority` (PEM): each at most once in
        BETWEEN_S, and not again while it still owes an answer. Never waits, never fails."""
        try:
            context = _trusting(authority)
        except (ssl.SSLError, ValueError) as error:
            self._say(f"the company's authority cannot be used: {error}")
            return
        for address in addresses[:MOST]:
            with self._lock:
                if address in self._under_way or self._clock() < self._due(address):
                    continue
                self._asked_at[address] = self._clock()
                self._under_way.add(address)
            threading.Thread(
                target=self._ask_one, args=(address, context), name="controller", daemon=True
            ).start()

    def _due(self, address: str) -> float:
        return self._asked_at.get(address, float("-inf")) + BETWEEN_S

    def _ask_one(self, address: str, context: ssl.SSLContext) -> None:
        begun = self._clock()
        try:
            host, port = _place(address)
            with closing(socket.create_connection((host, port), self._answer_s)) as plain:
                plain.settimeout(self._answer_s)
                with context.wrap_socket(plain, server_hostname=host):
                    self.answered_at = max(self.answered_at, begun)
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            self._say(f"domain controller {address} proves nothing: {error}")
        finally:
            with self._lock:
                self._under_way.discard(address)

    def _say(self, words: str) -> None:
        """A line when the trouble is another one."""
        if words != self._said:
            self._said = words
            log.warning("%s", words)


def _trusting(authority: str) -> ssl.SSLContext:
    """Believes this authority alone, for the name that was asked for."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=authority)
    return context


def _place(address: str) -> tuple[str, int]:
    """Raises ValueError."""
    host, colon, port = address.rpartition(":")
    if not colon or not host or not port.isdecimal():
        raise ValueError(f"{address!r} is no host:port")
    return host.removeprefix("[").removesuffix("]"), int(port)
