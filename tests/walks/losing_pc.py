"""A PC for the walk of a lost one: the real agent in a process of its own, with real volumes and halves.

    python -m tests.walks.losing_pc STATE

Its machines are simulated; the virtual server keeps files in a folder. It prints a nonce, as its local page
would give one to a logon script.
"""

import dataclasses
import signal
import sys
import threading
from pathlib import Path
from typing import Any

from tests.vrasnode.mydoccast import Guest
from vrasnode import building
from vrasnode.machines.options import Options
from vrasnode.mydoc import volumes
from vrasnode.mydoc.logon import Nonces
from vrasnode.places import State
from vrasnode.simulation import pc, settings

HYPERVISOR = "sim:?boot_s=1&model=desktop"


def main(directory: str) -> None:
    """Runs until it is ended."""
    state = State(Path(directory))
    world = dataclasses.replace(
        pc.world(state, settings=settings.parse(HYPERVISOR)),
        open_volumes=volumes.Volumes,
        house=lambda mydoc: Guest(mydoc.parent / "guest"),
    )
    nonces = Nonces(clock=world.since_start)
    given: Any = building
    given.Nonces = lambda clock: nonces
    stop, wake = threading.Event(), threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: (stop.set(), wake.set()))
    agent = building.build(state, world=world, options=Options(), stop=stop, wake=wake)
    print(nonces.give(), flush=True)
    agent.run()


if __name__ == "__main__":
    main(sys.argv[1])
