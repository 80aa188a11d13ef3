"""`vrasnode stop`: both machines of the PC end in order, the desktop first, the virtual server last; between
them all user data is locked.

For the PC's own shutdown (deploy/vrasnode-machines.service): what the desktop wrote to the virtual server
until its end is there. A machine that does not end when it is asked is switched off.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from vrasnode import statelock
from vrasnode.domainxml import Profile
from vrasnode.errors import HostBroken, VrasError
from vrasnode.machines import desktop, virtualserver
from vrasnode.machines.controlchannel import ControlChannel
from vrasnode.machines.hypervisor import Hypervisor, MachineState
from vrasnode.machines.options import Options, machine_of
from vrasnode.machines.virtualserver import control_socket
from vrasnode.mydoc import locking
from vrasnode.mydoc.cutoff import Cut
from vrasnode.mydoc.housing import Housing, VirtualServerHousing
from vrasnode.mydoc.record import Ledger, kept
from vrasnode.mydoc.volumes import Volumes
from vrasnode.places import State

ORDER = (desktop.NAME, virtualserver.NAME)
TIMEOUT_S = 60.0
LOOK_S = 0.5
AGAIN_S = 10.0  # a guest that has just started may not hear the first request
ON = (MachineState.RUNNING, MachineState.PAUSED)


class Machines(Protocol):
    """The hypervisor, as far as ending machines needs it."""

    def shut_down(self, name: str) -> None: ...
    def destroy(self, name: str) -> None: ...
    def state(self, name: str) -> MachineState: ...


def add_to(commands: Any) -> None:
    """Adds the command."""
    parser = commands.add_parser("stop", help="shut both machines down, the virtual server last")
    parser.set_defaults(run=run)
    parser.add_argument("--state", type=Path, required=True, metavar="DIR", help="the state directory")
    parser.add_argument("--hypervisor", default="qemu:///system", metavar="URI", help="libvirt's address")
    limit = "for each machine, before it is switched off"
    parser.add_argument("--timeout", type=float, default=TIMEOUT_S, metavar="S", help=limit)


def run(options: argparse.Namespace) -> int:
    """Returns when both are off. Raises HostBroken(agent_running, libvirt_gone)."""
    state = State(options.state)
    if statelock.is_held(state.lock):
        words = "The agent runs and would start the machines again. End `vrasnode run` first."
        raise HostBroken("agent_running", words)
    hypervisor = Hypervisor(options.hypervisor)
    try:
        for name in ORDER:
            if not end(hypervisor, name, timeout_s=options.timeout):
                print(f"vrasnode: {name} did not shut down and was switched off", file=sys.stderr)
            if name == desktop.NAME:
                _lock_all(state, hypervisor)
    finally:
        hypervisor.close()
    return 0


def _lock_all(state: State, hypervisor: Hypervisor) -> None:
    """Says what could not be locked in order; with its machine it ends all the same."""
    channel = ControlChannel(control_socket(state.service.resolve()))
    housing = VirtualServerHousing(
        machines=hypervisor,
        channel=channel,
        virtual_server=virtualserver.NAME,
        client_vm=desktop.NAME,
        mac=machine_of(state.desktop, Options()).mac("virtual-server/internal"),
        get_profile=lambda: Profile.LINUX,
    )
    try:
        for error in lock_all(state.mydoc, volumes=Volumes(state.mydoc), housing=housing):
            print(f"vrasnode: {error}", file=sys.stderr)
    finally:
        channel.close()


def lock_all(directory: Path, *, volumes: locking.Volumes, housing: Housing) -> Iterator[VrasError]:
    """Locks all volumes that an agent left open; what went wrong."""
    left = [volume for volume, record in kept(directory) if record.held]
    for volume in left:
        ledger = Ledger(directory, volume, made=True)
        try:
            ledger.note(locking=ledger.record.locking or Cut.MACHINE_OFF.value)
            locking.lock_kept(
                volume,
                ledger,
                volumes=volumes,
                housing=housing,
                is_alone=lambda: len(left) == 1,
                clock=time.monotonic,
                now=lambda: datetime.now(UTC),
                patient=True,
            )
        except VrasError as error:
            yield error


def end(
    machines: Machines,
    name: str,
    *,
    timeout_s: float,
    clock: Callable[[], float] = time.monotonic,
    pause: Callable[[float], None] = time.sleep,
) -> bool:
    """Whether the machine ended by itself, asked every few seconds; after `timeout_s` it is switched off."""
    begun, asked = clock(), float("-inf")
    while machines.state(name) in ON:
        now = clock()
        if now - begun >= timeout_s:
            machines.destroy(name)
            return False
        if now - asked >= AGAIN_S:
            asked = now
            machines.shut_down(name)
        pause(LOOK_S)
    return True
