"""Runs the program; started, and started again, by the virtual server's init."""

import os
from pathlib import Path

from vrasnode.servicevm.guest import machine, userdata
from vrasnode.servicevm.guest.answering import Answering, Ops
from vrasnode.servicevm.guest.fileserver import FileServer
from vrasnode.servicevm.guest.port import open_port
from vrasnode.servicevm.guest.processes import holders, kill
from vrasnode.servicevm.guest.replicas import Replicas
from vrasnode.servicevm.guest.shares import Shares
from vrasnode.servicevm.guest.views import Views
from vrasnode.servicevm.guest.volumes import Volumes
from vrasnode.servicevm.guest.workers import Workers

DATA = Path("/data")
# Of this program (build/files/program), not of those that it starts.
MEMORY_HABITS = ("PYTHONMALLOC", "MALLOC_PERTURB_", "GLIBC_TUNABLES")


def main() -> None:
    for habit in MEMORY_HABITS:
        os.environ.pop(habit, None)
    fileserver = FileServer(Path("/run/samba"))
    ops = Ops()
    machine.add_to(
        ops,
        fileserver=fileserver,
        version=machine.read_version(),
        session=os.urandom(8).hex(),
        power_off=machine.power_off,
    )
    _add_user_data(ops, fileserver)
    port = open_port()
    print("openvras: ready", flush=True)
    fileserver.start()
    Answering(port, ops).run()


def _add_user_data(ops: Ops, fileserver: FileServer) -> None:
    workers = Workers()
    volumes = Volumes(DATA, workers=workers, end_holders=lambda place: kill(holders(place)))
    shares = Shares(
        fileserver,
        volumes=volumes,
        views=Views(Path("/run/views"), end_holders=lambda place: kill(holders(place))),
        accounts=Path("/run/accounts/passwd"),
        own_accounts=Path("/etc/openvras/passwd"),
    )
    replicas = Replicas(volumes, run=Path("/run/replicas"))
    userdata.add_to(ops, volumes=volumes, shares=shares, workers=workers, replicas=replicas, data=DATA)


if __name__ == "__main__":
    main()
