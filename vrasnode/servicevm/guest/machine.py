"""What can be asked of the virtual server as a machine: whether it answers, which and how it is, its end."""

import os
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from vrasnode.servicevm.guest.answering import Ops
from vrasnode.servicevm.guest.fileserver import interface_of

VERSION_FILE = Path("/etc/openvras/version")


class Served(Protocol):
    @property
    def pid(self) -> int | None: ...
    def listen(self, interfaces: list[str]) -> None: ...


def add_to(
    ops: Ops,
    *,
    fileserver: Served,
    version: str,
    session: str,
    power_off: Callable[[], None],
    proc: Path = Path("/proc"),
    net: Path = Path("/sys/class/net"),
) -> None:
    """Adds `ping`, `version`, `status`, `serve` (the card to serve on) and `shutdown`.

    `session` is another one each time the program begins: what asks then says everything anew.
    """

    def status() -> Mapping[str, Any]:
        return {
            "uptime_s": float((proc / "uptime").read_text().split()[0]),
            "memory": _memory(proc),
            "root": _root(proc),
            "smbd_pid": fileserver.pid,
            "cards": _cards(net),
        }

    def serve(mac: str) -> Mapping[str, Any]:
        interface = interface_of(mac, interfaces=net)
        fileserver.listen([interface])
        return {"interface": interface}

    def shutdown() -> Mapping[str, Any]:
        power_off()
        return {}

    ops.add("ping", lambda: {"session": session}, quick=True)
    ops.add("version", lambda: {"version": version, "kernel": os.uname().release}, quick=True)
    ops.add("status", status)
    ops.add("serve", serve)
    ops.add("shutdown", shutdown)


def read_version(file: Path = VERSION_FILE) -> str:
    """Which build of the image this is."""
    return file.read_text().strip()


def power_off() -> None:
    """As the power button does; the answer is on its way before."""
    subprocess.Popen(["/sbin/shutdown", "-h", "now"], stdin=subprocess.DEVNULL, start_new_session=True)


def _memory(proc: Path) -> dict[str, int]:
    """In bytes, from /proc/meminfo (proc(5))."""
    lines = (line.split() for line in (proc / "meminfo").read_text().splitlines())
    kib = {line[0].rstrip(":"): int(line[1]) for line in lines}
    return {"total_bytes": kib["MemTotal"] << 10, "available_bytes": kib["MemAvailable"] << 10}


def _root(proc: Path) -> str:
    """How the disk is mounted (proc_mounts(5)): begins with "ro," or something is very wrong."""
    mounts = (line.split() for line in (proc / "mounts").read_text().splitlines())
    return next((mount[3] for mount in mounts if mount[1] == "/" and mount[0] != "rootfs"), "")


def _cards(net: Path) -> list[dict[str, str]]:
    """Network cards by name, with their addresses; the loopback is none."""
    return [
        {"name": card.name, "mac": (card / "address").read_text().strip()}
        for card in sorted(net.iterdir())
        if card.name != "lo" and (card / "address").exists()
    ]
