import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.vrasnode.chunks.raw import raw_file
from vrasnode.chunks.hashing import digest_of
from vrasnode.chunks.scanning import chunk_ranges, data_bytes, extents, scan
from vrasnode.errors import Refused

PAGE = 4096

images = st.tuples(
    st.integers(1, 40 * PAGE),
    st.dictionaries(
        st.integers(0, 40 * PAGE),
        st.one_of(st.binary(min_size=1, max_size=9), st.just(bytes(PAGE))),
        max_size=8,
    ),
)


def chunks_of(data: bytes, chunk_bytes: int) -> dict[int, bytes]:
    """What a scan has to find: every chunk that is not all zero."""
    cut = {at // chunk_bytes: data[at : at + chunk_bytes] for at in range(0, len(data), chunk_bytes)}
    return {number: chunk for number, chunk in cut.items() if chunk.strip(b"\x00")}


@settings(deadline=None)
@given(
    image=images,
    chunk_bytes=st.sampled_from([PAGE, 4 * PAGE]),
    hash=st.sampled_from(["blake3", "sha256"]),
    threads=st.integers(1, 3),
    release=st.booleans(),
)
def test_a_scan_finds_every_chunk_that_is_not_zero_in_order(
    image: tuple[int, dict[int, bytes]],
    chunk_bytes: int,
    hash: str,  # noqa: A002
    threads: int,
    release: bool,
) -> None:
    size, pieces = image
    pieces = {at: data[: size - at] for at, data in pieces.items() if at < size}
    with raw_file(size, pieces) as path:
        fd = os.open(path, os.O_RDONLY)
        found: dict[int, bytes] = {}
        digests: dict[int, bytes] = {}
        for batch in scan(fd, size, chunk_bytes=chunk_bytes, hash=hash, threads=threads):
            found.update({number: bytes(batch.chunk(at)) for at, number in enumerate(batch.numbers)})
            digests.update(zip(batch.numbers, batch.digests, strict=True))
            if release:
                batch.release()
        data = os.pread(fd, size, 0)
        os.close(fd)

    assert found == chunks_of(data, chunk_bytes)
    assert list(found) == sorted(found)
    assert digests == {number: digest_of(hash)(chunk) for number, chunk in found.items()}


def test_only_what_is_allocated_is_read() -> None:
    size = 1 << 40
    with raw_file(size, {5 << 30: b"a", (1 << 39) + 7: b"b"}) as path:
        fd = os.open(path, os.O_RDONLY)
        assert data_bytes(fd, size, chunk_bytes=256 << 10) == 2 * (256 << 10)
        batches = list(scan(fd, size, chunk_bytes=256 << 10))
        os.close(fd)
    assert sum(batch.read_bytes for batch in batches) == 2 * (256 << 10)
    assert [number for batch in batches for number in batch.numbers] == [20480, 1 << 21]


def test_a_chunk_with_two_islands_of_data_is_read_once() -> None:
    with raw_file(8 * PAGE, {0: b"a", 2 * PAGE: b"b", 7 * PAGE: b"c"}) as path:
        fd = os.open(path, os.O_RDONLY)
        assert len(list(extents(fd, 8 * PAGE))) == 3
        assert list(chunk_ranges(fd, 8 * PAGE, chunk_bytes=4 * PAGE)) == [(0, 1), (1, 2)]
        os.close(fd)


@pytest.mark.parametrize("error", [errno.EINVAL, errno.EOPNOTSUPP])
def test_without_hole_maps_the_whole_file_is_read(monkeypatch: pytest.MonkeyPatch, error: int) -> None:
    def no_map(fd: int, position: int, whence: int) -> int:
        raise OSError(error, "not here")

    with raw_file(10 * PAGE + 1, {PAGE: b"a", 10 * PAGE: b"b"}) as path:
        fd = os.open(path, os.O_RDONLY)
        monkeypatch.setattr(os, "lseek", no_map)
        found = [number for batch in scan(fd, 10 * PAGE + 1, chunk_bytes=PAGE) for number in batch.numbers]
        os.close(fd)
    assert found == [1, 10]


def test_a_fault_of_the_disk_is_not_taken_for_a_hole(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(fd: int, position: int, whence: int) -> int:
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr(os, "lseek", broken)
    with pytest.raises(Refused) as refused:
        list(extents(0, PAGE))
    assert refused.value.code == "image_unreadable"


def test_a_chunk_that_cannot_be_read_is_named_by_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    read: Callable[..., int] = os.preadv

    def broken(fd: int, buffers: list[memoryview], offset: int) -> int:
        if offset >= 2 * PAGE:
            raise OSError(errno.EIO, "Input/output error")
        return read(fd, [buffers[0][:1000]], offset)  # and short reads are gone on with

    with raw_file(4 * PAGE, {0: b"a", 3 * PAGE: b"b"}) as path:
        fd = os.open(path, os.O_RDONLY)
        monkeypatch.setattr(os, "preadv", broken)
        with pytest.raises(Refused, match=r"byte 12288 .Input/output error") as refused:
            list(scan(fd, 4 * PAGE, chunk_bytes=PAGE))
        os.close(fd)
    assert refused.value.code == "image_unreadable"


def test_an_image_that_gets_shorter_while_it_is_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "image"
    path.write_bytes(b"x" * 4 * PAGE)
    fd = os.open(path, os.O_RDONLY)
    read = os.preadv

    def cut_meanwhile(fd: int, buffers: list[memoryview], offset: int) -> int:
        os.truncate(path, 3 * PAGE)
        return read(fd, buffers, offset)

    monkeypatch.setattr(os, "preadv", cut_meanwhile)
    with pytest.raises(Refused) as refused:
        list(scan(fd, 4 * PAGE, chunk_bytes=PAGE))
    os.close(fd)
    assert refused.value.code == "image_changed"


def test_bytes_are_not_handed_out_after_they_were_given_back() -> None:
    with raw_file(PAGE, {0: b"a"}) as path:
        fd = os.open(path, os.O_RDONLY)
        (batch,) = scan(fd, PAGE, chunk_bytes=PAGE)
        os.close(fd)
    assert batch.held_bytes
    batch.release()
    batch.release()
    assert not batch.held_bytes
    with pytest.raises(ValueError, match="released"):
        batch.chunk(0)


@given(image=images, chunk_bytes=st.sampled_from([PAGE, 4 * PAGE]))
def test_runs_of_chunks_cover_the_data_without_overlap(
    image: tuple[int, dict[int, bytes]], chunk_bytes: int
) -> None:
    size, pieces = image
    with raw_file(size, {at: data[: size - at] for at, data in pieces.items() if at < size}) as path:
        fd = os.open(path, os.O_RDONLY)
        runs = list(chunk_ranges(fd, size, chunk_bytes=chunk_bytes))
        numbers = set(chunks_of(os.pread(fd, size, 0), chunk_bytes))
        os.close(fd)
    flat = [edge for run in runs for edge in run]
    assert flat == sorted(flat) and all(first < stop for first, stop in runs)
    assert numbers <= {number for first, stop in runs for number in range(first, stop)}
