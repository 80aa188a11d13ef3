"""The QEMU guest agent inside a machine, asked over libvirt. What to ask is said elsewhere."""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import libvirt
import libvirt_qemu

from vrasnode.errors import Unreachable
from vrasnode.machines.libvirtd import Libvirtd, find_machine


@dataclass(frozen=True)
class Answer:
    """What a command inside a guest ended with. Ended by a signal: 128 + its number; not started: 127."""

    exit_code: int
    output: bytes
    errors: bytes = b""


class AgentRefused(Unreachable):
    """The guest's agent answers, and says no."""


class GuestAgents:
    """The agents of all machines. `timeout_s` bounds one exchange, in whole seconds."""

    def __init__(self, libvirtd: Libvirtd, *, timeout_s: int) -> None:
        self._libvirtd = libvirtd
        self._timeout_s = timeout_s

    def call(self, name: str, command: str, arguments: Mapping[str, Any] | None = None) -> Any:
        """What the agent in machine `name` returns. Raises Unreachable(guest_silent); AgentRefused when it
        says no."""
        request = json.dumps({"execute": command, **({"arguments": arguments} if arguments else {})})
        with self._libvirtd.session("libvirt_failed", f"The agent of {name} cannot be asked") as libvirtd:
            machine = find_machine(libvirtd, name)
            if machine is None:
                raise Unreachable("guest_silent", f"Machine {name} is absent.")
            try:
                reply = libvirt_qemu.qemuAgentCommand(machine, request, self._timeout_s, 0)
            except libvirt.libvirtError as error:
                if (no_answer := _no_answer(name, error)) is None:
                    raise
                raise no_answer from error
        return json.loads(reply)["return"]


def answer_of(status: Mapping[str, Any]) -> Answer:
    """From the reply of guest-exec-status (QEMU guest agent protocol)."""
    return Answer(
        exit_code=status.get("exitcode", 128 + status.get("signal", 0)),
        output=base64.b64decode(status.get("out-data", "")),
        errors=base64.b64decode(status.get("err-data", "")),
    )


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
        return AgentRefused("guest_refused", words)
    return None
