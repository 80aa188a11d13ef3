"""A whole image held against its manifest: every byte counts, zeros included."""

from collections.abc import Generator
from pathlib import Path
from typing import TypeVar

import pytest

from tests.vrasnode.office import CHUNK, Keys, Published, publish
from vrasnode.errors import HostBroken
from vrasnode.imaging import checking
from vrasnode.imaging.checking import Ruler, Verdict, verify

T = TypeVar("T")


def result(bites: Generator[None, None, T]) -> T:
    while True:
        try:
            next(bites)
        except StopIteration as end:
            value: T = end.value
            return value


def judge(tmp_path: Path, data: bytes, version: Published) -> Verdict:
    image = tmp_path / "a.raw"
    image.write_bytes(data)
    return result(verify(image, version.manifest, threads=2))


def test_a_sound_image_is_sound(tmp_path: Path, old: Published) -> None:
    assert judge(tmp_path, old.data, old).sound


@pytest.mark.parametrize("chunk", [0, 30, 99, 109])
def test_one_flipped_bit_is_found_where_it_is(
    chunk: int,
    tmp_path: Path,
    old: Published,
) -> None:
    data = bytearray(old.data)
    data[chunk * CHUNK + CHUNK // 2 if chunk != 109 else 109 * CHUNK + 3] ^= 0x10

    verdict = judge(tmp_path, bytes(data), old)

    assert not verdict.sound
    assert [old.manifest.numbers[entry] for entry in verdict.wrong] == [chunk]


@pytest.mark.parametrize("at", [40 * CHUNK, 45 * CHUNK + 5, 50 * CHUNK - 1, 100 * CHUNK + 1])
def test_a_byte_where_zeros_belong_is_found(at: int, tmp_path: Path, old: Published) -> None:
    data = bytearray(old.data)
    data[at] = 1

    assert judge(tmp_path, bytes(data), old).misshapen


@pytest.mark.parametrize("change", [-1, 1, -CHUNK])
def test_another_size_is_found(change: int, tmp_path: Path, old: Published) -> None:
    data = (old.data + b"\0")[: len(old.data) + change]

    assert not judge(tmp_path, data, old).sound


def test_an_image_that_cannot_be_read_is_the_disks_trouble(tmp_path: Path, old: Published) -> None:
    with pytest.raises(HostBroken):
        result(verify(tmp_path / "none.raw", old.manifest, threads=1))


def test_runs_are_side_by_side_and_not_too_long(keys: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checking, "RUN_BYTES", 3 * CHUNK)
    data = b"".join(bytes([number + 1]) * CHUNK for number in range(8))
    data = data[: 5 * CHUNK] + bytes(CHUNK) + data[6 * CHUNK :]
    ruler = Ruler(publish(keys, data).manifest)

    runs = [(run.first, run.count, *ruler.place(run)) for run in ruler.runs([0, 1, 2, 3, 4, 5, 6])]

    assert runs == [(0, 3, 0, 3 * CHUNK), (3, 2, 3 * CHUNK, 2 * CHUNK), (5, 2, 6 * CHUNK, 2 * CHUNK)]
    assert list(ruler.gaps()) == [(5 * CHUNK, 6 * CHUNK)]
