"""Who appears in tests of usage keys."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.lab.chip import Chip
from tests.vrasnode.checkout.cast import HardwareTpm, LeasePc, LendingOffice
from tests.vrasnode.conftest import member_of
from tests.vrasnode.mydoccast import NO_TPM
from tests.vrasnode.office import Keys


@pytest.fixture
def office(keys: Keys) -> Iterator[LendingOffice]:
    with LendingOffice(keys=keys).open() as office:
        assert isinstance(office, LendingOffice)
        yield office


@pytest.fixture
def pc(office: LendingOffice, tmp_path: Path) -> Iterator[LeasePc]:
    """A PC without a TPM."""
    identity = member_of(office, tmp_path / "identity")
    pc = LeasePc(tmp_path, office=office, identity=identity, tpm=NO_TPM)
    yield pc
    pc.close()


@pytest.fixture
def tpm_pc(office: LendingOffice, tmp_path: Path, chip: Callable[[str], Chip]) -> Iterator[LeasePc]:
    """A PC with a TPM."""
    identity = member_of(office, tmp_path / "identity")
    tpm = HardwareTpm(chip("pc").tpm.tcti)
    pc = LeasePc(tmp_path, office=office, identity=identity, tpm=tpm)
    yield pc
    pc.close()
