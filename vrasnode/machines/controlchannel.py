"""Talks with the program inside the virtual server, over the socket of its control port.

Requests and answers are lines of JSON (`servicevm.guest.answering`); each request carries an id that no other
ever has, so an answer finds its asker whatever came in between: another answer, a restart of the machine, or
half a line of either. Several threads may ask at once. Asked while the machine still starts, a request waits
in the socket and is answered as soon as the program inside is up.
"""

import json
import secrets
import socket
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from vrasnode.errors import Refused, Unreachable

MAX_LINE_BYTES = 1 << 20
READ_BYTES = 64 << 10
SEND_S = 2.0  # for the machine to take a request
ANSWER_S = 10.0  # after which a ping is asked again
RECEIVE_BYTES = 128 * 4096  # what the guest's kernel keeps ready for one port: its queue, a page each
SILENT_S = 30.0  # after which a program that answered does not count as up any more

Answer = Mapping[str, Any]


class ControlChannel:
    """The channel behind one socket; the connection is made when it is needed, and made again.

    `on_answer` is called, from a thread of this object, whenever something that was begun has ended.
    """

    def __init__(self, path: Path, *, on_answer: Callable[[], None] = lambda: None) -> None:
        self._path = path
        self._on_answer = on_answer
        self._lock = threading.Lock()
        self._connection: _Connection | None = None

    def call(self, op: str, *, timeout_s: float, **args: Any) -> Answer:
        """What the virtual server answers. Raises Refused with its code when it says no, and
        Unreachable(service_silent) when it is not there or does not answer within `timeout_s`; the request
        may then have been followed or not."""
        asked = self.begin(op, **args)
        try:
            return asked.result(timeout_s)
        except TimeoutError as error:
            asked.cancel()
            words = f"The virtual server did not answer {op} within {timeout_s:.0f} s."
            raise Unreachable("service_silent", words) from error

    def begin(self, op: str, **args: Any) -> "Future[Answer]":
        """Asks without waiting: the future ends as `call` would, or never, so bound the wait."""
        request_id = secrets.token_hex(8)
        asked: Future[Answer] = Future()
        try:
            self._connected().ask(request_id, {"id": request_id, "op": op, "args": args}, asked)
        except OSError as error:
            asked.set_exception(_silent(str(error)))
        return asked

    def overwrite(self) -> None:
        """Overwrites the requests that the machine's memory still holds: names of files, a share's password.

        Its kernel fills the same pages in turn and never clears one. What is sent is no request to anybody.
        Raises Unreachable(service_silent).
        """
        line = b" " * 4095 + b"\n"
        try:
            self._connected().send(line * (RECEIVE_BYTES // len(line) + 8))
        except OSError as error:
            raise _silent(str(error)) from error

    def close(self) -> None:
        """Lets go of the machine; it runs on. What was asked ends with Unreachable(service_silent)."""
        with self._lock:
            connection, self._connection = self._connection, None
        if connection:
            connection.close()

    def _connected(self) -> "_Connection":
        with self._lock:
            if self._connection is None or self._connection.ended:
                self._connection = _Connection(self._path, self._on_answer)
            return self._connection


class Channel(Protocol):
    """What asks the program inside without waiting: a ControlChannel, or what behaves like it."""

    def begin(self, op: str, **args: Any) -> "Future[Answer]": ...
    def close(self) -> None: ...


class Pulse:
    """Whether the program inside lives, by one ping after the other; never waits.

    Each program says which one it is (`session`): `greet` is called for every new one, before it counts as
    up. `clock` counts seconds and never goes back.
    """

    def __init__(self, channel: Channel, *, clock: Callable[[], float], greet: Callable[[], None]) -> None:
        self._channel = channel
        self._clock = clock
        self._greet = greet
        self._asked: Future[Answer] | None = None
        self._asked_at = clock()
        self._session: object = None
        self.heard_at = clock()

    @property
    def up(self) -> bool:
        return self._session is not None and self._clock() - self.heard_at < SILENT_S

    def feel(self) -> None:
        """Takes the answer, if it is there, and asks again."""
        asked = self._asked
        if asked is not None and not asked.done():
            if self._clock() - self._asked_at < ANSWER_S:
                return
            asked.cancel()
        elif asked is not None and asked.exception() is None:
            self._hear(asked.result().get("session"))
        self._asked, self._asked_at = self._channel.begin("ping"), self._clock()

    def forget(self) -> None:
        """The machine has ended: what was asked of it goes unanswered."""
        self._asked = self._session = None

    def _hear(self, session: object) -> None:
        self.heard_at = self._clock()
        if self._session != session:
            self._greet()
            self._session = session


class _Connection:
    """One connection, with a thread that reads. Raises OSError when nobody listens."""

    def __init__(self, path: Path, on_answer: Callable[[], None]) -> None:
        self.ended = False
        self._on_answer = on_answer
        self._lock = threading.Lock()
        self._waiting: dict[str, Future[Answer]] = {}
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._socket.settimeout(SEND_S)
            self._socket.connect(str(path))
            self._socket.sendall(b"\n")  # ends what an earlier connection may have left half said
        except OSError:
            self._socket.close()
            raise
        threading.Thread(target=self._read, name="control-channel", daemon=True).start()

    def ask(self, request_id: str, request: Mapping[str, Any], asked: "Future[Answer]") -> None:
        """Raises OSError; `asked` is then not ended by this connection."""
        with self._lock:
            if self.ended:
                raise ConnectionResetError("the connection has ended")
            self._waiting = {key: future for key, future in self._waiting.items() if not future.cancelled()}
            self._waiting[request_id] = asked
            try:
                self._send(json.dumps(request).encode() + b"\n")
            except OSError:
                del self._waiting[request_id]
                raise

    def send(self, lines: bytes) -> None:
        """Whole lines that nobody answers. Raises OSError."""
        with self._lock:
            self._send(lines)

    def _send(self, lines: bytes) -> None:
        try:
            self._socket.sendall(lines)
        except OSError:  # maybe half a line was taken: this connection is of no more use
            self.ended = True
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
            raise

    def close(self) -> None:
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def _read(self) -> None:
        kept = b""
        try:
            while len(kept) <= MAX_LINE_BYTES and (piece := self._receive()):
                *lines, kept = (kept + piece).split(b"\n")
                for line in lines:
                    self._take(line)
        finally:
            self._end()

    def _receive(self) -> bytes:
        """What comes next; nothing when the connection has ended."""
        while True:
            try:
                return self._socket.recv(READ_BYTES)
            except TimeoutError:
                continue
            except OSError:
                return b""

    def _take(self, line: bytes) -> None:
        """Gives an answer to its asker. What is none, or is nobody's any more, is dropped."""
        try:
            answer = json.loads(line)
            request_id = answer.pop("id")
            good = answer.pop("ok")
        except (ValueError, KeyError, AttributeError, TypeError):
            return
        with self._lock:
            asked = self._waiting.pop(request_id, None) if isinstance(request_id, str) else None
        if asked is None or not asked.set_running_or_notify_cancel():
            return
        if good is True:
            asked.set_result(answer)
        else:
            asked.set_exception(Refused(str(answer.get("code")), str(answer.get("words"))))
        self._on_answer()

    def _end(self) -> None:
        with self._lock:
            self.ended = True
            waiting, self._waiting = self._waiting, {}
            self._socket.close()
        for asked in waiting.values():
            if asked.set_running_or_notify_cancel():
                asked.set_exception(_silent("it closed the connection"))
        self._on_answer()


def _silent(why: str) -> Unreachable:
    return Unreachable("service_silent", f"The virtual server does not answer: {why}.")
