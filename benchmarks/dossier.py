"""What the dossier of a lost PC costs: seconds, questions to the database and memory, by the number of files.

`python -m benchmarks.dossier [--quick] [--json | --table] [FILES …]`; else 1,000, 100,000, 1,000,000 files.
Each number is measured in a process of its own: the manifest as a PC hands it in, then the dossier itself and
the table. `--table` prints what docs/benchmarks.md holds.
"""

import argparse
import gzip
import hashlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

SIZES = (1_000, 100_000, 1_000_000)
QUICK = (1_000, 10_000)
FOLDERS = 997
HEAD = (
    "files",
    "the dossier itself",
    "the whole table (CSV)",
    "questions to the database",
    "table",
    "memory at most",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="*", type=int)
    parser.add_argument("--quick", action="store_true", help="few files")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--table", action="store_true", help="as docs/benchmarks.md has it")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one is not None:
        print(json.dumps(measure(given.one)))
        return
    found = [_in_a_process(count) for count in given.files or (QUICK if given.quick else SIZES)]
    if given.json:
        print(json.dumps(found))
        return
    if given.table:
        print(_table(found))
        return
    names = [*found[0]]
    print("  ".join(f"{name:>16}" for name in names))
    for one in found:
        print("  ".join(f"{one[name]:>16,}" for name in names))


def _table(found: list[dict[str, Any]]) -> str:
    rows = [
        (
            f"{one['files']:,}",
            f"{one['dossier_s']:.2f} s",
            f"{one['table_s']:.1f} s",
            str(one["queries"]),
            f"{one['table_bytes'] / 1e6:.1f} MB",
            f"{one['peak_mib']} MiB",
        )
        for one in found
    ]
    return "\n".join(f"| {' | '.join(row)} |" for row in (HEAD, ("---",) * len(HEAD), *rows))


def _in_a_process(count: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="openvras-dossier-") as data:
        environment = {**os.environ, "OPENVRAS_DATA": data, "DJANGO_SETTINGS_MODULE": "config.settings"}
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.dossier", "--one", str(count)],
            env=environment,
            stdout=subprocess.PIPE,
            check=True,
        )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def measure(count: int) -> dict[str, Any]:
    """In this process: a lost PC with one replica of so many files."""
    import django

    django.setup()
    from django.core.management import call_command
    from django.db import connection
    from django.test.utils import CaptureQueriesContext
    from django.utils import timezone

    from checkout import reporting, tabling

    call_command("migrate", verbosity=0)
    loss, now = _lost(count), timezone.now()
    with CaptureQueriesContext(connection) as asked:
        begun = time.monotonic()
        found = reporting.dossier(loss, now=now)
        dossier_s = time.monotonic() - begun
        size = sum(len(piece) for piece in tabling.pieces(found, language="ja"))
        table_s = time.monotonic() - begun
    return {
        "files": count,
        "dossier_s": round(dossier_s, 3),
        "table_s": round(table_s, 2),
        "queries": len(asked),
        "table_bytes": size,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10,
    }


def _lost(count: int) -> Any:
    from django.contrib.auth.models import User
    from django.utils import timezone

    from clients.models import Client
    from mydoc.models import Loss, Replica, ReplicationRun, Volume
    from mydoc.replicas import manifests

    now = timezone.now()
    client = Client.objects.create(name="pc-sales-01", signing_key=b"x", state=Client.State.LOST)
    volume = Volume.objects.create(owner=User.objects.create_user("sato"), client=client, limit_bytes=1 << 40)
    replica = Replica.objects.create(volume=volume, password=b"x", repository_password=b"x", last_good_at=now)
    run = ReplicationRun.objects.create(
        replica=replica,
        occasion="schedule",
        state="done",
        asked_at=now,
        begun_at=now,
        ended_at=now,
        files=count,
        told={"total_bytes": count << 12},
    )
    where: Path = manifests.path_of(run)
    where.parent.mkdir(parents=True)
    with gzip.open(where, "wb", compresslevel=6) as file:
        for line in _lines(count):
            file.write(line)
    return Loss.objects.create(client=client, declared_at=now, reason="lost", then=[], halves_until=now)


def _lines(count: int) -> Iterator[bytes]:
    """Sorted by path, one at a time: the memory that is measured is the dossier's."""
    from vrasnode.wire import codec
    from vrasnode.wire.replication import ManifestLine

    for folder in range(FOLDERS):
        for number in range(folder, count, FOLDERS):
            path = f"営業部/{folder:03}/見積書 {number:07}.xlsx".encode()
            digest = hashlib.sha256(path).hexdigest()
            yield codec.encode(ManifestLine(path, 4096, 1_790_000_000_000_000_000, digest)) + b"\n"


if __name__ == "__main__":
    main()
