"""Writes that are whole or not there, and what a disk's trouble is called."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from vrasnode.errors import HostBroken
from vrasnode.host import disk


def test_a_file_is_replaced_whole_with_its_own_rights(tmp_path: Path) -> None:
    path = tmp_path / "key"
    disk.write_file(path, b"first")

    disk.write_file(path, b"second")

    assert path.read_bytes() == b"second"
    assert path.stat().st_mode & 0o777 == 0o600
    assert [found.name for found in tmp_path.iterdir()] == ["key"]


def test_what_does_not_fit_leaves_the_old_content(small_disk: Callable[[int], Path]) -> None:
    path = small_disk(64 << 10) / "pointer"
    disk.write_file(path, b"old")

    with pytest.raises(HostBroken) as broken:
        disk.write_file(path, bytes(1 << 20))

    assert broken.value.code == "disk_full"
    assert path.read_bytes() == b"old"


def test_nobody_can_lay_a_link_in_the_way_of_a_write(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_bytes(b"precious")
    (tmp_path / ".key.new").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(HostBroken):
        disk.write_file(tmp_path / "key", b"secret")

    assert (tmp_path / "elsewhere").read_bytes() == b"precious"


def test_a_missing_file_is_nothing_and_a_directory_is_trouble(tmp_path: Path) -> None:
    assert disk.read_file(tmp_path / "none") is None
    with pytest.raises(HostBroken) as broken:
        disk.read_file(tmp_path)
    assert broken.value.code == "disk_failed"


def test_a_punched_range_reads_as_zeros_and_gives_its_room_back(tmp_path: Path) -> None:
    path = tmp_path / "image"
    path.write_bytes(b"x" * (1 << 20))

    with path.open("rb+") as file:
        disk.punch(file.fileno(), start=256 << 10, length=512 << 10)
        os.fsync(file.fileno())

    assert path.read_bytes() == b"x" * (256 << 10) + bytes(512 << 10) + b"x" * (256 << 10)
    assert path.stat().st_blocks * 512 <= 600 << 10


def test_where_nothing_clones_that_is_an_answer_and_not_an_error(small_disk: Callable[[int], Path]) -> None:
    directory = small_disk(1 << 20)
    (directory / "source").write_bytes(bytes(4096))

    with (directory / "source").open("rb") as source, (directory / "target").open("wb") as target:
        assert not disk.clone(source.fileno(), target.fileno())
        assert not disk.clone_range(source.fileno(), target.fileno(), start=0, length=4096, to=0)


def test_much_that_is_written_is_on_its_way_to_the_disk_before_the_sync(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[int] = []
    monkeypatch.setattr(disk, "BEHIND_BYTES", 1 << 20)
    monkeypatch.setattr(disk, "begin_writing", lambda handle: begun.append(os.fstat(handle).st_size))

    with (tmp_path / "image").open("wb") as file:
        writer = disk.Writer(file.fileno())
        for number in range(20):
            writer.write(bytes([number]) * (256 << 10), start=number * (256 << 10))

    assert begun == [mib << 20 for mib in range(1, 6)]
    assert (tmp_path / "image").read_bytes() == b"".join(bytes([n]) * (256 << 10) for n in range(20))


def test_the_kernel_begins_to_write_and_says_nothing_of_what_it_cannot(tmp_path: Path) -> None:
    with (tmp_path / "image").open("wb") as file:
        file.write(b"x" * (1 << 20))
        file.flush()
        disk.begin_writing(file.fileno())
    reading, writing = os.pipe()
    disk.begin_writing(writing)  # a pipe has no pages to write
    os.close(reading)
    os.close(writing)

    assert (tmp_path / "image").read_bytes() == b"x" * (1 << 20)
