"""The virtual server: keeps it running before and beside the client VM, changes its version when that is due.

stopped -> (staged? checked, switched) -> starting -> up
                                          starting -> silent, MAX_STARTS times -> the version before
up -> dies, or silent for long -> stopped -> starting …

As with the client VM the pointer says what is current and libvirt what runs; both outlive this process. The
machine is healthy when the program inside answers. It starts from its image itself, read-only: there is no
overlay, and what it knows it is told anew after each start. Nothing here looks at the client VM: the death of
one machine is not that of the other. What is staged, and how, is `imaging`'s.
"""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Protocol
from uuid import UUID

from vrasnode.domainxml import Accelerator, Mark, Nic, ServiceVm, service_vm_xml
from vrasnode.errors import Refused, VrasError
from vrasnode.host import disk
from vrasnode.imaging.slots import Slots, Version
from vrasnode.machines.controlchannel import Channel, Pulse
from vrasnode.machines.hypervisor import MachineState
from vrasnode.machines.switching import Ending, StagedCheck
from vrasnode.wire.codec import Message
from vrasnode.wire.imaging import Apply, DeliveryReport, DeliveryStage

log = logging.getLogger("vrasnode.virtualserver")

NAME = "virtual-server"
MAX_STARTS = 2  # of a new version: it holds nothing of the user's, so what fails once fails again
SHUT_DOWN_S = 30.0
LOOK_S = 5.0  # between looks at a machine that is up
ASK_S = 0.5  # between looks at one that starts or ends
HUNG_S = 180.0  # of silence after which a machine that was up is switched off and started again
FIRST_WAIT_S, LONGEST_WAIT_S = 2.0, 60.0  # between starts: twice as long after each that came to nothing
CLIENT_WAIT_S = 60.0  # how long a client VM's start is held back for it


class Machines(Protocol):
    """The hypervisor, as far as the virtual server needs it."""

    def start(self, vm_xml: str) -> None: ...
    def shut_down(self, name: str) -> None: ...
    def destroy(self, name: str) -> None: ...
    def state(self, name: str) -> MachineState: ...
    def metadata(self, name: str) -> Mark | None: ...


class ServiceMachine(Message, frozen=True):
    """How big this PC's virtual server is: its floor, which nobody else gets."""

    uuid: UUID
    memory_mib: int = 256
    vcpus: int = 1


