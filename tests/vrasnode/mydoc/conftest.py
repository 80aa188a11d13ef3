"""An office that knows user data, and a PC of it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.vrasnode.conftest import member_of
from tests.vrasnode.mydoccast import DataOffice, DataPc


@pytest.fixture
def office(data_office: DataOffice) -> DataOffice:
    return data_office


@pytest.fixture
def pc(office: DataOffice, tmp_path: Path) -> Iterator[DataPc]:
    pc = DataPc(tmp_path, office=office, identity=member_of(office, tmp_path / "identity"))
    yield pc
    pc.close()
