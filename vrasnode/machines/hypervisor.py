"""The PC's machines under libvirt: starts, stops, watches and questions them, plugs and unplugs devices.

libvirtd owns the machines: this process may die, and the next one finds them running and asks each what it
is (`metadata`), whether it still is as it was defined (`edited`) and what hangs on it (`attached`).

What a machine looks like is said in `domainxml`; when one should run is decided by `desktop`, what it may
have by `devices`. The line to libvirtd is `libvirtd`'s.
"""

import base64
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from enum import StrEnum
from typing import Any
from xml.etree import ElementTree

import libvirt

from vrasnode.domainxml import Attached, Mark, attached_of, card_with_link, is_favoured, mark_of, seal_of
from vrasnode.errors import HostBroken, Unreachable
from vrasnode.machines import networks
from vrasnode.machines.guestagent import AgentRefused, Answer, GuestAgents, answer_of
from vrasnode.machines.libvirtd import Libvirtd, find_machine
from vrasnode.machines.overlay import make_overlay

__all__ = ["Answer", "Hypervisor", "MachineState", "blames_device", "make_overlay"]

POLL_S = 0.1
SEAL = "urn:openvras:seal:1"

_HOST_DEVICE = re.compile(
    r"\b(pci|usb|host) devices?\b|/bus/(pci|usb)\b|\bvfio|\biommu|hostdev|pass-?through|locked memory",
    re.IGNORECASE,
)


