"""A version for N PCs of one LAN at once: sharing, beside plain HTTP, libtorrent, udpcast and uftp.

    python -m benchmarks.swarm [--quick] [--json] [--rounds N] [--only METHOD,…]
    python -m benchmarks.swarm --fault FAULT,…|all [--pcs N] [--mbit N] [--rounds N]

Namespaces on one machine, each link shaped both ways (tc tbf); the real server (uvicorn, Redis) gives out
pieces, nginx sends packs from the disk, as in production but without TLS. All get the same bytes: packs of
256 KiB chunks whose frames measure about 85 KB, as those of a desktop's update do. Time runs from the word
"go" until the last PC has held everything against its digest; the peers (swarmpeers.py) check in their own
ways. With a fault (swarmfaults.py) each run stands beside others without it, and the time is that of the PCs
that nothing happens to. Needs root, and a machine that does nothing else: what the load was is said.
"""

import argparse
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from benchmarks import swarmfaults, swarmpeers
from benchmarks.swarmfaults import FAULTS
from config.demo.lan import LAN_BRIDGE, NETWORK, Lan, LanPc
from tests.lab.server import Server

CHUNK, FRAME = 256 << 10, 85_000
POINTS = ((2, 200), (4, 200), (8, 100), (16, 50))
QUICK = ((2, 200),)
FAULT_POINT = (8, 50)  # the processors of two cores are not what it hangs on
PROGRAM = os.environ.get("SWARM_NODE", "-m benchmarks.swarmnode").split()  # another, to look into it

_PREPARE = """
import json, random
from pathlib import Path
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from django.utils import timezone
from clients.enrolment import enrolling; from clients.enrolment import signing
from clients.models import Group
from imaging import desktops, publishing, swarming
from imaging.models import MasterImage
from imaging.store import store
from tests import images
from tests.pcs import FakePc
from vrasnode.wire import codec
given = json.loads(GIVEN)
now, root, made = timezone.now(), Path(given["root"]), random.Random(1)
image = MasterImage.objects.create(name="bench")
rest = bytes(given["chunk"] - given["frame"])
chunks = [made.randbytes(given["frame"]) + rest for _ in range(given["chunks"])]
for first in range(0, len(chunks), 600):
    images.stock(*chunks[first : first + 600])
version = publishing.open_version(image, note="")
publishing.seal(version, images.signed_manifest(image, chunks, now=now), now=now)
publishing.check_sealed(version, now=now)
version.refresh_from_db()
found = {
    "manifest": str(store().manifest_path(version.manifest)),
    "digest": version.manifest,
    "frames": str(store().frames_path(version.manifest)),
    "authority": codec.decode(signing.store().installation, dict)["ca_certificate"],
    "source": [str(path) for path in sorted(store().root.glob("packs/*/*.pack"))],
    "pcs": [],
}
group = Group.objects.create(name="bench")
for number, address in enumerate(given["addresses"]):
    pc = FakePc.enrol(f"pc{number}", group=group, approved=True, now=now)
    directory = root / f"pc{number}"
    directory.mkdir()
    pem = pc.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (directory / "signing.key").write_bytes(pem)
    (directory / "certificate.pem").write_text(enrolling.answer(pc.client).certificate)
    pc.client.seen_from = address
    terms = swarming.terms(pc.client, 1, now=now, upload_bytes_s=None)
    one = {"me": str(pc.client.pk), "directory": str(directory), "swarm": json.loads(codec.encode(terms))}
    one["packs"] = f"/packs/{desktops.permission(pc.client.pk, now=now)}/"
    found["pcs"].append(one)
print(json.dumps(found))
"""


_NGINX = r"""
daemon off;
master_process off;
user root;
pid PID;
error_log stderr crit;
events { worker_connections 1024; }
http {
    sendfile on;
    tcp_nopush on;
    access_log off;
    server {
        listen PORT;
        location ~ "^/packs/[^/]+/(?<pack>(?<shelf>[0-9a-f]{2})[0-9a-f]{62})$" {
            alias STORE/packs/$shelf/$pack.pack;
            etag off;
            if_modified_since off;
        }
    }
}
"""


_CALLS = """
import time
from django.utils import timezone
from clients.models import Client
from imaging import swarming, swarmnode
from vrasnode.wire import codec
from vrasnode.wire.swarm import SwarmCall
pc = Client.objects.first()
pc.seen_from = "198.18.0.9"
terms = swarming.terms(pc, 2, now=timezone.now(), upload_bytes_s=None)
headers = [(b"authorization", f"Bearer {terms.permission}".encode())]
scope = {"path": terms.path, "method": "POST", "headers": headers, "client": ("198.18.0.9", 1)}
join = codec.encode(SwarmCall(port=9, pieces=8000, need=bytes([255]) * 1000))
swarmnode._answer(scope, join)
body = codec.encode(SwarmCall(want=2, revision=1))
began = time.process_time()
for _ in range(CALLS):
    assert swarmnode._answer(scope, body)[0] == 200
print(1000 * (time.process_time() - began) / CALLS)
"""


