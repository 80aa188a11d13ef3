"""What a company runs on: every verb's test once more, on a real PostgreSQL."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.slow
def test_every_verb_holds_on_postgresql(postgres_url: str) -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-m",
            "not slow and not soak",
            "tests/clients",
            "tests/imaging",
            "tests/mydoc",
            "--deselect=tests/clients/test_roles.py",  # knocks at every door: no verb behind most of them
        ],
        cwd=ROOT,
        env={**os.environ, "OPENVRAS_DATABASE": postgres_url},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout[-4000:]
