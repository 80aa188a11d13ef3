"""What of the client VM's speed can be measured where guests are emulated, and nothing else.

`python -m benchmarks.machines [--quick] [--json] [--rounds N]`. No claim about processor or memory is made
here: that is `vrasnode bench`, on PCs with KVM. Two things can be said even so:

- a disk as slow as a hard disk (120 MiB/s, QEMU's throttle on both sides) is as fast in the client VM as on
  the bare host: the way through overlay, QEMU and driver keeps up with the device;
- the devices that we define, against those that QEMU emulates for a plain PC (IDE, e1000), on the same guest.
  Both run emulated, so only their ratio means something.
"""

import platform
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version
from pathlib import Path

from benchmarks import probing, scratch
from benchmarks.probing import Machine, System
from benchmarks.reporting import Report, ratios
from benchmarks.running import EXIT_NOT_RUN, parser, say, tell
from config.demo import lan
from config.demo.bootimage import default_cache
from config.demo.lan import LAN_BRIDGE, NETWORK, Lan
from config.demo.pcs import LabPc
from vrasnode.errors import HostBroken, VrasError
from vrasnode.machines.hypervisor import Hypervisor, make_overlay

RATE_BYTES_S = 120 << 20
AT_LEAST = 0.95
ROUNDS = 3
GUEST = NETWORK[1000]
MIB = 1 << 20
GROUP = f"throttle-group,id=rate,x-bps-total={RATE_BYTES_S}"
THROTTLED = "driver=throttle,node-name=slow,throttle-group=rate,file.driver=file,file.cache.direct=on"


@dataclass(frozen=True)
class Size:
    """How much is read, written and fetched. The disks differ by a MiB, by which the guest knows them."""

    slow_mib: int
    requests: int
    net_mib: int

    @property
    def fast_mib(self) -> int:
        return self.slow_mib + 1


FULL, QUICK = Size(480, 16384, 96), Size(96, 2048, 16)


@dataclass(frozen=True)
class Place:
    """Where it runs: `hypervisor` is that of a PC in a LAN, `url` what the guest fetches from there."""

    directory: Path
    hypervisor: Hypervisor
    start: System
    url: str
    size: Size


def measure(place: Place, *, rounds: int, judged: bool) -> Report:
    """Runs all rounds: host, our devices, emulated devices. Raises HostBroken."""
    workload = f"{place.size.slow_mib} MiB at {RATE_BYTES_S // MIB} MiB/s, guests by TCG"
    report = Report("machines", workload, rounds, _commands(place.size), judged)
    values: dict[str, list[float]] = defaultdict(list)
    for number in range(1, rounds + 1):
        say(f"round {number} of {rounds} …")
        for kind, found in (
            ("host", _host(place)),
            ("ours", _guest(place, virtio=True)),
            ("emulated", _guest(place, virtio=False)),
        ):
            for name, value in found.items():
                values[f"{kind}.{name}"].append(value)
    _tell(report, values)
    return report


def _host(place: Place) -> dict[str, float]:
    """The bare host, by QEMU's own reader and writer under the same throttle."""
    path = place.directory / "host.raw"
    _random_disk(path, place.size.slow_mib)
    found = {}
    for way, more in (("read", []), ("write", ["-w"])):
        with _throttled(path) as opened:
            found[f"slow.{way}"] = _qemu_img_bench(opened, place.size.slow_mib, more)
    path.unlink()
    return found


@contextmanager
def _throttled(path: Path) -> Iterator[str]:
    """The raw file `path` behind QEMU's throttle, past the page cache, as qemu-img finds it."""
    with tempfile.TemporaryDirectory() as short:  # a socket's path may have 107 bytes (unix(7))
        socket = Path(short) / "disk"
        node = f"{THROTTLED},file.filename={path}"
        server = ["--nbd-server", f"addr.type=unix,addr.path={socket}"]
        export = ["--export", "type=nbd,id=disk,node-name=slow,name=disk,writable=on"]
        argv = ["qemu-storage-daemon", "--object", GROUP, "--blockdev", node, *server, *export]
        daemon = subprocess.Popen(["setpriv", "--pdeathsig=KILL", *argv], stdin=subprocess.DEVNULL)
        try:
            opened = f"driver=nbd,server.type=unix,server.path={socket},export=disk"
            _await(daemon, ["qemu-img", "info", "--image-opts", opened])
            yield opened
        finally:
            daemon.kill()
            daemon.wait()


def _await(daemon: "subprocess.Popen[bytes]", ask: Sequence[str]) -> None:
    """Returns when `ask` succeeds."""
    while subprocess.run(ask, capture_output=True, check=False).returncode:
        if daemon.poll() is not None:
            raise HostBroken("measure_failed", f"{daemon.args!r} ended with {daemon.returncode}.")
        time.sleep(0.05)


