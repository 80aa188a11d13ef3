"""A private PostgreSQL: a cluster of its own in a temporary directory, reached by a unix socket only."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from config.demo.processes import Child, run, wait_for

OWNER = "postgres"  # the server refuses to run as root; Debian's package makes this account


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """What OPENVRAS_DATABASE is set to for this cluster's one database."""
    binaries = max(Path("/usr/lib/postgresql").glob("*/bin"))
    directory = Path(tempfile.mkdtemp(prefix="openvras-pg-"))
    as_owner = ["setpriv", f"--reuid={OWNER}", f"--regid={OWNER}", "--clear-groups"]
    try:
        shutil.chown(directory, OWNER)
        data = directory / "data"
        run([*as_owner, str(binaries / "initdb"), "--auth=trust", "--no-sync", "-D", str(data)], env=PLAIN)
        argv = [str(binaries / "postgres"), "-D", str(data), "-k", str(directory), "-h", "", "-F"]
        with Child("postgres", [*as_owner, *argv], log=directory / "postgres.log", env=PLAIN) as child:
            ready = [*as_owner, str(binaries / "pg_isready"), "-h", str(directory)]
            wait_for("PostgreSQL", lambda: _succeeds(ready), children=[child])
            run([*as_owner, str(binaries / "createdb"), "-h", str(directory), "openvras"], env=PLAIN)
            yield f"postgres://{OWNER}@{str(directory).replace('/', '%2F')}/openvras"
    finally:
        shutil.rmtree(directory, ignore_errors=True)


PLAIN = {"LC_ALL": "C.UTF-8", "HOME": "/tmp"}  # noqa: S108  (never written to)


def _succeeds(argv: list[str]) -> bool:
    return subprocess.run(argv, capture_output=True, env={**os.environ, **PLAIN}, check=False).returncode == 0
