"""A control port of which the host's end comes and goes: two FIFOs behave as a virtio-serial port does."""

import json
import os
import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from vrasnode.servicevm.guest.port import LinePort

ASIDE = "beside the test"
AGAIN_S = 0.001
LIMIT_S = 60.0  # nobody would wait longer; usual are milliseconds


class Host:
    """The host's end. Without one the port reads nothing at once, as the kernel's does."""

    def __init__(self, requests: Path, answers: int) -> None:
        self._requests = requests
        self._answers = answers
        self._descriptor: int | None = None

    def connect(self) -> None:
        self._descriptor = os.open(self._requests, os.O_WRONLY)

    def disconnect(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def say(self, data: bytes) -> None:
        assert self._descriptor is not None
        left = memoryview(data)
        while left:
            left = left[os.write(self._descriptor, left) :]

    def ask(self, op: str, request_id: str = "1", **args: Any) -> None:
        self.say(json.dumps({"id": request_id, "op": op, "args": args}).encode() + b"\n")

    def hear(self) -> dict[str, Any]:
        """The next answer."""
        line = b""
        while not line.endswith(b"\n"):
            line += os.read(self._answers, 1)
        answer: dict[str, Any] = json.loads(line)
        return answer


class _Over(Exception):
    """The test is: a thread that still takes lines ends."""


@pytest.fixture
def ends(tmp_path: Path) -> Iterator[tuple[LinePort, Host]]:
    """A port as the guest has it, and the host's end of it, which is not connected yet."""
    over = threading.Event()

    def pause(_for_s: float) -> None:
        if over.wait(AGAIN_S):
            raise _Over

    requests, answers = tmp_path / "requests", tmp_path / "answers"
    os.mkfifo(requests)
    os.mkfifo(answers)
    reading = os.open(requests, os.O_RDONLY | os.O_NONBLOCK)
    hearing = os.open(answers, os.O_RDONLY | os.O_NONBLOCK)
    writing = os.open(answers, os.O_WRONLY | os.O_NONBLOCK)
    os.set_blocking(hearing, True)
    host = Host(requests, hearing)
    try:
        yield LinePort(reading, writing, pause=pause), host
    finally:
        over.set()
        host.disconnect()
        for thread in threading.enumerate():  # none may read from what this descriptor will be next
            if thread.name == ASIDE:
                thread.join()
        for descriptor in (reading, hearing, writing):
            os.close(descriptor)


@pytest.fixture
def aside() -> Callable[[Callable[[], Any]], "queue.Queue[Any]"]:
    """Runs something beside the test, to its end or that of the port."""

    def run(act: Callable[[], Any]) -> "queue.Queue[Any]":
        results: queue.Queue[Any] = queue.Queue()

        def finish() -> None:
            with suppress(_Over):
                results.put(act())

        threading.Thread(target=finish, name=ASIDE, daemon=True).start()
        return results

    return run
