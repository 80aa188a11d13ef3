"""The line to libvirtd: opened when it is needed, again when libvirtd was away, never waited for too long.

What is asked over it is said in `hypervisor`, `networks` and `guestagent`; these four alone import libvirt.
"""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from typing import Any

import libvirt

from vrasnode.errors import HostBroken

KEEPALIVE_MISSES = 3


class Libvirtd:
    """One libvirtd, by its URI. `patience_s` bounds the wait for one that hangs, in whole seconds.

    Safe to use from several threads.
    """

    def __init__(self, uri: str, *, patience_s: int) -> None:
        self.uri = uri
        self._patience_s = patience_s
        self._lock = threading.Lock()
        self._connection: Any = None
        self._opening: Future[Any] | None = None
        self._watches: list[int] = []
        self._listeners: list[Callable[[str], None]] = []
        self._waiting: list[tuple[str, str, threading.Event]] = []  # machine, alias, removed or refused

    @contextmanager
    def session(self, code: str, words: str) -> Iterator[Any]:
        """A live connection; what libvirt says no to becomes HostBroken(`code`), its absence libvirt_gone."""
        connection = self._connected()
        try:
            yield connection
        except libvirt.libvirtError as error:
            if _alive(connection):
                raise HostBroken(code, f"{words}: {error.get_error_message()}.") from error
            raise self._gone(error) from error

    def on_change(self, callback: Callable[[str], None]) -> None:
        """Calls `callback` with a machine's name whenever it, its agent or a device of it comes or goes.

        From a thread of this module, and only as a nudge: what happened while libvirtd was away is not told.
        """
        with self._lock:
            self._listeners.append(callback)
        with suppress(HostBroken), self.session("libvirt_failed", "Machines cannot be watched"):
            pass  # connected now, so that events come before the first other call

    @contextmanager
    def until_removed(self, machine: str, alias: str) -> Iterator[threading.Event]:
        """An event that is set once libvirt told that the guest let go of this device, or will not."""
        answered = threading.Event()
        waiting = (machine, alias, answered)
        with self._lock:
            self._waiting.append(waiting)
        try:
            yield answered
        finally:
            with self._lock:
                self._waiting.remove(waiting)

    def close(self) -> None:
        """Lets go of libvirtd; machines run on."""
        with self._lock:
            self._drop()

    def _connected(self) -> Any:
        with self._lock:
            if self._connection is not None and not _alive(self._connection):
                self._drop()
            if self._connection is None:
                _run_event_loop()
                try:
                    self._connection = self._open()
                except (libvirt.libvirtError, TimeoutError) as error:
                    raise self._gone(error) from error
            return self._connection

    def _open(self) -> Any:
        """Aside: libvirt would wait for ever for a libvirtd that accepts the call and then hangs."""
        self._opening = self._opening or _aside(lambda: libvirt.open(self.uri))
        try:
            connection = self._opening.result(self._patience_s)
        finally:
            if self._opening.done():
                self._opening = None
        connection.setKeepAlive(max(1, self._patience_s // (KEEPALIVE_MISSES + 1)), KEEPALIVE_MISSES)
        events = {
            libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE: self._changed,
            libvirt.VIR_DOMAIN_EVENT_ID_AGENT_LIFECYCLE: self._changed,
            libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED: self._removed,
            libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_REMOVAL_FAILED: self._removed,
        }
        self._watches = [
            connection.domainEventRegisterAny(None, event, callback, None)
            for event, callback in events.items()
        ]
        return connection

    def _changed(self, _libvirtd: Any, machine: Any, *_details: Any) -> None:
        for listener in list(self._listeners):
            listener(machine.name())

    def _removed(self, libvirtd: Any, machine: Any, alias: str, *_details: Any) -> None:
        with self._lock:
            for name, device, answered in self._waiting:
                if (name, device) == (machine.name(), alias):
                    answered.set()
        self._changed(libvirtd, machine)

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is None:
            return
        for watch in self._watches:  # each would keep the connection open
            with suppress(libvirt.libvirtError):
                connection.domainEventDeregisterAny(watch)
        with suppress(libvirt.libvirtError):
            connection.close()

    def _gone(self, error: Exception) -> HostBroken:
        why = str(error) or f"silent for {self._patience_s} s"
        words = f"libvirtd does not answer at {self.uri}: {why}. Look at `systemctl status libvirtd`."
        return HostBroken("libvirt_gone", words)


def find_machine(libvirtd: Any, name: str) -> Any:
    """The machine of this name over an open line; None when libvirt knows none."""
    try:
        return libvirtd.lookupByName(name)
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
            return None
        raise


def _alive(libvirtd: Any) -> bool:
    """Asked over the line: `isAlive` alone sees a lost libvirtd only once the event loop has."""
    try:
        libvirtd.getLibVersion()
        return bool(libvirtd.isAlive())
    except libvirt.libvirtError:
        return False


def _aside(act: Callable[[], Any]) -> "Future[Any]":
    """The outcome of `act`, from a thread that holds up nobody, not even the end of this process."""
    outcome: Future[Any] = Future()

    def run() -> None:
        try:
            outcome.set_result(act())
        except libvirt.libvirtError as error:
            outcome.set_exception(error)

    threading.Thread(target=run, name="libvirt-open", daemon=True).start()
    return outcome


_loop_lock = threading.Lock()
_loop: threading.Thread | None = None


def _run_event_loop() -> None:
    """libvirt's loop is one per process and must exist before the first connection; ours never ends. What
    libvirt would print to stderr comes to us as exceptions anyway."""
    global _loop  # noqa: PLW0603
    with _loop_lock:
        if _loop is None:
            libvirt.registerErrorHandler(lambda _context, _error: None, None)
            libvirt.virEventRegisterDefaultImpl()
            _loop = threading.Thread(target=_turn_loop, name="libvirt-events", daemon=True)
            _loop.start()


def _turn_loop() -> None:
    while True:
        libvirt.virEventRunDefaultImpl()