class VirtualServer:
    """The part. `channel` leads to the socket `control` in `directory`. `routed` is the card for Wi-Fi, for a
    machine that starts while `is_routed`. `idle` says whether nobody would miss the machine now; `report`
    takes reports and whether to keep them over a kill; `clock` counts seconds and never goes back."""

    name = "virtualserver"

    def __init__(
        self,
        directory: Path,
        *,
        slots: Slots,
        machines: Machines,
        channel: Channel,
        machine: ServiceMachine,
        accelerator: Accelerator,
        direct_io: bool,
        lan: Nic | None,
        internal: Nic | None,
        routed: Nic | None = None,
        is_routed: Callable[[], bool] = lambda: False,
        idle: Callable[[], bool],
        report: Callable[[DeliveryReport, bool], None],
        clock: Callable[[], float],
        threads: int,
    ) -> None:
        disk.make_directory(directory, mode=0o711)
        self._directory = directory.resolve()
        self._slots = slots
        self._machines = machines
        self._channel = channel
        self._machine = machine
        self._accelerator = accelerator
        self._direct_io = direct_io
        self._lan = lan
        self._internal = internal
        self._routed = routed
        self._is_routed = is_routed
        self._idle = idle
        self._report = report
        self._clock = clock
        self._began = self._down_since = clock()
        self._look_at = clock()
        self._running: Mark | None = None
        self._ours = False  # whether this process began the run, so that its length is known
        self._pulse = Pulse(channel, clock=clock, greet=self._greet)
        self._not_before = clock()
        self._wait_s = FIRST_WAIT_S
        self._trouble = ""  # why the last start failed, in libvirt's words
        self._check = StagedCheck(slots, clock=clock, threads=threads, log=log)
        self._ending = Ending(machines, NAME, limit_s=SHUT_DOWN_S, clock=clock, log=log)

    @property
    def up(self) -> bool:
        """Whether the program inside answers."""
        return self._running is not None and self._pulse.up

    @property
    def awaited(self) -> bool:
        """Whether a client VM had better wait: this one is about to be up, and its turn is first."""
        boot = self._slots.boot
        if self.up or (boot.current is None and boot.next is None):
            return False
        return self._clock() - self._down_since < CLIENT_WAIT_S

    @property
    def summary(self) -> tuple[str, str | None]:
        """What the virtual server does, and which version (digest) it runs."""
        if self._running is None:
            return ("stopped" if self._slots.boot.current else "absent"), None
        return ("running" if self.up else "starting"), self._running.manifest

    def nudge(self) -> None:
        """Something happened to a machine: look at the next step. May be called from any thread."""
        self._look_at = float("-inf")

    def step(self) -> bool:
        """One bite; whether there is more to do at once."""
        boot = self._slots.boot
        if boot.current is None and boot.next is None:
            self._down_since = self._clock()
            return False
        if not self._check.under_way and self._clock() < self._look_at:
            return False
        self._look_at = self._clock() + (LOOK_S if self.up else ASK_S)
        if self._machines.state(NAME) in (MachineState.RUNNING, MachineState.PAUSED):
            return self._while_running()
        self._forget_run()
        return self._while_stopped()

    def close(self) -> None:
        """The machine runs on."""
        self._check.close()
        self._channel.close()

    def _while_running(self) -> bool:
        current, staged = self._slots.boot.current, self._slots.boot.next
        if self._running is None:
            self._running = self._machines.metadata(NAME)
        if current is None or self._running is None or self._running.manifest != current.manifest:
            log.warning("%s runs something that is not this PC's current version", NAME)
            return self._end_run()
        if self._ending.asked:
            return self._end_run()
        self._pulse.feel()
        if self._pulse.up:
            self._is_up(current)
        if staged and (staged.apply is Apply.NOW or self._idle()):
            return self._end_run()
        return self._look_at_silence(current)

    def _is_up(self, current: Version) -> None:
        self._wait_s, self._down_since = FIRST_WAIT_S, self._clock()
        if current.proven and current.told:
            return
        boot_s = round(self._clock() - self._began, 1) if self._ours and not current.proven else None
        log.info("%s is up (serial %d, %s s)", current.manifest[:12], current.serial, boot_s or "?")
        self._tell(current.serial, DeliveryStage.BOOTED, boot_s=boot_s)
        self._slots.mark(proven=True, told=True)

    def _greet(self) -> None:
        """A program that has just begun knows nothing yet."""
        if self._internal is not None:
            self._channel.begin("serve", mac=self._internal.mac)

    def _look_at_silence(self, current: Version) -> bool:
        """A machine that does not answer is switched off in the end: nobody sits in front of it."""
        limit = HUNG_S if current.proven else current.health.within_s
        if self._clock() - max(self._pulse.heard_at, self._began) < limit:
            return False
        log.warning("%s has been silent for %.0f s and is switched off", NAME, limit)
        self.nudge()
        self._ending.at_once()
        return True

    def _end_run(self) -> bool:
        self._look_at = self._clock() + ASK_S
        if self._ending.go_on():
            self.nudge()
            return True
        return False

    def _forget_run(self) -> None:
        if self._running is not None and not self._ending.asked:
            log.warning("%s has ended by itself", NAME)
        self._running = None
        self._ending.over()
        self._pulse.forget()

    def _while_stopped(self) -> bool:
        boot = self._slots.boot
        current = boot.current
        if boot.next:
            return self._switch(boot.next)
        if current and not current.proven and boot.starts >= MAX_STARTS:
            if boot.previous:
                self._go_back(current, boot.previous)
                return True
            self._resign(current)
        if self._clock() < self._not_before:
            self._look_at = self._not_before
            return False
        if current:
            self._begin(current)
        return True

    def _switch(self, staged: Version) -> bool:
        if self._check.sound(staged):
            self._begin(self._slots.switch())
        return True

    def _begin(self, current: Version) -> None:
        """Starts the machine on the current version."""
        if not current.proven and self._slots.boot.starts < MAX_STARTS:
            self._slots.count_start()
        self._began, self._ours = self._clock(), True
        self._look_at = self._clock() + ASK_S
        self._not_before = self._clock() + self._wait_s
        self._wait_s = min(2 * self._wait_s, LONGEST_WAIT_S)
        self._trouble = ""
        try:
            self._machines.start(service_vm_xml(self._definition(current)))
        except VrasError as error:
            self._trouble = error.words
            raise
        log.info("started %s (serial %d)", current.manifest[:12], current.serial)

    def _go_back(self, failed: Version, previous: Version) -> None:
        error = self._failure(failed, "The version before it runs again.")
        self._tell(failed.serial, DeliveryStage.FAILED, error=error)
        self._slots.go_back(error)
        self._wait_s, self._not_before = FIRST_WAIT_S, self._clock()
        log.warning("went back to %s: %s", previous.manifest[:12], error)

    def _resign(self, current: Version) -> None:
        """There is no version to go back to: it is started on and on, ever more seldom, and told once."""
        known = self._slots.boot.failed
        if known is None or known.serial != current.serial:
            error = self._failure(current, "This PC has no other version; send it one that works.")
            self._tell(current.serial, DeliveryStage.FAILED, error=error)
            self._slots.fail(current.serial, error)
            log.warning("%s", error)

    def _failure(self, version: Version, next_step: str) -> VrasError:
        limit, detail = version.health.within_s, f" ({self._trouble})" if self._trouble else ""
        words = (
            f"The virtual server did not answer within {limit} s in {MAX_STARTS} starts{detail}. {next_step}"
        )
        return Refused("no_answer", words)

    def _definition(self, current: Version) -> ServiceVm:
        return ServiceVm(
            name=NAME,
            uuid=self._machine.uuid,
            memory_bytes=self._machine.memory_mib << 20,
            vcpus=self._machine.vcpus,
            accelerator=self._accelerator,
            disk=self._slots.image(current.slot).resolve(),
            console_log=self._directory / "console.log",
            mark=Mark(manifest=current.manifest, serial=current.serial),
            control_socket=control_socket(self._directory),
            lan=self._lan,
            internal=self._internal,
            routed=self._routed if self._is_routed() else None,
            direct_io=self._direct_io,
        )

    def _tell(
        self,
        serial: int,
        stage: DeliveryStage,
        *,
        boot_s: float | None = None,
        error: VrasError | None = None,
    ) -> None:
        message = DeliveryReport(
            serial=serial,
            stage=stage,
            boot_s=boot_s,
            refetched_chunks=self._slots.boot.spoiled,
            code=error.code if error else "",
            words=error.words if error else "",
        )
        self._report(message, True)


def control_socket(directory: Path) -> Path:
    """Where the line to the program inside begins."""
    return directory / "control"
