"""A PC that only keeps user data, as a process of its own that a test may kill.

`python -m tests.vrasnode.mydoc_pc open|lock DIR VOLUME`: identity, volumes and guest in DIR, as in a state
directory. It ends by itself when the volume is open and the client VM told, or when it is locked.
"""

import os
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from tests.vrasnode.mydoccast import ALICE, MIB, NO_TPM, Guest
from vrasnode.contact.identity import Identity
from vrasnode.contact.server import Server
from vrasnode.mydoc.logon import Nonces
from vrasnode.mydoc.means import Means
from vrasnode.mydoc.part import Mydoc
from vrasnode.mydoc.pchalf import Halves
from vrasnode.mydoc.record import kept
from vrasnode.mydoc.volumes import Volumes
from vrasnode.network.controllers import Controllers
from vrasnode.turning import Turning
from vrasnode.wire import codec
from vrasnode.wire.mydoc import Custodian, MydocSlice, VolumeState, VolumeWish


def clock() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def wish(act: str, volume: str, records: Path, nonces: Nonces) -> VolumeWish:
    """What the server says: the logon that it knows, or a new one."""
    known = {name: record.session for name, record in kept(records)}.get(volume, "")
    return VolumeWish(
        volume=volume,
        owner=ALICE,
        owner_name="alice",
        limit_bytes=16 * MIB,
        session="" if act == "lock" else known or str(uuid4()),
        nonce="" if act == "lock" else nonces.give(),
    )


def main(act: str, directory: Path, volume: str) -> None:
    identity = Identity(directory / "identity")
    assert identity.enrolment is not None
    server, nonces = Server(identity.enrolment.server, identity=identity), Nonces(clock=clock)
    guest = Guest(directory / "guest")
    means = Means(
        volumes=Volumes(directory / "mydoc"),
        halves=Halves(directory / "mydoc", tpm=NO_TPM),
        keys=server,
        housing=guest,
        client="100.127.255.243",
        server="100.127.255.242",
        boot_id="this boot",
        clock=clock,
        now=lambda: datetime.now(UTC),
        heard_at=clock,
        controller_at=lambda: float("-inf"),
        in_doubt=lambda: None,
        is_welcome=lambda: True,
        knows=nonces.take,
    )
    custodians = codec.decode((directory / "custodians").read_bytes(), list[Custodian])
    wished = wish(act, volume, directory / "mydoc", nonces)
    said = codec.encode(MydocSlice(volumes=[wished], custodians=custodians))
    mydoc = Mydoc(
        directory / "mydoc",
        means=means,
        server=server,
        controllers=Controllers(clock=clock),
        get_slice=lambda app: said,
        turn=Turning,
        report=lambda message: None,
        wake=lambda: None,
    )
    wanted = VolumeState.OPEN if act == "open" else VolumeState.LOCKED
    while True:
        mydoc.step()
        records = dict(kept(directory / "mydoc"))
        if mydoc.reports()[0].state is wanted and (act == "lock" or records[volume].told):
            os._exit(0)
        time.sleep(0.005)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3])
