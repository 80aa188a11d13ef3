"""The kernel's own word that a device came or went: netlink's uevents, which need no udev.

A nudge and nothing more: what is there is read anew (`host.hardware`), so a lost message costs a second and
never a result. Where the kernel cannot be heard (a container without the right), nothing is raised and
looking goes on as before.
"""

import errno
import logging
import select
import socket
import threading
import time
from collections.abc import Callable

log = logging.getLogger("vrasnode.uevents")

QUIET_S = 0.1  # one plug makes a dozen messages: the nudge comes when they have ended
LONGEST_S = 1.0  # and at the latest then
BUFFER_BYTES = 1 << 20  # a dock with everything on it
MAX_MESSAGE_BYTES = 16 << 10  # the kernel's own bound is 4 KiB (UEVENT_BUFFER_SIZE, linux/kobject.h)

_KOBJECT_UEVENT = 15  # NETLINK_KOBJECT_UEVENT, linux/netlink.h
_KERNELS_GROUP = 1  # what the kernel says; group 2 is what udev says after it
_SUBSYSTEMS = {b"pci", b"usb", b"block", b"net"}
_SOFTWARE = b"/devices/virtual/"  # loop devices, taps and bridges: no device of the PC


class Watch:
    """Calls `callback`, from a thread of its own, after hardware came, went or changed. `open_kernel` gives
    the socket that the kernel is heard on; `quiet_s` and `longest_s` are seconds."""

    def __init__(
        self,
        callback: Callable[[], None],
        *,
        quiet_s: float = QUIET_S,
        longest_s: float = LONGEST_S,
        open_kernel: Callable[[], socket.socket] | None = None,
    ) -> None:
        self._callback = callback
        self._quiet_s = quiet_s
        self._longest_s = longest_s
        self._open_kernel = open_kernel or kernel
        self._mouth, self._ear = socket.socketpair()
        self._thread: threading.Thread | None = None

    def start(self) -> "Watch":
        """Begins to listen, and returns itself. Where the kernel cannot be heard the log says so, and that is
        all."""
        try:
            heard = self._open_kernel()
        except OSError as error:
            log.info("the kernel does not tell of devices here (%s): the ports are looked at", error)
            return self
        self._thread = threading.Thread(target=self._listen, args=(heard,), name="uevents", daemon=True)
        self._thread.start()
        return self

    def close(self) -> None:
        """Ends the thread; the callback is not called afterwards. May be called twice, and not by the
        callback."""
        self._mouth.close()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self._ear.close()

    def _listen(self, heard: socket.socket) -> None:
        with heard:
            while self._await(heard, None):
                latest = time.monotonic() + self._longest_s
                while (left := min(self._quiet_s, latest - time.monotonic())) > 0:
                    if not self._await(heard, left):
                        break
                if self._is_closed():
                    return
                self._callback()

    def _await(self, heard: socket.socket, timeout_s: float | None) -> bool:
        """Waits for word of hardware. False when none came in time, or the end did."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            ready = select.select([heard, self._ear], [], [], left)[0]
            if not ready or self._ear in ready:
                return False
            if _tells_of_hardware(heard):
                return True

    def _is_closed(self) -> bool:
        return bool(select.select([self._ear], [], [], 0)[0])


def kernel() -> socket.socket:
    """A socket that hears the kernel's uevents. Raises OSError."""
    heard = socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC, _KOBJECT_UEVENT)
    try:
        heard.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
        heard.bind((0, _KERNELS_GROUP))
    except OSError:
        heard.close()
        raise
    return heard


def is_about_hardware(message: bytes) -> bool:
    """Whether a uevent ("add@/devices/…", then NAME=value, each ended by a zero byte) is about a device of
    the kinds that the agent knows."""
    head, *lines = message.split(b"\0")
    place = head.partition(b"@")[2]
    said = dict(line.split(b"=", 1) for line in lines if b"=" in line)
    return said.get(b"SUBSYSTEM") in _SUBSYSTEMS and not place.startswith(_SOFTWARE)


def _tells_of_hardware(heard: socket.socket) -> bool:
    """Reads one message. More than the buffer held is word of something, nobody knows of what."""
    try:
        message, sender = heard.recvfrom(MAX_MESSAGE_BYTES)
    except OSError as error:
        if error.errno != errno.ENOBUFS:
            raise
        return True
    return sender == (0, _KERNELS_GROUP) and is_about_hardware(message)  # the kernel is number 0
