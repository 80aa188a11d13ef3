"""A LAN for one test. Needs root."""

from collections.abc import Iterator

import pytest

from config.demo import pcs
from config.demo.lan import Lan


@pytest.fixture(scope="session")
def swept() -> None:
    """What an earlier run left when it was killed is gone."""
    pcs.sweep_stale()


@pytest.fixture
def lan(swept: None) -> Iterator[Lan]:
    with Lan() as lan:
        yield lan