class MachineState(StrEnum):
    RUNNING = "running"
    PAUSED = "paused"  # by someone, or because its disk had no room to write
    STOPPED = "stopped"
    CRASHED = "crashed"  # ended without being asked
    ABSENT = "absent"  # libvirt knows no such machine


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
        self._libvirtd = Libvirtd(uri, patience_s=patience_s)
        self._agents = GuestAgents(self._libvirtd, timeout_s=agent_timeout_s)
        self._clock = clock
        self._pause = pause

    def start(self, vm_xml: str) -> None:
        """Makes the machine of this definition run. One of that name that runs already is left alone.

        Raises HostBroken: pass_through_failed when a device of the PC is why it cannot, machine_start_failed.
        """
        name = _name(vm_xml)
        with self._libvirtd.session("machine_start_failed", f"Machine {name} cannot be started") as libvirtd:
            machine = find_machine(libvirtd, name)
            if machine is not None and machine.isActive():
                return
            if machine is not None:
                _forget(machine)
            machine = libvirtd.defineXMLFlags(vm_xml, libvirt.VIR_DOMAIN_DEFINE_VALIDATE)
            _seal(machine, libvirtd.getLibVersion())
            with _blaming_devices(f"Machine {name} cannot be started with its devices", vm_xml):
                machine.create()
            if is_favoured(vm_xml):
                _favour(machine)

    def shut_down(self, name: str) -> None:
        """Asks the guest to shut down, for at most `agent_timeout_s`; a machine that is off stays off.

        It is asked by the power button (ACPI) and by its agent: desktops may ignore the one, guests without
        an agent know only the other. Whoever wants to be sure looks at `state` and ends with `destroy`.
        """
        with self._libvirtd.session("machine_stop_failed", f"Machine {name} cannot be shut down") as libvirtd:
            machine = find_machine(libvirtd, name)
            if machine is None or not machine.isActive():
                return
            with _unless_off():
                machine.shutdownFlags(libvirt.VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN)
        with suppress(Unreachable):  # a guest that goes does not answer
            self._agents.call(name, "guest-shutdown", {"mode": "powerdown"})

    def destroy(self, name: str) -> None:
        """Switches the machine off at once, as if its plug was pulled. Off or absent: nothing to do."""
        words = f"Machine {name} cannot be switched off"
        with self._libvirtd.session("machine_stop_failed", words) as libvirtd:
            machine = find_machine(libvirtd, name)
            if machine is None:
                return
            with _unless_off():
                machine.destroy()

    def state(self, name: str) -> MachineState:
        """What the machine does now."""
        words = f"The state of machine {name} is not known"
        with self._libvirtd.session("libvirt_failed", words) as libvirtd:
            machine = find_machine(libvirtd, name)
            return MachineState.ABSENT if machine is None else _state(*machine.state())

    def metadata(self, name: str) -> Mark | None:
        """What the machine was defined to run; None when it is absent or not one of ours."""
        words = f"Machine {name} does not say what it runs"
        with self._libvirtd.session("libvirt_failed", words) as libvirtd:
            machine = find_machine(libvirtd, name)
            return None if machine is None else mark_of(machine.XMLDesc())

    def definition(self, name: str) -> str | None:
        """How libvirt would start the machine the next time, as its XML; None when it is absent."""
        words = f"Machine {name} cannot be looked at"
        with self._libvirtd.session("libvirt_failed", words) as libvirtd:
            machine = find_machine(libvirtd, name)
            return None if machine is None else machine.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)

    def edited(self, name: str) -> bool:
        """Whether someone changed the machine's definition since we made it; the next `start` makes it anew.

        What was changed while it ran alone is not in there: of that, `attached` shows the devices.
        """
        words = f"Machine {name} cannot be looked at"
        with self._libvirtd.session("libvirt_failed", words) as libvirtd:
            machine = find_machine(libvirtd, name)
            return machine is not None and _is_edited(machine, libvirtd.getLibVersion())

    def attached(self, name: str) -> list[Attached]:
        """What of the PC the machine has now, whoever gave it that; nothing when it is off or absent."""
        words = f"The devices of machine {name} are not known"
        with self._libvirtd.session("libvirt_failed", words) as libvirtd:
            machine = find_machine(libvirtd, name)
            return attached_of(machine.XMLDesc()) if machine is not None and machine.isActive() else []

    def attach(self, name: str, device_xml: str) -> None:
        """Plugs a device into the running machine, until that ends. It hangs there already: nothing to do.

        Raises Unreachable(machine_off), and HostBroken: pass_through_failed when the PC does not give the
        device, attach_failed.
        """
        words = f"Machine {name} cannot have the device"
        with self._libvirtd.session("attach_failed", words) as libvirtd:
            machine = _running(libvirtd, name)
            if _alias(device_xml) in {device.alias for device in attached_of(machine.XMLDesc())}:
                return
            with _blaming_devices(words, device_xml):
                machine.attachDeviceFlags(device_xml, libvirt.VIR_DOMAIN_AFFECT_LIVE)

    def detach(self, name: str, alias: str, *, wait_s: float) -> None:
        """Unplugs what has this alias from the machine and returns when the guest has it no more. It has not,
        or is off: nothing to do.

        Raises Unreachable(device_held) when the guest did not let go within `wait_s`: it is asked again by
        the next call; and HostBroken(detach_failed).
        """
        with self._libvirtd.until_removed(name, alias) as answered:
            if not self._ask_to_detach(name, alias):
                return
            answered.wait(wait_s)
        if any(device.alias == alias for device in self.attached(name)):
            words = f"The guest of {name} did not let go of {alias} within {wait_s:.0f} s."
            raise Unreachable("device_held", words)

    def set_link(self, name: str, mac: str, *, up: bool) -> None:
        """Plugs the cable of a running machine's network card in, or pulls it: the guest sees it at once, and
        what is on its way is lost. It lasts until the machine ends. Twice is once.

        Raises Unreachable(machine_off), and HostBroken: no_such_card, link_failed.
        """
        words = f"The cable of {mac} of machine {name} cannot be {'plugged in' if up else 'pulled'}"
        with self._libvirtd.session("link_failed", words) as libvirtd:
            machine = _running(libvirtd, name)
            card = card_with_link(machine.XMLDesc(), mac, up=up)
            if card is None:
                raise HostBroken("no_such_card", f"Machine {name} has no network card {mac}.")
            machine.updateDeviceFlags(card, libvirt.VIR_DOMAIN_AFFECT_LIVE)

    def give_back(self, address: str) -> bool:
        """Gives a PCI function that no machine has back to its driver; whether libvirt had not done so.

        Raises HostBroken(give_back_failed), also while a machine has it.
        """
        words = f"PCI device {address} cannot be given back to the control base"
        with self._libvirtd.session("give_back_failed", words) as libvirtd:
            device = _find_pci(libvirtd, address)
            if device is None or _read(device.XMLDesc()).findtext(".//driver/name") != "vfio-pci":
                return False
            device.reAttach()
            return True

    def ensure_network(self, network_xml: str) -> bool:
        """As `networks.ensure`. Raises HostBroken(network_failed)."""
        return networks.ensure(self._libvirtd, network_xml)

    def ping(self, name: str) -> bool:
        """Whether the agent inside the guest answers within `agent_timeout_s`."""
        try:
            self._agents.call(name, "guest-ping")
        except Unreachable:
            return False
        return True

    def ask(self, name: str, command: Sequence[str], *, timeout_s: float, stdin: bytes = b"") -> Answer:
        """Runs a command inside the guest and returns how it ended. What is secret is told it by `stdin`,
        which the guest's agent neither logs nor shows.

        When nobody answers in time the command may have run or not: ask only what may be asked twice. Raises
        Unreachable: guest_silent (no agent answers) or guest_busy (the command still runs after `timeout_s`).
        """
        deadline = self._clock() + timeout_s
        call: dict[str, Any] = {"path": command[0], "arg": list(command[1:]), "capture-output": True}
        if stdin:
            call["input-data"] = base64.b64encode(stdin).decode()
        try:
            started = self._agents.call(name, "guest-exec", call)
        except AgentRefused as error:
            return Answer(exit_code=127, output=b"", errors=error.words.encode())
        while self._clock() < deadline:
            with suppress(Unreachable):  # a guest under load answers the next time
                status = self._agents.call(name, "guest-exec-status", {"pid": started["pid"]})
                if status["exited"]:
                    return answer_of(status)
            self._pause(POLL_S)
        raise Unreachable("guest_busy", f"{command[0]} in {name} did not end within {timeout_s:.0f} s.")

    def on_change(self, callback: Callable[[str], None]) -> None:
        """Calls `callback` with a machine's name whenever it, its agent or a device of it comes or goes.

        From another thread, and only as a nudge: what happened while libvirtd was away is not told.
        """
        self._libvirtd.on_change(callback)

    def close(self) -> None:
        """Lets go of libvirtd; machines run on."""
        self._libvirtd.close()

    def _ask_to_detach(self, name: str, alias: str) -> bool:
        """Whether there is something to wait for."""
        words = f"{alias} cannot be taken off machine {name}"
        with self._libvirtd.session("detach_failed", words) as libvirtd:
            machine = find_machine(libvirtd, name)
            if machine is None or not machine.isActive():
                return False
            if all(device.alias != alias for device in attached_of(machine.XMLDesc())):
                return False
            try:
                machine.detachDeviceAlias(alias, libvirt.VIR_DOMAIN_AFFECT_LIVE)
            except libvirt.libvirtError as error:
                if error.get_error_code() == libvirt.VIR_ERR_DEVICE_MISSING or not machine.isActive():
                    return False  # it, or the machine, went in the meantime
                raise
            return True


