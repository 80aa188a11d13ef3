"""Lines over a virtio-serial port, of which the other end may come and go.

While the host is not connected, reading gives nothing at once (which elsewhere means the end) and writing
would wait for ever. So: nothing read is a pause, half a line before it is forgotten, and an answer that
nobody takes is dropped.
"""

import os
import select
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

NAME = "org.openvras.control.0"
MAX_LINE_BYTES = 256 << 10
READ_BYTES = 64 << 10
ABSENT_S = 0.05  # between looks for a host that is not connected
TAKE_S = 5.0  # for the host to take a line


def find(*, ports: Path = Path("/sys/class/virtio-ports"), devices: Path = Path("/dev")) -> Path | None:
    """The device of our port, by the name that the machine's definition gives it; None: not there yet."""
    for port in sorted(ports.glob("*/name")):
        if port.read_text().strip() == NAME:
            return devices / port.parent.name
    return None


class LinePort:
    """`reading` and `writing` are descriptors that do not block; of a device they are the same one.

    `clock` counts seconds; `pause` lets them pass. One thread may read while others write.
    """

    def __init__(
        self,
        reading: int,
        writing: int,
        *,
        clock: Callable[[], float] = time.monotonic,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._reading = reading
        self._writing = writing
        self._clock = clock
        self._pause = pause
        self._lock = threading.Lock()

    def lines(self) -> Iterator[bytes]:
        """Whole lines without their end, for ever. A line that is too long is left out, all of it."""
        kept, too_long = b"", False
        while True:
            piece = self._read()
            if not piece:
                kept, too_long = b"", False
                self._pause(ABSENT_S)
                continue
            *whole, kept = (kept + piece).split(b"\n")
            for line in whole:
                if line and not too_long and len(line) <= MAX_LINE_BYTES:
                    yield line
                too_long = False
            if len(kept) > MAX_LINE_BYTES:
                kept, too_long = b"", True

    def send(self, line: bytes) -> bool:
        """Writes a line whole; False when the host did not take it."""
        left = memoryview(line + b"\n")
        deadline = self._clock() + TAKE_S
        with self._lock:
            while left:
                try:
                    left = left[os.write(self._writing, left) :]
                except BlockingIOError:
                    if not self._wait(select.POLLOUT, deadline - self._clock()):
                        return False
                except OSError:  # the host's end is closed
                    return False
        return True

    def _read(self) -> bytes:
        """What there is, at least a byte; nothing when the host is not connected."""
        while True:
            try:
                return os.read(self._reading, READ_BYTES)
            except BlockingIOError:
                self._wait(select.POLLIN, 1.0)
            except OSError:
                return b""

    def _wait(self, event: int, for_s: float) -> bool:
        """Whether it came in time. A port whose host is not connected says POLLHUP, and is not waited on."""
        poll = select.poll()
        poll.register(self._writing if event == select.POLLOUT else self._reading, event)
        happened = poll.poll(max(0.0, for_s) * 1000)
        return any(flags & event for _descriptor, flags in happened)


def open_port(wait: Callable[[float], None] = time.sleep) -> LinePort:
    """Our port, once the kernel has found it."""
    while (device := find()) is None:
        wait(0.02)
    descriptor = os.open(device, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    return LinePort(descriptor, descriptor)
