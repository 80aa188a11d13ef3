"""What no file system uses is left out, where that is sure; where it is not, all is kept (row I7)."""

import os
import random
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from vrasnode.chunks import cutting, freespace, opening
from vrasnode.chunks.freeranges import FreeRanges, zero_bits
from vrasnode.chunks.freespace import FreeSpace

MIB = 1 << 20
SIZE = 32 * MIB
STALE = random.Random(1).randbytes(4 * MIB)


def run(*argv: object, stdin: bytes | None = None) -> bytes:
    return subprocess.run([str(word) for word in argv], input=stdin, check=True, capture_output=True).stdout


def whole(path: Path) -> Path:
    """A disk of stale bytes everywhere: what was deleted long ago."""
    with path.open("wb") as file:
        while file.tell() < SIZE:
            file.write(STALE)
    return path


def ext4(path: Path, *options: str) -> Path:
    run("mkfs.ext4", "-q", "-F", "-E", "nodiscard,lazy_itable_init=0", *options, path, SIZE >> 10)
    kept = path.with_suffix(".kept")
    kept.write_bytes(b"what somebody wrote" * 50_000)
    run("debugfs", "-w", "-f", "-", path, stdin=f"write {kept} kept\n".encode())
    return path


def ntfs(path: Path) -> Path:
    run("mkntfs", "-q", "-F", "-f", path)
    kept = path.with_suffix(".kept")
    kept.write_bytes(b"what somebody wrote" * 50_000)
    run("ntfscp", "-q", "-f", path, kept, "kept")
    return path


def look(path: Path) -> FreeSpace:
    with opening.open_image(path) as image:
        return image.free_space()


def without_free_space(path: Path, target: Path) -> Path:
    """A copy in which zeros lie where the free space is."""
    data = bytearray(path.read_bytes())
    for low, high in look(path).ranges.within(0, len(data)):
        data[low:high] = bytes(high - low)
    target.write_bytes(data)
    return target


def test_an_ext4_that_was_cleanly_unmounted_is_sound_without_its_free_space(tmp_path: Path) -> None:
    disk = ext4(whole(tmp_path / "disk"))
    before = disk.read_bytes()

    found = look(disk)
    copy = without_free_space(disk, tmp_path / "copy")

    assert [(volume.kind, volume.unsure) for volume in found.volumes] == [("ext4", "")]
    assert found.ranges.bytes > SIZE // 8  # groups of blocks that were never used are not looked into
    run("e2fsck", "-f", "-n", copy)
    assert run("debugfs", "-R", "cat kept", copy) == b"what somebody wrote" * 50_000
    assert disk.read_bytes() == before


def test_an_ntfs_that_was_shut_down_is_sound_without_its_free_space(tmp_path: Path) -> None:
    disk = ntfs(whole(tmp_path / "disk"))

    found = look(disk)
    copy = without_free_space(disk, tmp_path / "copy")

    assert [(volume.kind, volume.unsure) for volume in found.volumes] == [("NTFS", "")]
    assert found.ranges.bytes > SIZE // 2
    assert run("ntfscat", copy, "kept") == b"what somebody wrote" * 50_000
    run("ntfsfix", "-n", copy)


def test_partitions_are_looked_into(tmp_path: Path) -> None:
    inner, disk = ext4(whole(tmp_path / "inner")), tmp_path / "disk"
    disk.write_bytes(bytes(MIB) + inner.read_bytes() + bytes(MIB))
    run("sfdisk", "-q", disk, stdin=f"label: gpt\nstart={MIB // 512}, size={SIZE // 512}\n".encode())

    found = look(disk)

    assert [(volume.kind, volume.start, volume.unsure) for volume in found.volumes] == [("ext4", MIB, "")]
    assert list(found.ranges.within(0, MIB)) == []