def blames_device(words: str) -> bool:
    """Whether these words of libvirt or QEMU are about a device to pass through. They have no error code of
    their own for one in use, gone, in a group with others or without a reset."""
    return _HOST_DEVICE.search(words) is not None


def _read(xml: str) -> ElementTree.Element:
    return ElementTree.fromstring(xml)  # noqa: S314 - made by domainxml or by libvirt


def _name(xml: str) -> str:
    return _read(xml).findtext("name", "")


def _alias(device_xml: str) -> str:
    alias = _read(device_xml).find("alias")
    return "" if alias is None else alias.get("name", "")


def _running(libvirtd: Any, name: str) -> Any:
    machine = find_machine(libvirtd, name)
    if machine is None or not machine.isActive():
        raise Unreachable("machine_off", f"Machine {name} does not run, so nothing can be plugged into it.")
    return machine


@contextmanager
def _unless_off() -> Iterator[None]:
    """A machine may end by itself just before it is told to."""
    try:
        yield
    except libvirt.libvirtError as error:
        if error.get_error_code() != libvirt.VIR_ERR_OPERATION_INVALID:
            raise


@contextmanager
def _blaming_devices(words: str, xml: str) -> Iterator[None]:
    """Tells a device that cannot be had from other reasons why `xml` cannot be."""
    try:
        yield
    except libvirt.libvirtError as error:
        said = error.get_error_message()
        if "<hostdev" not in xml or not blames_device(said):
            raise
        raise HostBroken("pass_through_failed", f"{words}: {said}.") from error


def _forget(machine: Any) -> None:
    """Removes the definition but not the firmware's settings, nor what its TPM keeps. A memory image that
    someone saved goes: resumed over a disk that was made anew it would destroy the guest's file system."""
    machine.undefineFlags(
        libvirt.VIR_DOMAIN_UNDEFINE_KEEP_NVRAM
        | libvirt.VIR_DOMAIN_UNDEFINE_KEEP_TPM
        | libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE
    )


def _seal(machine: Any, version: int) -> None:
    """Remembers how libvirt wrote down what we defined. Another libvirt may write it down otherwise."""
    seal = seal_of(machine.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE))
    kind, scope = libvirt.VIR_DOMAIN_METADATA_ELEMENT, libvirt.VIR_DOMAIN_AFFECT_CONFIG
    machine.setMetadata(kind, f"<seal libvirt='{version}' digest='{seal}'/>", "openvras-seal", SEAL, scope)


def _is_edited(machine: Any, version: int) -> bool:
    definition = machine.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)
    found = _read(definition).find(f"metadata/{{{SEAL}}}seal")
    if found is None:
        return True
    return found.get("libvirt") == str(version) and found.get("digest") != seal_of(definition)


def _favour(machine: Any) -> None:
    """Twice the weight that a machine has at its start. Where libvirtd has no CPU control group all are equal
    and nothing is lost but this."""
    with suppress(libvirt.libvirtError):
        usual = machine.schedulerParametersFlags(libvirt.VIR_DOMAIN_AFFECT_LIVE)["cpu_shares"]
        machine.setSchedulerParametersFlags({"cpu_shares": 2 * usual}, libvirt.VIR_DOMAIN_AFFECT_LIVE)


def _find_pci(libvirtd: Any, address: str) -> Any:
    try:
        return libvirtd.nodeDeviceLookupByName(f"pci_{re.sub('[:.]', '_', address)}")
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_NO_NODE_DEVICE:
            return None
        raise


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
