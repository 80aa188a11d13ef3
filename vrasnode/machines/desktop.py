"""The client VM: keeps it running, switches it to a staged version, goes back from an unhealthy one.

stopped -> (staged? checked, switched) -> starting -> healthy
                                          starting -> not healthy, 3 times -> the version before

The pointer says what is current and how often it was started; libvirt says what runs. Both outlive this
process, so the next one goes on where this one ended. What is staged, and how, is `imaging`'s.
"""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from vrasnode.domainxml import Accelerator, ClientVm, Mark, client_vm_xml
from vrasnode.errors import HostBroken, Refused, Unreachable, VrasError
from vrasnode.host import disk
from vrasnode.imaging.slots import Boot, Slots, Version
from vrasnode.machines.grants import Grantor, Grants
from vrasnode.machines.hypervisor import Answer, MachineState
from vrasnode.machines.postponing import Postponing
from vrasnode.machines.shape import Machine
from vrasnode.machines.switching import Ending, StagedCheck
from vrasnode.wire.imaging import Apply, DeliveryReport, DeliveryStage, Health

log = logging.getLogger("vrasnode.desktop")

NAME = "client-vm"
MAX_STARTS = 3
SHUT_DOWN_S = 60.0
LOOK_S = 5.0  # between looks at a machine of which nothing was heard
ASK_S = 1.0  # between questions to a guest that starts
ANSWER_S = 10.0  # for one run of the health command
BETWEEN_STARTS_S = 5.0
WHEN_HOPELESS_S = 60.0  # between starts of a version that was given up, for want of another


class Machines(Protocol):
    """The hypervisor, as far as one client VM needs it."""

    def start(self, vm_xml: str) -> None: ...
    def shut_down(self, name: str) -> None: ...
    def destroy(self, name: str) -> None: ...
    def state(self, name: str) -> MachineState: ...
    def metadata(self, name: str) -> Mark | None: ...
    def ping(self, name: str) -> bool: ...
    def ask(self, name: str, command: Sequence[str], *, timeout_s: float) -> Answer: ...


