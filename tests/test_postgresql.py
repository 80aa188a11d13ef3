"""What a company runs on: every verb's test once more, on a real PostgreSQL."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def on(postgres_url: str, *tests: str) -> None:
    """Runs these in a process of their own; they have to be green."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *tests],
        cwd=ROOT,
        env={**os.environ, "OPENVRAS_DATABASE": postgres_url},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout[-4000:]


@pytest.mark.slow
def test_every_verb_holds_on_postgresql(postgres_url: str) -> None:
    on(
        postgres_url,
        *("-m", "not slow and not soak", "tests/clients", "tests/imaging", "tests/mydoc"),
        # Where the database itself refuses a key: its triggers are written once for each database.
        *("tests/checkout/test_attacks.py", "tests/checkout/test_races.py"),
        "--deselect=tests/clients/people/test_roles.py",  # knocks at every door: no verb behind most of them
    )


@pytest.mark.soak
def test_all_of_checkout_holds_on_postgresql(postgres_url: str) -> None:
    on(postgres_url, "-m", "not slow and not soak", "tests/checkout")
