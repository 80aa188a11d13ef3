"""The virtual server, as volumes need it: plugged in, shared over its one cable, let go. And the client VM,
which is told where its user's documents are.

What is asked of the program inside goes over the line that `virtualserver` keeps (`controlchannel`).
"""

import json
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Protocol

from vrasnode.aside import aside
from vrasnode.domainxml import Attached, Profile, volume_disk_xml, volume_handle
from vrasnode.errors import Refused, VrasError
from vrasnode.machines.controlchannel import Answer, ControlChannel
from vrasnode.machines.guestagent import Answer as CommandAnswer
from vrasnode.mydoc.naming import serial_of

log = logging.getLogger("vrasnode.mydoc")

TELL_S = 60.0
CABLE_S = 0.5
_CODE = re.compile(r"[a-z]+(_[a-z]+)+")
COMMANDS: Mapping[Profile, Sequence[str]] = {
    Profile.LINUX: ("/usr/lib/openvras/documents",),
    Profile.WINDOWS: (
        "C:\\Windows\\System32\\WindowsPowerShell\\v1.0\\powershell.exe",
        "-NoProfile",
        "-ExecutionPolicy",
        "AllSigned",
        "-File",
        "C:\\Program Files\\OpenVRAS\\openvras-documents.ps1",
    ),
}


class Housing(Protocol):
    """Where volumes are opened. Every act but `pull_cable` and `push_cable` may raise Unreachable and
    HostBroken."""

    def call(self, op: str, *, timeout_s: float, **args: Any) -> Answer: ...

    def begin(self, op: str, **args: Any) -> "Future[Answer]": ...

    def holds(self, volume: str) -> bool:
        """Whether the volume is plugged in."""

    def plug(self, volume: str, socket: Path, *, read_only: bool = False) -> None:
        """Plugs in what is served at this socket. Twice is once."""

    def unplug(self, volume: str, *, wait_s: float) -> None:
        """Returns when it is out. Raises Unreachable(device_held)."""

    def overwrite(self) -> None:
        """What was asked about volumes, names and passwords in it, is in the machine's memory no more."""

    def pull_cable(self) -> bool:
        """Nobody reaches any share any more; whether that is so."""

    def push_cable(self) -> None: ...

    def switch_off(self) -> None:
        """For a virtual server that does not let go."""

    def tell(self, message: Mapping[str, object]) -> None:
        """Says it to the client VM. Raises Unreachable, and Refused with the code that it answered."""


class Machines(Protocol):
    """The hypervisor, as far as volumes need it."""

    def destroy(self, name: str) -> None: ...
    def attached(self, name: str) -> Sequence[Attached]: ...
    def attach(self, name: str, device_xml: str) -> None: ...
    def detach(self, name: str, alias: str, *, wait_s: float) -> None: ...
    def set_link(self, name: str, mac: str, *, up: bool) -> None: ...
    def ask(
        self, name: str, command: Sequence[str], *, timeout_s: float, stdin: bytes = b""
    ) -> CommandAnswer: ...


class VirtualServerHousing:
    """The real one: two machines by their names, `mac` of the virtual server's card inside the PC."""

    def __init__(
        self,
        *,
        machines: Machines,
        channel: ControlChannel,
        virtual_server: str,
        client_vm: str,
        mac: str,
        get_profile: Callable[[], Profile],
    ) -> None:
        self._machines = machines
        self._channel = channel
        self._virtual_server = virtual_server
        self._client_vm = client_vm
        self._mac = mac
        self._get_profile = get_profile

    def call(self, op: str, *, timeout_s: float, **args: Any) -> Answer:
        return self._channel.call(op, timeout_s=timeout_s, **args)

    def begin(self, op: str, **args: Any) -> "Future[Answer]":
        return self._channel.begin(op, **args)

    def holds(self, volume: str) -> bool:
        alias = volume_handle(serial_of(volume)).alias
        return any(device.alias == alias for device in self._machines.attached(self._virtual_server))

    def plug(self, volume: str, socket: Path, *, read_only: bool = False) -> None:
        disk = volume_disk_xml(serial=serial_of(volume), socket=socket, export=volume, read_only=read_only)
        self._machines.attach(self._virtual_server, disk)

    def unplug(self, volume: str, *, wait_s: float) -> None:
        self._machines.detach(self._virtual_server, volume_handle(serial_of(volume)).alias, wait_s=wait_s)

    def overwrite(self) -> None:
        self._channel.overwrite()

    def pull_cable(self) -> bool:
        return self._set_link(up=False)

    def push_cable(self) -> None:
        self._set_link(up=True)

    def switch_off(self) -> None:
        self._machines.destroy(self._virtual_server)

    def tell(self, message: Mapping[str, object]) -> None:
        command = COMMANDS[self._get_profile()]
        said = json.dumps(message, ensure_ascii=False).encode()
        answer = self._machines.ask(self._client_vm, command, timeout_s=TELL_S, stdin=said)
        if answer.exit_code:
            code, colon, words = answer.errors.decode(errors="replace").strip().partition(": ")
            if not colon or not _CODE.fullmatch(code):
                code, words = "client_vm_refused", f"{command[0]} in the client VM failed: {code}"
            raise Refused(code, words[:500])

    def _set_link(self, *, up: bool) -> bool:
        """A cable that cannot be pulled holds no lock up, for what counts comes after it. With a machine
        that hangs libvirt was seen to wait for ever."""
        pulling = aside(lambda: self._machines.set_link(self._virtual_server, self._mac, up=up), name="cable")
        try:
            pulling.result(CABLE_S)
        except TimeoutError:
            log.info("the virtual server's cable cannot be moved")
        except VrasError as error:
            log.info("%s", error)
        else:
            return True
        return False
