"""The PC's half of a key on a PC without a TPM."""

import stat
from pathlib import Path

import pytest

from vrasnode.errors import HostBroken, Refused
from vrasnode.host.tpm import Tpm
from vrasnode.mydoc.pchalf import Halves

VOLUME = "5b0e8f0e-7a51-4f0e-9d3b-0d6d4c9f1a77"
OTHER = "c2f0a2ce-3c53-4d1c-8a52-9a1f6c6b0d1e"


@pytest.fixture
def halves(tmp_path: Path) -> Halves:
    return Halves(tmp_path, tpm=Tpm(f"device:{tmp_path}/none"))


def test_a_half_is_made_once_and_is_of_one_volume(halves: Halves) -> None:
    half = halves.make(VOLUME)

    assert len(half) == 32
    assert halves.make(VOLUME) == halves.get(VOLUME) == half
    assert halves.get(OTHER) is None
    assert halves.make(OTHER) != half


def test_a_half_is_for_its_owners_eyes(halves: Halves, tmp_path: Path) -> None:
    halves.make(VOLUME)

    kept = tmp_path / VOLUME / "half.key"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert stat.S_IMODE(kept.parent.stat().st_mode) == 0o700


def test_a_half_that_was_forgotten_is_gone_and_another_one_is_made(halves: Halves, tmp_path: Path) -> None:
    half = halves.make(VOLUME)

    halves.forget(VOLUME)
    halves.forget(OTHER)  # there never was one

    assert halves.get(VOLUME) is None
    assert list((tmp_path / VOLUME).iterdir()) == []
    assert halves.make(VOLUME) != half


@pytest.mark.parametrize("content", [b"", b"short", bytes(33)])
def test_a_damaged_half_is_said_and_not_made_anew(halves: Halves, tmp_path: Path, content: bytes) -> None:
    halves.make(VOLUME)
    (tmp_path / VOLUME / "half.key").write_bytes(content)

    for ask in (halves.get, halves.make):
        with pytest.raises(HostBroken) as broken:
            ask(VOLUME)
        assert broken.value.code == "half_damaged"
    assert (tmp_path / VOLUME / "half.key").read_bytes() == content


def test_the_name_of_a_volume_leads_nowhere_else(halves: Halves) -> None:
    for act in (halves.get, halves.make, halves.forget):
        with pytest.raises(Refused) as refused:
            act("../identity")
        assert refused.value.code == "bad_volume"
