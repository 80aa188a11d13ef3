"""A PC that only makes versions ready, as a process of its own that a test may kill.

`python -m tests.vrasnode.assembling_pc DIR`: identity, slices and images in DIR, as in a state directory. It
ends by itself when the assigned version is staged.
"""

import os
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

from vrasnode.agent import Agent
from vrasnode.contact.identity import Identity
from vrasnode.contact.server import Server
from vrasnode.contact.slices import Slices
from vrasnode.imaging.part import Imaging
from vrasnode.imaging.slots import Slots


def main(directory: Path) -> None:
    identity = Identity(directory / "identity")
    assert identity.enrolment is not None
    assert identity.installation is not None
    slots, slices = Slots(directory / "images"), Slices(directory / "slices")
    stop = threading.Event()
    imaging = Imaging(
        slots=slots,
        source=Server(identity.enrolment.server, identity=identity),
        client_id=identity.client_id,
        root_key=identity.installation.root_key,
        get_slice=slices.get,
        report=lambda report, keep: None,
        look=lambda: None,
        clock=time.monotonic,
        now=lambda: datetime.now(UTC),
        threads=2,
        clones=False,
    )
    agent = Agent([imaging], wake=threading.Event(), stop=stop, tick_s=0.01)
    while slots.boot.next is None and slots.boot.failed is None:
        if not agent.turn():
            time.sleep(0.01)
    os._exit(0 if slots.boot.next else 1)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
