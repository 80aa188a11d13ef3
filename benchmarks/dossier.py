"""What the dossier of a lost PC costs: seconds, questions to the database and memory, by the number of files.

`python -m benchmarks.dossier [--json] [FILES …]`; by default 1,000, 100,000 and 1,000,000. Each number is
measured in a process of its own: the manifest as a PC hands it in, then the dossier itself and the table.
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
from pathlib import Path
from typing import Any

SIZES = (1_000, 100_000, 1_000_000)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="*", type=int, default=list(SIZES))
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one is not None:
        print(json.dumps(measure(given.one)))
        return
    found = [_in_a_process(count) for count in given.files]
    if given.json:
        print(json.dumps(found))
        return
    names = [*found[0]]
    print("  ".join(f"{name:>16}" for name in names))
    for one in found:
        print("  ".join(f"{one[name]:>16,}" for name in names))


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


def _lines(count: int) -> list[bytes]:
    from vrasnode.wire import codec
    from vrasnode.wire.replication import ManifestLine

    paths = sorted(f"営業部/{n % 997:03}/見積書 {n:07}.xlsx".encode() for n in range(count))
    return [
        codec.encode(ManifestLine(path, 4096, 1_790_000_000_000_000_000, hashlib.sha256(path).hexdigest()))
        + b"\n"
        for path in paths
    ]


if __name__ == "__main__":
    main()