class Bench:
    """N PCs and a server on a LAN of their own, with a version."""

    def __init__(self, pcs: int, mbit: int, *, chunks: int, stack: ExitStack) -> None:
        self.mbit = mbit
        self.root = Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="swarm-bench-", dir="/dev/shm"))
        )
        self.lan = stack.enter_context(Lan())
        self.place = self.lan.join("server")
        self.pcs = [self.lan.join(f"pc{number}") for number in range(pcs)]
        for number, pc in enumerate([self.place, *self.pcs], 1):
            self.shape(pc, number, mbit)
            # As a Debian PC does it, whatever this machine is set to; for all methods.
            route = [str(NETWORK), "dev", LAN_BRIDGE, "src", pc.address, "congctl", "cubic"]
            subprocess.run(["ip", "-n", pc.namespace, "route", "replace", *route], check=True)
        self.server = stack.enter_context(Server(self.root / "server", lan=self._listen))
        stack.enter_context(self._nginx())
        given: dict[str, Any] = {"root": str(self.root), "addresses": [pc.address for pc in self.pcs]}
        given |= {"chunk": CHUNK, "frame": FRAME, "chunks": chunks}
        made = self.server.shell(_PREPARE.replace("GIVEN", repr(json.dumps(given))))
        self.told: dict[str, Any] = json.loads(made.splitlines()[-1])
        self.bytes = sum(Path(path).stat().st_size for path in self.told["source"])

    @contextmanager
    def _nginx(self) -> Iterator[None]:
        """What sends the packs. The permission is in the path, and not asked about here."""
        with self._listen(0) as free:
            port = free.getsockname()[1]
        self.packs_url = f"http://{self.place.address}:{port}"
        directory = self.root / "nginx"
        directory.mkdir()
        where = {"PID": directory / "pid", "PORT": f"{self.place.address}:{port}"}
        where |= {"STORE": self.server.directory / "data" / "store"}
        text = _NGINX
        for name, value in where.items():
            text = text.replace(name, str(value))
        (directory / "nginx.conf").write_text(text)
        argv = ["nginx", "-c", str(directory / "nginx.conf"), "-p", str(directory)]
        process = subprocess.Popen(self.place.command(argv))
        self._servers = [self.server.web.pid, process.pid]
        while not self._answers(port):
            time.sleep(0.05)
        try:
            yield
        finally:
            process.terminate()
            process.wait()

    def _answers(self, port: int) -> bool:
        try:
            self.place.run_inside(lambda: socket.create_connection((self.place.address, port)).close())
        except OSError:
            return False
        return True

    def shape(self, pc: LanPc, number: int, mbit: float) -> None:
        for namespace, link in ((pc.namespace, "eth0"), (self.lan.namespace, f"port{number}")):
            rule = ["root", "tbf", "rate", f"{mbit}mbit", "burst", "128kb", "limit", "1mb"]
            subprocess.run(["tc", "-n", namespace, "qdisc", "replace", "dev", link, *rule], check=True)

    def _listen(self, port: int) -> socket.socket:
        return self.place.run_inside(lambda: socket.create_server((self.place.address, port), backlog=1024))

    def nodes(self, *, swarm: bool, fault: str = "") -> dict[str, Any]:
        """One run with our own PCs. `others`: the time of those that nothing happens to, all but the last."""
        last = len(self.pcs) - 1
        running = {n: self._node(n, swarm, lies=fault == "lies" and n == last) for n in range(len(self.pcs))}
        if fault == "slow":
            self.shape(self.pcs[last], last + 2, self.mbit / 10)
        sent, cpu, began = self.place.sent_bytes(), self._server_cpu(), time.monotonic()
        for number, process in running.items():
            if fault != "late" or number != last:
                _say(process)
        ideal = self.bytes * 8 / self.mbit / 1e6
        with swarmfaults.happening(fault, self, began, ideal, running):
            told = {n: json.loads(_line(one)) for n, one in running.items() if not fault or n != last}
            result: dict[str, Any] = {
                "x": max(one["at"] for one in told.values()) / ideal - began / ideal,
                "others": max(one["at"] for n, one in told.items() if n != last) / ideal - began / ideal,
                "egress": (self.place.sent_bytes() - sent) / self.bytes,
                "given": sum(one["server_bytes"] for one in told.values()) / self.bytes,
                "cpu_s_gb": statistics.median(one["cpu_s"] for one in told.values()) / self.bytes * 1e9,
                "server_cpu_s_gb": (self._server_cpu() - cpu) / self.bytes * 1e9,
                "peak_mb": max(one["peak_bytes"] for one in told.values()) / 1e6,
                "wrong": sorted({name for one in told.values() for name in one["wrong"]}),
            }
        if fault and last in running:
            result["last_s"] = json.loads(_line(running[last]))["at"] - began
        for process in running.values():
            assert process.stdin is not None
            process.stdin.close()
            process.wait(60)
        return result

    def _node(self, number: int, swarm: bool, *, lies: bool) -> "subprocess.Popen[str]":
        mine = self.told["pcs"][number]
        errand = {key: self.told[key] for key in ("manifest", "digest", "frames", "authority")}
        errand |= {key: mine[key] for key in ("me", "directory", "packs")}
        errand |= {"server": self.server.lan_url, "bytes_at": self.packs_url, "lies": lies}
        errand["swarm"] = mine["swarm"] if swarm else None
        process = subprocess.Popen(
            self.pcs[number].command([sys.executable, *PROGRAM]),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        _say(process, json.dumps(errand))
        assert _line(process).strip() == "ready"
        return process

    def _server_cpu(self) -> float:
        ticks = 0
        for pid in self._servers:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    def call_cpu_ms(self, calls: int = 1000) -> float:
        """Processor time of one call of a PC that shares, in the server's Python (Redis apart)."""
        return float(self.server.shell(_CALLS.replace("CALLS", str(calls))).splitlines()[-1])

    def forget(self) -> None:
        """The swarm of the round before is over."""
        self.server.shell("from clients import quickstore; quickstore.client().flushdb()")


def _say(process: "subprocess.Popen[str]", words: str = "go") -> None:
    assert process.stdin is not None
    process.stdin.write(words + "\n")
    process.stdin.flush()


def _line(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # whoever ends it leaves nothing behind, either
    parser = argparse.ArgumentParser(description="A version for N PCs of one LAN at once.")
    parser.add_argument("--quick", action="store_true", help="2 PCs, 10 MB, once")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help="ways, by comma")
    parser.add_argument("--pcs", type=int, default=0, help="this many alone")
    parser.add_argument("--mbit", type=int, default=0, help="with --fault: the links")
    parser.add_argument("--chunks", type=int, default=0, help="how large the version is: 85 KB each")
    parser.add_argument("--fault", default="", help=f"by comma: {', '.join(FAULTS)}; or all")
    options = parser.parse_args()
    if options.fault:
        pcs, mbit = (options.pcs or FAULT_POINT[0], options.mbit or FAULT_POINT[1])
        with ExitStack() as stack:
            bench = Bench(pcs, mbit, chunks=options.chunks or (120 if options.quick else 600), stack=stack)
            runs = swarmfaults.runs(bench, options.fault, rounds=1 if options.quick else options.rounds)
        print(json.dumps(runs) if options.json else swarmfaults.table(runs))
        return
    methods = ["swarm", "http", *swarmpeers.found()]
    methods = [one for one in methods if not options.only or one in options.only.split(",")]
    found: list[dict[str, Any]] = []
    for pcs, mbit in QUICK if options.quick else POINTS:
        if options.pcs and options.pcs != pcs:
            continue
        with ExitStack() as stack:
            bench = Bench(pcs, mbit, chunks=options.chunks or (120 if options.quick else 1200), stack=stack)
            words = f"one call of a PC: {bench.call_cpu_ms():.3f} ms of the server's processor"
            print(words, file=sys.stderr, flush=True)
            for _ in range(1 if options.quick else options.rounds):
                for method in methods:
                    bench.forget()
                    load = os.getloadavg()[0]
                    if method in ("swarm", "http"):
                        run = bench.nodes(swarm=method == "swarm")
                    else:
                        run = swarmpeers.run(method, bench)
                    found.append({**run, "method": method, "pcs": pcs, "mbit": mbit, "load": load})
                    print(json.dumps(found[-1]), file=sys.stderr, flush=True)
    print(json.dumps(found) if options.json else _table(found))


def _table(found: list[dict[str, Any]]) -> str:
    lines = [
        "| PCs, Mbit/s | method | last PC ÷ (bytes ÷ link) | egress ÷ bytes | load |",
        "| --- " * 5 + "|",
    ]
    for key in dict.fromkeys((one["pcs"], one["mbit"], one["method"]) for one in found):
        runs = [one for one in found if (one["pcs"], one["mbit"], one["method"]) == key]
        x, egress, load = (statistics.median(one[name] for one in runs) for name in ("x", "egress", "load"))
        lines.append(f"| {key[0]}, {key[1]} | {key[2]} | {x:.3f} | {egress:.3f} | {load:.1f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
