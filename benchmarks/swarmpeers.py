"""What others have for one file to many PCs, on the same links as ours: udpcast, uftp and libtorrent.

Each is told how fast the links are, or has all of its peers named, and where its own choices cost it time it
has the ones that were best for it. Each checks what came in its own way, or not at all.
"""

import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from config.demo.lan import LAN_BRIDGE, LanPc

LIMIT_S = 120
SHARE = 0.92  # of the link, to a program that sends as fast as it is told
TORRENT = Path(__file__).with_name("torrentnode.py")
PYTHON = "/usr/bin/python3"  # Debian's, which has Debian's libtorrent


class Place(Protocol):
    """The `swarm.Bench`, as much of it as a peer needs."""

    root: Path
    mbit: int
    place: LanPc
    pcs: list[LanPc]
    bytes: int
    told: dict[str, Any]


def found() -> list[str]:
    """The peers whose programs are here."""
    return [name for name, there in _THERE.items() if there()]


def run(name: str, bench: Place) -> dict[str, Any]:
    """One run of a peer."""
    return _RUNS[name](bench, _source(bench))


def udpcast(bench: Place, source: Path) -> dict[str, Any]:
    card = ["--nokbd", "--interface", LAN_BRIDGE, "--mcast-rdv-address", "224.0.0.1", "--ttl", "2"]
    receivers = [
        quiet(pc, "udp-receiver", *card, "--file", "/dev/null", "--nosync", "--start-timeout", str(LIMIT_S))
        for pc in bench.pcs
    ]
    time.sleep(1)
    sent, began = bench.place.sent_bytes(), time.monotonic()
    rate = ["--max-bitrate", f"{int(bench.mbit * SHARE)}m", "--min-receivers", str(len(bench.pcs))]
    sender = quiet(bench.place, "udp-sender", *card, "--file", str(source), "--full-duplex", *rate)
    whole = [_end(process) for process in (sender, *receivers)]
    return {**_result(bench, began, sent), "whole": all(whole)}


def uftp(bench: Place, source: Path) -> dict[str, Any]:
    daemons = []
    places = [bench.root / f"uftp{number}" for number in range(len(bench.pcs))]
    for pc, into in zip(bench.pcs, places, strict=True):
        shutil.rmtree(into, ignore_errors=True)
        (into / "t").mkdir(parents=True)
        argv = ["uftpd", "-d", "-D", str(into), "-T", str(into / "t"), "-I", LAN_BRIDGE, "-B", "8000000"]
        daemons.append(quiet(pc, *argv))
    time.sleep(0.5)
    sent, began = bench.place.sent_bytes(), time.monotonic()
    rate = str(int(bench.mbit * SHARE * 1000))
    _end(quiet(bench.place, "uftp", "-I", LAN_BRIDGE, "-R", rate, "-B", "8000000", str(source)))
    result = _result(bench, began, sent)
    whole = [(into / source.name).exists() for into in places]
    whole += [(into / source.name).stat().st_size == bench.bytes for into in places if whole and all(whole)]
    for daemon in daemons:
        daemon.kill()
        daemon.wait()
    for into in places:
        shutil.rmtree(into, ignore_errors=True)
    return {**result, "whole": all(whole)}


def libtorrent(bench: Place, source: Path) -> dict[str, Any]:
    torrent = bench.root / "all.torrent"
    if not torrent.exists():
        subprocess.run([PYTHON, str(TORRENT), "make", str(source), str(torrent)], check=True)
    addresses = [pc.address for pc in (bench.place, *bench.pcs)]
    nodes = []
    for number, pc in enumerate((bench.place, *bench.pcs)):
        into = source.parent if number == 0 else bench.root / f"torrent{number}"
        into.mkdir(exist_ok=True)
        others = ",".join(one for one in addresses if one != pc.address)
        argv = [PYTHON, str(TORRENT), "seed" if number == 0 else "node", str(torrent), str(into), pc.address]
        nodes.append(
            subprocess.Popen(
                pc.command([*argv, others]), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
        )
    for node in nodes:
        assert node.stdout is not None
        assert node.stdout.readline().strip() == "ready"
    sent, began = bench.place.sent_bytes(), time.monotonic()
    for node in nodes[1:]:
        assert node.stdin is not None
        node.stdin.write("go\n")
        node.stdin.flush()
    for node in nodes[1:]:
        assert node.stdout is not None
        assert node.stdout.readline().strip() == "whole"
    result = _result(bench, began, sent)
    for node in nodes:
        node.communicate("")
    for number in range(1, len(nodes)):
        shutil.rmtree(bench.root / f"torrent{number}")
    return {**result, "whole": True}


_RUNS: dict[str, Callable[[Place, Path], dict[str, Any]]] = {
    "udpcast": udpcast,
    "uftp": uftp,
    "libtorrent": libtorrent,
}
_THERE: dict[str, Callable[[], bool]] = {
    "udpcast": lambda: shutil.which("udp-sender") is not None,
    "uftp": lambda: shutil.which("uftp") is not None,
    "libtorrent": lambda: (
        subprocess.run([PYTHON, "-c", "import libtorrent"], check=False, capture_output=True).returncode == 0
    ),
}


def quiet(pc: LanPc, *argv: str) -> "subprocess.Popen[bytes]":
    """A peer's program on a PC. Multicast needs a route where there is no way out."""
    route = ["ip", "-n", pc.namespace, "route", "replace", "224.0.0.0/4", "dev", LAN_BRIDGE]
    subprocess.run(route, check=True)
    none = subprocess.DEVNULL
    return subprocess.Popen(pc.command(argv), stdin=none, stdout=none, stderr=none)


def _end(process: "subprocess.Popen[bytes]") -> bool:
    """Waits for a peer's program, and not for ever; whether it ended well."""
    try:
        return process.wait(LIMIT_S) == 0
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return False


def _source(bench: Place) -> Path:
    """All packs in one file."""
    directory = bench.root / "source"
    path = directory / "all.packs"
    if not path.exists():
        directory.mkdir()
        with path.open("wb") as file:
            for pack in bench.told["source"]:
                file.write(Path(pack).read_bytes())
    return path


def _result(bench: Place, began: float, sent: int) -> dict[str, Any]:
    ideal = bench.bytes * 8 / bench.mbit / 1e6
    return {
        "x": (time.monotonic() - began) / ideal,
        "egress": (bench.place.sent_bytes() - sent) / bench.bytes,
    }
