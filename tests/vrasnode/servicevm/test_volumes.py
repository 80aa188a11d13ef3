"""Volumes inside the virtual server: made once, checked before each use, never formatted over. Needs root."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.vrasnode.servicevm.volume import DISK_BYTES, SERIAL, Guest, disk
from vrasnode.servicevm.guest import signatures
from vrasnode.servicevm.guest.answering import Refusal

MIB = 1 << 20


@pytest.fixture
def guest() -> Iterator[Guest]:
    with Guest() as guest:
        yield guest


@pytest.fixture
def used(guest: Guest, tmp_path: Path) -> Path:
    """The disk of a volume that was used, and locked again."""
    image = disk(tmp_path / "used")
    guest.plug(image)
    guest.open(fresh=True)
    (guest.root / "見積.txt").write_text("850,000")
    guest.volumes.close(SERIAL)
    guest.unplug()
    return image


def test_a_fresh_volume_gets_a_file_system_that_is_the_owners(guest: Guest, tmp_path: Path) -> None:
    guest.plug(disk(tmp_path / "disk"))

    opened = guest.open(fresh=True, size_bytes=DISK_BYTES)

    assert opened["repaired"] is False
    assert 0.8 * DISK_BYTES < opened["size_bytes"] <= DISK_BYTES
    assert opened["used_bytes"] < MIB
    assert (guest.root.stat().st_uid, guest.root.stat().st_mode & 0o777) == (1000, 0o700)
    (mount,) = (line for line in Path("/proc/mounts").read_text().splitlines() if str(guest.root) in line)
    assert {"nosuid", "nodev", "noexec"} <= set(mount.split()[3].split(","))
    assert "nobarrier" not in mount


def test_to_open_or_close_a_volume_twice_is_to_do_it_once(guest: Guest, tmp_path: Path) -> None:
    guest.plug(disk(tmp_path / "disk"))
    guest.open(fresh=True)
    (guest.root / "kept").touch()

    guest.open(fresh=True)
    kept = (guest.root / "kept").exists()
    guest.volumes.close(SERIAL)
    guest.volumes.close(SERIAL)

    assert kept
    assert not guest.root.exists()


def test_what_is_no_fresh_volume_is_not_formatted(guest: Guest, tmp_path: Path) -> None:
    image = disk(tmp_path / "disk")
    before = image.read_bytes()
    guest.plug(image)

    with pytest.raises(Refusal) as refusal:
        guest.open()

    assert refusal.value.code == "no_filesystem"
    assert image.read_bytes() == before


def test_a_volume_that_is_called_fresh_again_keeps_what_it_holds(guest: Guest, used: Path) -> None:
    guest.plug(used)

    guest.open(fresh=True)

    assert (guest.root / "見積.txt").read_text() == "850,000"


@pytest.mark.parametrize(
    ("trace", "at", "what"),
    [(b"XFSB", 0, "XFS"), (b"LUKS\xba\xbe", 0, "LUKS"), (b"CD001", 32769, "ISO 9660")],
)
def test_a_disk_of_something_else_is_not_formatted_even_when_it_is_called_fresh(
    guest: Guest, tmp_path: Path, trace: bytes, at: int, what: str
) -> None:
    image = disk(tmp_path / "disk")
    with image.open("r+b") as file:
        file.seek(at)
        file.write(trace)
    guest.plug(image)

    with pytest.raises(Refusal, match=what) as refusal:
        guest.open(fresh=True)

    assert refusal.value.code == "foreign_filesystem"


def test_noise_is_no_trace_of_anything(tmp_path: Path) -> None:
    found = set()
    for _ in range(200):
        (tmp_path / "noise").write_bytes(os.urandom(signatures.LOOK_BYTES))
        found.add(signatures.look(str(tmp_path / "noise")))

    assert found == {None}


def test_a_volume_whose_file_was_cut_off_is_said_to_be_and_left_alone(guest: Guest, used: Path) -> None:
    with used.open("r+b") as file:
        file.truncate(DISK_BYTES // 2)
    before = used.read_bytes()
    guest.plug(used)

    for known in (None, DISK_BYTES):
        with pytest.raises(Refusal) as refusal:
            guest.open(size_bytes=known)
        assert refusal.value.code == "volume_truncated"

    assert used.read_bytes() == before


def test_a_damaged_volume_is_said_to_be(guest: Guest, used: Path) -> None:
    with used.open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(2 * MIB))  # tables of groups and inodes
    guest.plug(used)

    with pytest.raises(Refusal) as refusal:
        guest.open()

    assert refusal.value.code == "volume_damaged"
    assert "custodians" in refusal.value.words


def test_what_was_on_the_disk_before_the_power_went_is_there_after(guest: Guest, tmp_path: Path) -> None:
    image = disk(tmp_path / "disk")
    guest.plug(image)
    guest.open(fresh=True)
    with (guest.root / "acknowledged").open("w") as file:
        file.write("before")
        file.flush()
        os.fsync(file.fileno())
    shutil.copyfile(image, tmp_path / "after")  # as the disk is when the plug is pulled now
    guest.volumes.close(SERIAL)
    guest.unplug()

    guest.plug(tmp_path / "after")
    guest.open()

    assert (guest.root / "acknowledged").read_text() == "before"


def test_small_damage_is_repaired_before_the_volume_is_used(guest: Guest, used: Path) -> None:
    for command in ("set_super_value free_blocks_count 7", "set_super_value state 0"):
        subprocess.run(["debugfs", "-w", "-R", command, used], check=True, capture_output=True)
    guest.plug(used)

    assert guest.open()["repaired"] is True
    guest.volumes.close(SERIAL)
    assert guest.open()["repaired"] is False


def test_a_disk_that_does_not_come_is_not_waited_for_for_ever(guest: Guest) -> None:
    with pytest.raises(Refusal) as refusal:
        guest.open()

    assert refusal.value.code == "no_such_disk"
    assert guest.passed > 10


def test_whoever_holds_a_volume_open_is_ended_when_it_is_closed(guest: Guest, used: Path) -> None:
    guest.plug(used)
    guest.open()
    holding = subprocess.Popen(["sleep", "1000"], cwd=guest.root)

    guest.volumes.close(SERIAL)

    assert holding.wait() < 0
    assert not guest.root.exists()


@pytest.mark.parametrize("serial", ["", "../../etc", "0123456789ABCDEF0123", "0" * 19, None, 7])
def test_what_names_no_volume_is_refused(guest: Guest, serial: str) -> None:
    for act in (guest.volumes.close, guest.volumes.usage):
        with pytest.raises(Refusal) as refusal:
            act(serial)
        assert refusal.value.code == "bad_args"


def test_a_volume_that_is_not_open_has_no_usage(guest: Guest) -> None:
    with pytest.raises(Refusal) as refusal:
        guest.volumes.usage(SERIAL)

    assert refusal.value.code == "volume_closed"
