"""Runs the program; started, and started again, by the virtual server's init."""

import os
from pathlib import Path

from vrasnode.servicevm.guest import machine
from vrasnode.servicevm.guest.answering import Answering, Ops
from vrasnode.servicevm.guest.fileserver import FileServer
from vrasnode.servicevm.guest.port import open_port


def main() -> None:
    fileserver = FileServer(Path("/run/samba"))
    ops = Ops()
    machine.add_to(
        ops,
        fileserver=fileserver,
        version=machine.read_version(),
        session=os.urandom(8).hex(),
        power_off=machine.power_off,
    )
    port = open_port()
    print("openvras: ready", flush=True)
    fileserver.start()
    Answering(port, ops).run()


if __name__ == "__main__":
    main()
