"""The server's data path: what nginx, as it is deployed, costs for each GB that PCs fetch over TLS.

`python -m benchmarks.front [--quick] [--json] [--rounds N] [--range-kib N]`. A real server behind nginx with
deploy/nginx.conf; four connections, as one PC has, fetch ranges (4 MiB; PCs that share take smaller ones) of
packs that lie in the page cache. Counted is the processor time of nginx's processes alone, user and system;
on the loopback that holds part of what the receiver's kernel does, which on a cable the PC does.
"""

import argparse
import secrets
import socket
import ssl
import sys
import tempfile
import threading
import time
import uuid
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit

from benchmarks import measuring
from benchmarks.reporting import Report
from tests.deploy.front import SECRET, Front
from tests.lab.server import Server
from vrasnode.errors import HostBroken

CONNECTIONS, RANGE_KIB = 4, 4096
REQUESTS = 900  # nginx ends a connection after a thousand
PACKS, PACK_BYTES = 8, 64 << 20
BAR_S_GB = 0.3
_PERMISSION = """
from django.utils import timezone
from imaging import desktops
import uuid
print(desktops.permission(uuid.UUID("{pc}"), now=timezone.now()))
"""


def measure(directory: Path, *, options: argparse.Namespace) -> Report:
    """Raises HostBroken."""
    rounds = 1 if options.quick else options.rounds
    range_bytes = options.range_kib << 10
    ranges = f"ranges of {range_bytes >> 10} KiB, {CONNECTIONS} connections, TLS 1.3"
    words = f"{PACKS} packs of {PACK_BYTES >> 20} MiB, {ranges}"
    report = Report("front", words, rounds, ["nginx -c deploy/nginx.conf"], judged=not options.quick)
    (directory / "secret").write_text(SECRET)
    (directory / "server").mkdir()
    settings = {
        "OPENVRAS_IDENTITY": "mtls",
        "OPENVRAS_FRONT_SECRET_FILE": str(directory / "secret"),
        "OPENVRAS_COMPANY_NETWORKS": "127.0.0.1/32",
    }
    with (
        Server(directory / "server", settings=settings) as server,
        Front(directory / "nginx", server).running() as front,
    ):
        packs = [_make_pack(front.store) for _ in range(PACKS)]
        measuring.settle(front.store)
        permission = server.shell(_PERMISSION.format(pc=uuid.uuid4())).strip()
        workers = _children(front.nginx.pid)
        _fetch(front.url, permission, packs[:1], range_bytes)
        costs, rates = [], []
        for _ in range(rounds):
            before, begun = measuring.cpu_s(workers), time.monotonic()
            _fetch(front.url, permission, packs, range_bytes)
            size = PACKS * PACK_BYTES
            costs.append((measuring.cpu_s(workers) - before) / (size / 1e9))
            rates.append(size / (time.monotonic() - begun))
    report.add("nginx.rate", rates, "B/s")
    cost = report.add("nginx.cpu_for_a_gb", costs, "s")
    report.at_most("processor time of nginx for a GB", cost, BAR_S_GB)
    return report


def _fetch(url: str, permission: str, packs: list[str], range_bytes: int) -> None:
    """All of these packs, over `CONNECTIONS` connections at once."""
    where = urlsplit(url)
    address = where.hostname or "", where.port or 443
    wanted = [(pack, start) for pack in packs for start in range(0, PACK_BYTES, range_bytes)]
    failed: list[str] = []
    context = ssl._create_unverified_context()  # noqa: S323 - what is measured is nginx

    def fetch(number: int) -> None:
        mine = wanted[number::CONNECTIONS]
        for begin in range(0, len(mine), REQUESTS):
            line = context.wrap_socket(socket.create_connection(address))
            with line, line.makefile("rb") as answers:
                for pack, start in mine[begin : begin + REQUESTS]:
                    _take(line, answers, f"/packs/{permission}/{pack}", (start, range_bytes), failed)

    threads = [threading.Thread(target=fetch, args=(number,)) for number in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise HostBroken("not_served", f"nginx did not give a range: {failed[0]}.")


def _take(
    line: socket.socket, answers: BinaryIO, path: str, part: tuple[int, int], failed: list[str]
) -> None:
    start, count = part
    asked = f"GET {path} HTTP/1.1\r\nHost: front\r\nRange: bytes={start}-{start + count - 1}\r\n\r\n"
    line.sendall(asked.encode())
    status = answers.readline()
    while answers.readline() not in (b"\r\n", b""):
        pass
    if b" 206 " not in status:
        failed.append(status.decode("latin-1").strip())
    elif len(answers.read(count)) != count:
        failed.append("less than was asked for")


def _make_pack(store: Path) -> str:
    """A file of random bytes in a pack's place; its name."""
    name = secrets.token_hex(32)
    path = store / "packs" / name[:2] / f"{name}.pack"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(secrets.token_bytes(PACK_BYTES))
    return name


def _children(pid: int) -> list[int]:
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one round; no bar")
    parser.add_argument("--json", action="store_true", help="the result as one JSON object on the last line")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="default: %(default)s")
    parser.add_argument("--range-kib", type=int, default=RANGE_KIB, metavar="N", help="default: %(default)s")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="front-") as directory:
        report = measure(Path(directory), options=options)
    print(report.text({}))
    if options.json:
        print(report.json({}))
    return 0 if report.passed else 1


if __name__ == "__main__":
    sys.exit(main())
