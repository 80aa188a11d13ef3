"""The PC's libvirt: starts, stops, watches and questions machines. The only module that imports libvirt.

libvirtd owns the machines: this process may die, and the next one finds them running and asks each what it
is (`metadata`). libvirtd may go away and come back as well: the connection is made when it is needed, and
made again. Disk overlays are made here too, for qemu-img belongs to the same world.

What a machine looks like is said in `domainxml`; when one should run is decided by `desktop`.
"""

import base64
import json
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import libvirt
import libvirt_qemu

from vrasnode.disk import sync_directory, told
from vrasnode.domainxml import Mark, mark_of
from vrasnode.errors import HostBroken, Unreachable

KEEPALIVE_MISSES = 3
POLL_S = 0.1


class MachineState(StrEnum):
    RUNNING = "running"
    PAUSED = "paused"  # by someone, or because its disk had no room to write
    STOPPED = "stopped"
    CRASHED = "crashed"  # ended without being asked
    ABSENT = "absent"  # libvirt knows no such machine


@dataclass(frozen=True)
class Answer:
    """What a command inside a guest ended with. Ended by a signal: 128 + its number; not started: 127."""

    exit_code: int
    output: bytes
    errors: bytes = b""


class Hypervisor:
    """One libvirtd, by its URI. Every method raises HostBroken(libvirt_gone) while it does not answer.

    `agent_timeout_s` bounds one exchange with a guest agent, `patience_s` the wait for a libvirtd that hangs;
    both in whole seconds. Safe to use from several threads.
    """

    def __init__(
        self,
        uri: str,
        *,
        agent_timeout_s: int = 3,
        patience_s: int = 20,
        clock: Callable[[], float] = time.monotonic,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self.uri = uri
        self._agent_timeout_s = agent_timeout_s
        self._patience_s = patience_s
        self._clock = clock
        self._pause = pause
        self._lock = threading.Lock()
        self._connection: Any = None
        self._opening: Future[Any] | None = None
        self._watches: list[int] = []
        self._listeners: list[Callable[[str], None]] = []

    def start(self, vm_xml: str) -> None:
        """Makes the machine of this definition run. One of that name that runs already is left alone.

        Raises HostBroken(machine_start_failed).
        """
        name = ElementTree.fromstring(vm_xml).findtext("name", "")  # noqa: S314 - made by domainxml
        with self._libvirt("machine_start_failed", f"Machine {name} cannot be started") as libvirtd:
            machine = _find(libvirtd, name)
            if machine is not None and machine.isActive():
                return
            if machine is not None:
                _forget(machine)
            machine = libvirtd.defineXMLFlags(vm_xml, libvirt.VIR_DOMAIN_DEFINE_VALIDATE)
            machine.create()

    def shut_down(self, name: str) -> None:
        """Asks the guest to shut down, for at most `agent_timeout_s`; a machine that is off stays off.

        It is asked by the power button (ACPI) and by its agent: desktops may ignore the one, guests without
        an agent know only the other. Whoever wants to be sure looks at `state` and ends with `destroy`.
        """
        with self._libvirt("machine_stop_failed", f"Machine {name} cannot be shut down") as libvirtd:
            machine = _find(libvirtd, name)
            if machine is None or not machine.isActive():
                return
            with _unless_off():
                machine.shutdownFlags(libvirt.VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN)
        with suppress(Unreachable):  # a guest that goes does not answer
            self._agent(name, "guest-shutdown", {"mode": "powerdown"})

    def destroy(self, name: str) -> None:
        """Switches the machine off at once, as if its plug was pulled. Off or absent: nothing to do."""
        with self._libvirt("machine_stop_failed", f"Machine {name} cannot be switched off") as libvirtd:
            machine = _find(libvirtd, name)
            if machine is None:
                return
            with _unless_off():
                machine.destroy()

    def state(self, name: str) -> MachineState:
        """What the machine does now."""
        with self._libvirt("libvirt_failed", f"The state of machine {name} is not known") as libvirtd:
            machine = _find(libvirtd, name)
            return MachineState.ABSENT if machine is None else _state(*machine.state())

    def metadata(self, name: str) -> Mark | None:
        """What the machine was defined to run; None when it is absent or not one of ours."""
        with self._libvirt("libvirt_failed", f"Machine {name} does not say what it runs") as libvirtd:
            machine = _find(libvirtd, name)
            return None if machine is None else mark_of(machine.XMLDesc())

    def ping(self, name: str) -> bool:
        """Whether the agent inside the guest answers within `agent_timeout_s`."""
        try:
            self._agent(name, "guest-ping")
        except Unreachable:
            return False
        return True

    def ask(self, name: str, command: Sequence[str], *, timeout_s: float) -> Answer:
        """Runs a command inside the guest and returns how it ended.

        When nobody answers in time the command may have run or not: ask only what may be asked twice. Raises
        Unreachable: guest_silent (no agent answers) or guest_busy (the command still runs after `timeout_s`).
        """
        deadline = self._clock() + timeout_s
        call = {"path": command[0], "arg": list(command[1:]), "capture-output": True}
        try:
            started = self._agent(name, "guest-exec", call)
        except _AgentRefused as error:
            return Answer(exit_code=127, output=b"", errors=error.words.encode())
        while self._clock() < deadline:
            with suppress(Unreachable):  # a guest under load answers the next time
                status = self._agent(name, "guest-exec-status", {"pid": started["pid"]})
                if status["exited"]:
                    return _answer(status)
            self._pause(POLL_S)
        raise Unreachable("guest_busy", f"{command[0]} in {name} did not end within {timeout_s:.0f} s.")

    def on_change(self, callback: Callable[[str], None]) -> None:
        """Calls `callback` with a machine's name whenever it, or its agent, comes or goes.

        From a thread of this module, and only as a nudge: what happened while libvirtd was away is not told.
        """
        with self._lock:
            self._listeners.append(callback)
        with suppress(HostBroken), self._libvirt("libvirt_failed", "Machines cannot be watched"):
            pass  # connected now, so that events come before the first other call

    def close(self) -> None:
        """Lets go of libvirtd; machines run on."""
        with self._lock:
            self._drop()

    def _agent(self, name: str, command: str, arguments: Mapping[str, Any] | None = None) -> Any:
        """What the guest agent returns. Raises Unreachable(guest_silent); _AgentRefused when it says no."""
        request = json.dumps({"execute": command, **({"arguments": arguments} if arguments else {})})
        with self._libvirt("libvirt_failed", f"The agent of {name} cannot be asked") as libvirtd:
            machine = _find(libvirtd, name)
            if machine is None:
                raise Unreachable("guest_silent", f"Machine {name} is absent.")
            try:
                reply = libvirt_qemu.qemuAgentCommand(machine, request, self._agent_timeout_s, 0)
            except libvirt.libvirtError as error:
                if (no_answer := _no_answer(name, error)) is None:
                    raise
                raise no_answer from error
        return json.loads(reply)["return"]

    @contextmanager
    def _libvirt(self, code: str, words: str) -> Iterator[Any]:
        """A live connection; what libvirt says no to becomes HostBroken(`code`), its absence libvirt_gone."""
        libvirtd = self._connected()
        try:
            yield libvirtd
        except libvirt.libvirtError as error:
            if _alive(libvirtd):
                raise HostBroken(code, f"{words}: {error.get_error_message()}.") from error
            raise self._gone(error) from error

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
        events = (libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, libvirt.VIR_DOMAIN_EVENT_ID_AGENT_LIFECYCLE)
        self._watches = [
            connection.domainEventRegisterAny(None, event, self._changed, None) for event in events
        ]
        return connection

    def _changed(self, _libvirtd: Any, machine: Any, *_details: Any) -> None:
        for listener in list(self._listeners):
            listener(machine.name())

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


def make_overlay(base: Path, overlay: Path) -> None:
    """A fresh qcow2 disk over the raw image `base`, in place of what was at `overlay`: whole or not at all.

    Raises HostBroken(overlay_failed, disk_full, disk_failed).
    """
    part = overlay.with_name(f"{overlay.name}.part")
    create = ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", str(base.resolve()), str(part)]
    with told(f"The overlay {overlay} cannot be made"):
        part.unlink(missing_ok=True)
        done = subprocess.run(create, capture_output=True, text=True, check=False)
        if done.returncode:
            raise HostBroken("overlay_failed", f"No overlay on {base}: {done.stderr.strip()}.")
        with part.open("rb") as file:
            os.fsync(file.fileno())
        part.replace(overlay)
        sync_directory(overlay.parent)


class _AgentRefused(Unreachable):
    """The guest's agent answers, and says no."""


def _no_answer(name: str, error: Any) -> Unreachable | None:
    """What a failed call of an agent means: silence, or its own no. None: the trouble is libvirt's."""
    silence = {
        libvirt.VIR_ERR_AGENT_UNRESPONSIVE,
        libvirt.VIR_ERR_AGENT_UNSYNCED,
        getattr(libvirt, "VIR_ERR_AGENT_COMMAND_TIMEOUT", None),  # libvirt 11.2 and later
        libvirt.VIR_ERR_OPERATION_INVALID,  # the machine is off
        libvirt.VIR_ERR_OPERATION_TIMEOUT,  # another call holds the machine
    }
    words = f"The agent in machine {name} did not answer: {error.get_error_message()}."
    if error.get_error_code() in silence:
        return Unreachable("guest_silent", words)
    if error.get_error_domain() == libvirt.VIR_FROM_QEMU:
        return _AgentRefused("guest_refused", words)
    return None


def _answer(status: Mapping[str, Any]) -> Answer:
    """From the reply of guest-exec-status (QEMU guest agent protocol)."""
    return Answer(
        exit_code=status.get("exitcode", 128 + status.get("signal", 0)),
        output=base64.b64decode(status.get("out-data", "")),
        errors=base64.b64decode(status.get("err-data", "")),
    )


def _find(libvirtd: Any, name: str) -> Any:
    try:
        return libvirtd.lookupByName(name)
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
            return None
        raise


@contextmanager
def _unless_off() -> Iterator[None]:
    """A machine may end by itself just before it is told to."""
    try:
        yield
    except libvirt.libvirtError as error:
        if error.get_error_code() != libvirt.VIR_ERR_OPERATION_INVALID:
            raise


def _forget(machine: Any) -> None:
    """Removes the definition but not the firmware's settings. A memory image that someone saved goes as well:
    resumed over a disk that was made anew it would destroy the guest's file system."""
    machine.undefineFlags(libvirt.VIR_DOMAIN_UNDEFINE_KEEP_NVRAM | libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE)


def _state(state: int, reason: int) -> MachineState:
    if state in (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PMSUSPENDED):
        return MachineState.PAUSED
    if state == libvirt.VIR_DOMAIN_CRASHED:
        return MachineState.CRASHED
    if state != libvirt.VIR_DOMAIN_SHUTOFF:
        return MachineState.RUNNING
    unasked = (
        libvirt.VIR_DOMAIN_SHUTOFF_CRASHED,
        libvirt.VIR_DOMAIN_SHUTOFF_FAILED,
        libvirt.VIR_DOMAIN_SHUTOFF_DAEMON,
    )
    return MachineState.CRASHED if reason in unasked else MachineState.STOPPED


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