def write(path: Path, at: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(data)


def needs_recovery(path: Path) -> None:
    run("debugfs", "-w", "-R", "feature needs_recovery", path)


def not_clean(path: Path) -> None:
    run("debugfs", "-w", "-R", "ssv state 0", path)


def wrong_counts(path: Path) -> None:
    run("debugfs", "-w", "-R", "ssv free_blocks_count 77", path)


@pytest.mark.parametrize("spoil", [needs_recovery, not_clean, wrong_counts])
def test_nothing_is_guessed_of_an_ext4_that_is_not_clean(
    tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    disk = ext4(whole(tmp_path / "disk"))
    spoil(disk)

    found = look(disk)

    assert found.volumes[0].unsure
    assert found.ranges.bytes == 0


def hibernated(path: Path) -> None:
    sleep = path.with_suffix(".sleep")
    sleep.write_bytes(b"HIBR" + bytes(100_000))
    run("ntfscp", "-q", "-f", path, sleep, "hiberfil.sys")


def dirty(path: Path) -> None:
    """As Windows marks a volume while it uses it, by a flag in $Volume."""
    data = path.read_bytes()
    table = int.from_bytes(data[0x30:0x38], "little") * int.from_bytes(data[0x0B:0x0D], "little") * data[0x0D]
    record = data[table + 3 * 1024 : table + 4 * 1024]
    at = int.from_bytes(record[0x14:0x16], "little")
    while record[at] != 0x70:
        at += int.from_bytes(record[at + 4 : at + 8], "little")
    write(path, table + 3 * 1024 + at + int.from_bytes(record[at + 0x14 : at + 0x16], "little") + 10, b"\x01")


@pytest.mark.parametrize("spoil", [hibernated, dirty])
def test_nothing_is_guessed_of_an_ntfs_that_windows_has_not_let_go_of(
    tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    disk = ntfs(whole(tmp_path / "disk"))
    spoil(disk)

    found = look(disk)

    assert found.volumes[0].unsure
    assert found.ranges.bytes == 0


@pytest.mark.parametrize("make", [ext4, ntfs])
def test_hostile_tables_cost_nothing_but_an_unsure(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    disk = make(whole(tmp_path / "disk"))
    rng = random.Random(7)
    sound = disk.read_bytes()[: 8 * MIB]
    for _ in range(80):
        spoilt = bytearray(sound)
        for _ in range(6):
            spoilt[rng.choice([rng.randrange(4096), rng.randrange(len(spoilt))])] = rng.randrange(256)
        found = freespace.find(lambda at, length, data=spoilt: bytes(data[at : at + length]), SIZE)  # type: ignore[misc]
        assert all(high <= SIZE for _low, high in found.ranges.within(0, SIZE))


def test_a_publisher_sends_nothing_of_the_free_space(tmp_path: Path) -> None:
    disk = ext4(whole(tmp_path / "disk"))

    with opening.open_image(disk) as image:
        all_of_it = cutting.cut(image, known=(), emit=lambda pack: None)
        used = cutting.cut(image, known=(), emit=lambda pack: None, free=image.free_space().ranges)
    copy = without_free_space(disk, tmp_path / "copy")
    with opening.open_image(copy) as image:
        trimmed = cutting.cut(image, known=(), emit=lambda pack: None)

    assert used.digests == trimmed.digests and list(used.numbers) == list(trimmed.numbers)
    assert used.packed_bytes < all_of_it.packed_bytes
    assert used.allocated_bytes < all_of_it.allocated_bytes


def test_runs_of_zero_bits_are_found_wherever_they_lie() -> None:
    bits = random.Random(4).randbytes(50)
    one_by_one = {at for at in range(397) if not bits[at >> 3] >> (at & 7) & 1}

    found = {at for begin, end in zero_bits(bits, 397) for at in range(begin, end)}

    assert found == one_by_one
    ranges = FreeRanges([(10, 20), (20, 25), (40, 50)])
    assert (len(ranges), ranges.bytes) == (2, 25)
    assert list(ranges.within(15, 45)) == [(15, 25), (40, 45)]
    assert ranges.cover(11, 25) and not ranges.cover(20, 41)


def test_what_another_system_took_over_is_left_alone(tmp_path: Path) -> None:
    disk = ext4(whole(tmp_path / "disk"))
    write(disk, 0, b"LUKS\xba\xbe")

    def read(at: int, length: int) -> bytes:
        with disk.open("rb") as file:
            return os.pread(file.fileno(), length, at)

    found = freespace.find(read, SIZE)

    assert found.ranges.bytes == 0 and found.volumes[0].unsure