def _qemu_img_bench(opened: str, mib: int, more: Sequence[str]) -> float:
    """Bytes per second, a MiB at a time, one after another like the guest."""
    size = ["-c", str(mib), "-d", "1", "-s", "1M", "-t", "none", *more]
    out = _tool(["qemu-img", "bench", *size, "--image-opts", opened])
    found = re.search(r"Run completed in ([\d.]+) seconds", out)
    if found is None:
        raise HostBroken("measure_failed", f"qemu-img bench said nothing of use: {out[-300:]}")
    return mib * MIB / float(found[1])


def _guest(place: Place, *, virtio: bool) -> dict[str, float]:
    """One start of the guest over fresh overlays. Emulated devices are only measured without a throttle."""
    size = place.size
    disks = {}
    for name, mib in (("slow", size.slow_mib), ("fast", size.fast_mib)):
        raw, disks[name] = place.directory / f"{name}.raw", place.directory / f"{name}.qcow2"
        _random_disk(raw, mib)
        make_overlay(raw, disks[name])
    words: dict[str, object] = {
        "fast": size.fast_mib,
        "requests": size.requests,
        "net": size.net_mib,
        "url": place.url,
        "address": GUEST,
        "netmask": NETWORK.netmask,
    }
    if virtio:
        words["slow"] = size.slow_mib
    machine = Machine(disks["slow"], disks["fast"], RATE_BYTES_S, LAN_BRIDGE, words, virtio=virtio)
    found = probing.run(place.hypervisor, machine, place.start, directory=place.directory)
    for path in place.directory.glob("*.qcow2"):
        path.unlink()
    return found


def _tell(report: Report, values: Mapping[str, Sequence[float]]) -> None:
    for name, found in values.items():
        report.add(name, found, "/s" if name.endswith("requests") else "B/s")
    for way in ("read", "write"):
        kept = report.add(
            f"slow.{way}_ratio", ratios(values[f"ours.slow.{way}"], values[f"host.slow.{way}"]), "x"
        )
        words = f"sequential {way} of a disk at {RATE_BYTES_S // MIB} MiB/s, client VM ÷ host"
        report.at_least(words, kept, AT_LEAST)
    for name in ("fast.read", "fast.requests", "network.receive"):
        report.add(f"gain.{name}", ratios(values[f"ours.{name}"], values[f"emulated.{name}"]), "x")
    report.notes += [
        "Guests are emulated here (TCG). host, ours and emulated without a throttle say nothing about a PC;",
        "gain.* is our virtio devices ÷ emulated IDE and e1000 on the same emulated guest, relative alone.",
    ]


def _random_disk(path: Path, mib: int) -> None:
    """Written out and not cached, so that reading it is reading a disk."""
    if not path.exists():
        with path.open("wb") as file, Path("/dev/urandom").open("rb") as random:
            for _ in range(mib):
                file.write(random.read(MIB))
    _tool(["sync", str(path)])


@contextmanager
def _served(network: Lan, directory: Path, size: Size) -> Iterator[str]:
    """The URL, in the LAN, of a file of zeros."""
    directory.mkdir()
    with (directory / "data").open("wb") as file:
        file.truncate(size.net_mib * MIB)
    listener = network.open_listener(0)
    server = ThreadingHTTPServer(("", 0), partial(_Quiet, directory=str(directory)), bind_and_activate=False)
    server.socket.close()
    server.socket = listener
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://{network.address}:{listener.getsockname()[1]}/data"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  its name in the base class
        pass


def _commands(size: Size) -> list[str]:
    return [
        f"qemu-storage-daemon --object {GROUP} … (the host)",
        f"qemu-img bench -d 1 -s 1M -t none -c {size.slow_mib} (the host)",
        f"dd bs=1M iflag=direct count={size.slow_mib} (in the guest, libvirt's iotune at the same rate)",
        f"dd bs=4k iflag=direct count={size.requests // 8} (in the guest, eight at once)",
        "wget -O /dev/null (in the guest)",
    ]


def _tool(argv: Sequence[str]) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        raise HostBroken("measure_failed", f"{argv[0]} ended with {done.returncode}: {done.stderr[-300:]}")
    return done.stdout


def versions() -> dict[str, str]:
    """What took part."""
    qemu = _tool(["qemu-img", "--version"]).split()[2]
    return {"openvras": version("openvras"), "qemu": qemu, "python": platform.python_version()}


def main() -> int:
    """Parses the command line, measures in a place of its own, prints the report."""
    options = parser(__doc__, quick="small, one minute", rounds=ROUNDS).parse_args()
    size = QUICK if options.quick else FULL
    try:
        lan.sweep_stale()
        with scratch.directory() as directory, Lan() as network:
            start = probing.system()
            computer = LabPc(
                network.join("pc"), directory / "pc", cache=default_cache() / "qemu-capabilities"
            )
            with computer, _served(network, directory / "served", size) as url:
                hypervisor = Hypervisor(computer.uri)
                place = Place(directory, hypervisor, start, url, size)
                report = measure(place, rounds=options.rounds or ROUNDS, judged=not options.quick)
                hypervisor.close()
    except VrasError as error:
        print(f"{error}", file=sys.stderr)
        return EXIT_NOT_RUN
    return tell(report, versions(), as_json=options.json)


if __name__ == "__main__":
    sys.exit(main())
