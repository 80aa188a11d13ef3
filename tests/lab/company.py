"""A company's directory for one test session: a real domain controller with a cast. Needs root."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from config.demo import directory as companies
from config.demo.authority import Authority
from config.demo.directory import Directory
from config.demo.domaincontroller import DomainController
from config.demo.lan import Lan
from vrasnode.servicevm.build.cache import default_cache


@pytest.fixture(scope="session")
def kept_directory(swept: None) -> Path:
    """The archive of a provisioned controller with the cast: made once, then kept."""
    return companies.kept(default_cache())


@pytest.fixture(scope="session")
def directory(kept_directory: Path) -> Iterator[Directory]:
    """One controller that tests share; each changes only people that it adds."""
    with tempfile.TemporaryDirectory(prefix="openvras-dc-") as scratch, Lan() as lan:
        place = Path(scratch)
        authority = Authority(place)
        with DomainController(lan, place / "dc", authority, archive=kept_directory) as controller:
            yield Directory(controller)
