"""Volumes whose files were spoilt: it is said, nothing is formatted over, and who can still open them can."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.vrasnode.volumecast import MIB, Made, holds, write
from vrasnode.errors import HostBroken, Refused
from vrasnode.mydoc import luks
from vrasnode.mydoc.volumes import Slot

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def volume_in_use(tmp_path_factory: pytest.TempPathFactory) -> Made:
    volume = Made(tmp_path_factory.mktemp("used")).create()
    try:
        volume.serve()
        write(volume, 7)
    finally:
        volume.stop()
    return volume


@pytest.fixture
def made(volume_in_use: Made, tmp_path: Path) -> Iterator[Made]:
    """A locked volume with something in it."""
    volume = volume_in_use.copy_to(tmp_path / "mydoc")
    try:
        yield volume
    finally:
        volume.stop()


def spoil(file: Path, *, at: int, length: int = 512) -> None:
    """A bad sector, written over with noise."""
    with file.open("r+b") as opened:
        opened.seek(at)
        opened.write(os.urandom(length))


def truncate(file: Path, size_bytes: int) -> None:
    os.truncate(file, size_bytes)


def key_material(made: Made, slot: Slot) -> int:
    """Where in the file lies what the slot's key opens (LUKS1 §2.1, an offset in sectors)."""
    data = made.file.read_bytes()[: luks.START_BYTES]
    at = 208 + 48 * int(slot) + 40
    return int.from_bytes(data[at : at + 4], "big") * 512


@pytest.mark.parametrize(
    "harm",
    [
        lambda file: spoil(file, at=0, length=6),
        lambda file: spoil(file, at=104, length=4),
        lambda file: spoil(file, at=208, length=4),
        lambda file: spoil(file, at=168, length=40),
        lambda file: truncate(file, 0),
        lambda file: truncate(file, 1 << 20),
        lambda file: truncate(file, 3 << 20),
        lambda file: truncate(file, file.stat().st_size - 1),
        lambda file: file.write_bytes(bytes(18 << 20)),
        lambda file: file.write_bytes(b"LUKS\xba\xbe\0\x02" + bytes(18 << 20)),
    ],
    ids=[
        "magic",
        "offset",
        "slot",
        "uuid",
        "empty",
        "half a header",
        "cut",
        "a byte",
        "zeros",
        "luks2",
    ],
)
def test_a_spoilt_file_is_said_and_left_as_it_is(made: Made, harm: Callable[[Path], None]) -> None:
    harm(made.file)
    before = made.file.read_bytes()

    for key in (made.lan_key, made.recovery_key):
        with pytest.raises(HostBroken) as broken:
            made.volumes.serve(made.name, key)
        assert broken.value.code == "volume_damaged"
        assert "docs/user-data.md" in broken.value.words
    with pytest.raises(HostBroken):
        made.volumes.grow(made.name, 64 * MIB)
    with pytest.raises(Refused):
        made.create()

    assert made.file.read_bytes() == before
    assert made.volumes.serving(made.name) is None


def test_what_is_kept_of_the_header_brings_no_killed_slot_back(made: Made) -> None:
    lease = os.urandom(32)
    made.volumes.set_key(made.name, Slot.LEASE, lease, key=made.lan_key)
    start, note = made.file.read_bytes()[: luks.START_BYTES], made.note.read_bytes()
    made.volumes.kill_slot(made.name, Slot.LEASE)

    with made.file.open("r+b") as file:
        file.write(start)
    made.note.write_bytes(note)

    assert Slot.LEASE in luks.read_header(made.file).slots
    assert not made.volumes.opens(made.name, lease)
    with pytest.raises(HostBroken):
        made.volumes.serve(made.name, lease)


def test_a_spoilt_slot_is_told_from_a_wrong_key_and_the_recovery_key_still_opens(made: Made) -> None:
    spoil(made.file, at=key_material(made, Slot.LAN))

    with pytest.raises(HostBroken) as broken:
        made.serve()

    assert broken.value.code == "volume_damaged"
    made.volumes.serve(made.name, made.recovery_key)
    assert holds(made, 7)


def test_a_header_that_names_what_nobody_knows_is_damaged(made: Made) -> None:
    spoil(made.file, at=8, length=32)  # the cipher

    with pytest.raises(HostBroken) as broken:
        made.serve()

    assert broken.value.code == "volume_damaged"


def test_the_file_of_another_volume_is_not_taken_for_it(made: Made) -> None:
    other = Made(made.directory).create()
    made.file.write_bytes(other.file.read_bytes())

    for key in (made.lan_key, other.lan_key):
        with pytest.raises(HostBroken) as broken:
            made.volumes.serve(made.name, key)
        assert broken.value.code == "volume_damaged"
        assert "another volume" in broken.value.words


@pytest.mark.parametrize("harm", [Path.unlink, lambda note: note.write_bytes(b"{")], ids=["gone", "spoilt"])
def test_a_volume_opens_without_its_note_and_has_one_again(made: Made, harm: Callable[[Path], None]) -> None:
    before = made.note.read_bytes()
    harm(made.note)

    made.serve()

    assert holds(made, 7)
    assert made.note.read_bytes() == before


def test_a_file_that_is_gone_is_said(made: Made) -> None:
    made.file.unlink()

    with pytest.raises(HostBroken) as broken:
        made.serve()

    assert broken.value.code == "volume_missing"
    assert made.volumes.prove_locked(made.name)