class Desktop:
    """The part. `clock` counts seconds and never goes back; `report` takes reports and whether to keep them
    over a kill; `make_overlay` puts a fresh disk over a base image; `grantor` says what of the PC a start may
    have, `is_held` whether it had better wait: the virtual server is about to be up; `is_routed` whether it
    gets a card for Wi-Fi; `on_ended` hears that its user has shut it down, and says whether it stays off;
    `postponing` says when a staged version may take over."""

    name = "desktop"

    def __init__(
        self,
        directory: Path,
        *,
        slots: Slots,
        machines: Machines,
        machine: Machine,
        grantor: Grantor,
        is_held: Callable[[], bool] = lambda: False,
        is_routed: Callable[[], bool] = lambda: False,
        on_ended: Callable[[], bool] = lambda: False,
        postponing: Postponing | None = None,
        accelerator: Accelerator,
        direct_io: bool,
        make_overlay: Callable[[Path, Path], None],
        report: Callable[[DeliveryReport, bool], None],
        clock: Callable[[], float],
        threads: int,
        io_uring: bool = False,
    ) -> None:
        disk.make_directory(directory, mode=0o711)
        self._directory = directory.resolve()
        self._slots = slots
        self._machines = machines
        self._machine = machine
        self._grantor = grantor
        self._is_held = is_held
        self._is_routed = is_routed
        self._on_ended = on_ended
        self._stays_off = False
        self._postponing = postponing
        self._accelerator = accelerator
        self._direct_io = direct_io
        self._io_uring = io_uring
        self._make_overlay = make_overlay
        self._report = report
        self._clock = clock
        self._start = Start(clock())
        self._look_at = clock()
        self._running: Mark | None = None
        self._state = MachineState.ABSENT
        self._check = StagedCheck(slots, clock=clock, threads=threads, log=log)
        self._ending = Ending(machines, NAME, limit_s=SHUT_DOWN_S, clock=clock, log=log)
        self._tidied: Boot | None = None

    @property
    def summary(self) -> tuple[str, str | None]:
        """What the client VM does, in the words of a heartbeat, and which version (digest) it runs."""
        current = self._slots.boot.current
        if self._running is None:
            return ("stopped" if current else "absent"), None
        return ("running" if current and current.proven else "starting"), self._running.manifest

    def nudge(self) -> None:
        """Something happened to a machine: look at the next step. May be called from any thread."""
        self._look_at = float("-inf")

    def step(self) -> bool:
        """One bite; whether there is more to do at once."""
        boot = self._slots.boot
        if boot.current is None and boot.next is None:
            return False
        if not self._check.under_way and self._clock() < self._look_at and self._tidied is boot:
            return False
        self._look_at = self._clock() + LOOK_S
        self._tidy(boot)
        self._state = self._machines.state(NAME)
        if self._state in (MachineState.RUNNING, MachineState.PAUSED):
            return self._while_running()
        if self._was_shut_down():
            self._stays_off = self._on_ended()
        self._running = None
        self._ending.over()
        return self._while_stopped()

    def close(self) -> None:
        """The machine runs on."""
        self._check.close()

    def _while_running(self) -> bool:
        current = self._slots.boot.current
        if self._running is None:
            self._running = self._machines.metadata(NAME)
        if current is None or self._running is None or self._running.manifest != current.manifest:
            log.warning("%s runs something that is not this PC's current version", NAME)
            return self._end_run()
        if not current.proven:
            return self._watch(current)
        if not current.told:
            self._tell(current.serial, DeliveryStage.BOOTED)
            self._slots.mark(proven=True, told=True)
        if self._grantor.on_trial:
            return self._watch_devices(current)
        staged = self._slots.boot.next
        if staged and self._is_due(staged):
            return self._end_run()
        return False

    def _is_due(self, staged: Version) -> bool:
        return self._postponing.due(staged) if self._postponing else staged.apply is Apply.NOW

    def _may_switch(self, boot: Boot) -> bool:
        """A PC that has nothing else to run does not wait."""
        return boot.next is not None and (
            self._postponing is None or boot.current is None or self._postponing.may(boot.next)
        )

    def _end_run(self) -> bool:
        self._look_at = self._clock() + ASK_S
        if self._ending.go_on():
            self.nudge()
            return True
        return False

    def _watch(self, current: Version) -> bool:
        """A start that was not healthy yet."""
        start, boot = self._start, self._slots.boot
        if boot.next and self._is_due(boot.next) and boot.previous is None:
            return self._end_run()  # nothing is lost by trying that one
        if self._healthy(current.health):
            boot_s = round(self._clock() - start.begun, 1) if start.ours else None
            log.info("%s is healthy (serial %d, %s s)", current.manifest[:12], current.serial, boot_s or "?")
            self._tell(current.serial, DeliveryStage.BOOTED, boot_s=boot_s)
            self._slots.mark(proven=True, told=True)
            self._grantor.proven()
            return True
        if self._clock() - start.begun < current.health.within_s:
            self._look_at = self._clock() + ASK_S
            return False
        if boot.starts >= MAX_STARTS and boot.previous is None:
            self._resign(current)
            return False
        log.warning("start %d of %s did not become healthy", boot.starts, current.manifest[:12])
        self._grantor.unproven()
        self.nudge()
        self._machines.destroy(NAME)
        return True

    def _watch_devices(self, current: Version) -> bool:
        """A version that is known to be good, started with devices that are not."""
        if self._healthy(current.health):
            self._grantor.proven()
            return True
        if self._clock() - self._start.begun < current.health.within_s:
            self._look_at = self._clock() + ASK_S
            return False
        log.warning("%s did not become healthy with other devices than before", current.manifest[:12])
        self._grantor.unproven()
        self.nudge()
        self._machines.destroy(NAME)
        return True

    def _healthy(self, health: Health) -> bool:
        if not health.agent:
            return self._clock() - self._start.begun >= health.within_s
        if not self._machines.ping(NAME):
            return False
        self._start.answered = True
        if not health.command:
            return True
        try:
            answer = self._machines.ask(NAME, health.command, timeout_s=ANSWER_S)
        except Unreachable:
            return False
        self._start.words = answer.errors.decode(errors="replace").strip()[:200]
        return answer.exit_code == 0

    def _was_shut_down(self) -> bool:
        """Whether a sound machine that we saw running was ended from inside, in order."""
        current = self._slots.boot.current
        sound = self._running is not None and current is not None and current.proven
        return sound and self._state is MachineState.STOPPED and not self._ending.asked

    def _while_stopped(self) -> bool:
        boot = self._slots.boot
        if self._stays_off:
            return False
        if self._clock() < self._start.not_before:
            self._look_at = self._start.not_before
            return False
        if self._is_held():
            self._look_at = self._clock() + ASK_S
            return False
        if boot.next and self._may_switch(boot):
            return self._switch(boot.next)
        current = boot.current
        if current and not current.proven and boot.starts >= MAX_STARTS:
            if boot.previous:
                self._go_back(current, boot.previous)
                return True
            self._resign(current)
        if current:
            self._begin(current)
        return True

    def _switch(self, staged: Version) -> bool:
        if self._check.sound(staged):
            self._take_over(staged)
        return True

    def _take_over(self, staged: Version) -> None:
        try:
            self._make_overlay(self._slots.image(staged.slot), self._overlay(staged))
        except HostBroken as error:  # the disk is full, say: the current version can still be started
            self._tell(staged.serial, DeliveryStage.FAILED, error=error)
            self._slots.fail(staged.serial, error)
            raise
        self._begin(self._slots.switch())

    def _begin(self, current: Version) -> None:
        """Starts the machine on the current version."""
        overlay = self._overlay(current)
        if not overlay.exists():
            self._make_overlay(self._slots.image(current.slot), overlay)
        hopeless = not current.proven and self._slots.boot.starts >= MAX_STARTS
        if not current.proven and not hopeless:
            self._slots.count_start()
        self._look_at = self._clock() + ASK_S
        self._start = Start(self._clock(), ours=True)
        self._start.not_before += WHEN_HOPELESS_S if hopeless else BETWEEN_STARTS_S
        try:
            self._start_with_less(current, overlay)
        except VrasError as error:
            self._start.words = error.words
            raise
        count = "" if current.proven else f", start {self._slots.boot.starts}"
        log.info("started %s (serial %d%s)", current.manifest[:12], current.serial, count)

    def _start_with_less(self, current: Version, overlay: Path) -> None:
        """With all that is granted; when the PC cannot pass it through, with what is left."""
        while True:
            grants = self._grantor.for_start()
            try:
                self._machines.start(client_vm_xml(self._definition(current, overlay, grants)))
            except VrasError as error:
                if not self._grantor.failed(error):
                    raise
            else:
                return

    def _go_back(self, failed: Version, previous: Version) -> None:
        error = self._start.failure(failed, "The version before it runs again.")
        self._tell(failed.serial, DeliveryStage.FAILED, error=error, running=previous.manifest)
        self._slots.go_back(error)
        log.warning("went back to %s: %s", previous.manifest[:12], error)

    def _resign(self, current: Version) -> None:
        """There is no version to go back to: it is left as it is, watched on, and told once."""
        known = self._slots.boot.failed
        if known is None or known.serial != current.serial:
            error = self._start.failure(current, "This PC has no other version; send it one that works.")
            self._tell(current.serial, DeliveryStage.FAILED, error=error)
            self._slots.fail(current.serial, error)
            log.warning("%s", error)

    def _definition(self, current: Version, overlay: Path, grants: Grants) -> ClientVm:
        return self._machine.client_vm(
            name=NAME,
            directory=self._directory,
            disk=overlay,
            mark=Mark(manifest=current.manifest, serial=current.serial),
            grants=grants,
            accelerator=self._accelerator,
            direct_io=self._direct_io,
            io_uring=self._io_uring,
            routed=self._is_routed(),
        )

    def _overlay(self, version: Version) -> Path:
        return self._directory / version.overlay

    def _tidy(self, boot: Boot) -> None:
        """Removes the overlays of versions that nobody goes back to."""
        if boot is self._tidied:
            return
        kept = {version.overlay for version in (boot.current, boot.next, boot.previous) if version}
        with disk.told("Old overlays cannot be removed"):
            for path in self._directory.glob("*.qcow2"):
                if path.name not in kept:
                    path.unlink()
        self._tidied = boot

    def _tell(
        self,
        serial: int,
        stage: DeliveryStage,
        *,
        boot_s: float | None = None,
        error: VrasError | None = None,
        running: str | None = None,
    ) -> None:
        running = running or (self._running.manifest if self._running else None)
        message = DeliveryReport(
            serial=serial,
            stage=stage,
            boot_s=boot_s,
            refetched_chunks=self._slots.boot.spoiled,
            code=error.code if error else "",
            words=error.words if error else "",
            running=running,
        )
        self._report(message, True)


class Start:
    """What is known of the last start. `ours`: this process began it, so its length is known."""

    def __init__(self, begun: float, *, ours: bool = False) -> None:
        self.begun = begun
        self.ours = ours
        self.answered = False
        self.words = ""  # of the guest's health command, or of libvirt
        self.not_before = begun  # the next start, if this one ends

    def failure(self, version: Version, next_step: str) -> VrasError:
        """Why this version is given up after its last start."""
        command, limit = " ".join(version.health.command), version.health.within_s
        detail = f" ({self.words})" if self.words else ""
        if not version.health.agent:
            words = f"The machine ended within {limit} s in {MAX_STARTS} starts{detail}. {next_step}"
            return Refused("ended_early", words)
        if not self.answered:
            words = f"The guest did not answer within {limit} s in {MAX_STARTS} starts{detail}. {next_step}"
            return Refused("no_answer", words)
        words = f"`{command}` did not succeed within {limit} s in {MAX_STARTS} starts{detail}. {next_step}"
        return Refused("unhealthy", words)
