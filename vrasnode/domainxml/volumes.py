"""Volumes of user data as disks of the virtual server, plugged in while they are open."""

import hashlib
import re
from pathlib import Path

from vrasnode.domainxml.devices import Handle, Kind
from vrasnode.domainxml.parts import socket_path
from vrasnode.domainxml.tree import element, to_text
from vrasnode.errors import Refused

SERIAL_LENGTH = 20  # of a virtio disk (virtio 1.2, 5.2.6): the guest sees no more

_SERIAL = re.compile(rf"[0-9a-f]{{{SERIAL_LENGTH}}}")


def volume_handle(serial: str) -> Handle:
    """By its alias `Hypervisor.detach` takes the disk off again."""
    return Handle(Kind.VOLUME, serial)


def volume_disk_xml(*, serial: str, socket: Path, export: str, read_only: bool = False) -> str:
    """The XML to attach a volume, which a storage daemon serves (NBD) under the name `export` on `socket`.

    QEMU connects to the socket itself, as the user that it runs as (`user` in qemu.conf; `libvirt-qemu` in
    Debian), and libvirt changes no rights for it, as it does for files: that user has to be able to write to
    the socket (connect(2)) and to pass through each folder above. So: folders with mode 0711 down to it, and
    the socket itself root's, of that user's group, mode 0660. Whoever may connect reads the volume in clear:
    nobody else may.

    What fails is told to the guest at once. QEMU would else stop the machine when the control base's disk is
    full, and a daemon that was killed would not be noticed. Raises Refused(bad_device, bad_machine).
    """
    if not _SERIAL.fullmatch(serial):
        raise Refused("bad_device", f"{serial!r} is no volume's serial.")
    disk = element(
        "disk",
        element(
            "driver", name="qemu", type="raw", cache="none", error_policy="report", rerror_policy="report"
        ),
        element(
            "source",
            element("host", transport="unix", socket=socket_path(socket)),
            protocol="nbd",
            name=export,
        ),
        element("target", dev=_target(serial), bus="virtio"),
        *([element("readonly")] if read_only else []),
        element("serial", text=serial),
        element("alias", name=volume_handle(serial).alias),
        type="network",
        device="disk",
    )
    return to_text(disk)


def _target(serial: str) -> str:
    """A name that no other disk of the machine has: libvirt wants one, the guest sees another."""
    digest = hashlib.sha256(serial.encode()).digest()
    return "vd" + "".join(chr(ord("a") + byte % 26) for byte in digest[:4])
