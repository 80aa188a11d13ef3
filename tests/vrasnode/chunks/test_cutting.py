import hashlib
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.vrasnode.chunks.raw import Shelf, raw_image, read_all
from vrasnode.chunks import scanning
from vrasnode.chunks.cutting import CutResult, cut
from vrasnode.chunks.digests import DigestList
from vrasnode.chunks.opening import OpenImage, open_image
from vrasnode.chunks.packs import Pack, read_index
from vrasnode.errors import Refused, Unreachable

PAGE = 4096
WORDS = b"a page of text, again and again. " * 124


def page(number: int) -> bytes:
    """4096 bytes that no other number has."""
    return hashlib.shake_256(number.to_bytes(4, "little")).digest(2048) + WORDS[:2048]


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path)


def ignore(pack: Pack) -> None:
    """Emits to nowhere."""


def digests_of(result: CutResult) -> list[bytes]:
    return [bytes(result.digests[at : at + 32]) for at in range(0, len(result.digests), 32)]


class Server:
    """Says what it has, and remembers what it was asked."""

    def __init__(self, have: set[bytes]) -> None:
        self.have = have
        self.asked: list[Sequence[bytes]] = []

    def __call__(self, digests: Sequence[bytes]) -> set[bytes]:
        self.asked.append(digests)
        return self.have.intersection(digests)


pieces = st.dictionaries(
    st.integers(0, 30),
    st.one_of(st.integers(0, 5).map(page), st.just(bytes(PAGE)), st.binary(min_size=1, max_size=20)),
    max_size=20,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    pieces=pieces,
    tail=st.integers(1, 4 * PAGE),
    chunk_bytes=st.sampled_from([PAGE, 4 * PAGE]),
    hash=st.sampled_from(["blake3", "sha256"]),
    target=st.sampled_from([3 * PAGE, 1 << 20]),
    threads=st.integers(1, 3),
)
def test_an_image_comes_back_from_its_packs_byte_by_byte(
    *,
    tmp_path: Path,
    pieces: dict[int, bytes],
    tail: int,
    chunk_bytes: int,
    hash: str,  # noqa: A002
    target: int,
    threads: int,
) -> None:
    shelf = Shelf(tmp_path)
    placed = {PAGE + number * PAGE: data for number, data in pieces.items()}
    size = max([PAGE, *(at + len(data) for at, data in placed.items())]) + tail
    with raw_image(size, placed) as image:
        result = cut(
            image,
            known=set(),
            emit=shelf.put,
            chunk_bytes=chunk_bytes,
            hash=hash,
            target_bytes=target,
            threads=threads,
        )
        assert shelf.assemble(result, hash=hash) == read_all(image)
    assert result.new_chunks == len(shelf.frames) == len(set(digests_of(result)))
    assert result.packs == len(shelf.ids)


def test_only_what_changed_is_sent_and_what_is_in_the_version_before_is_not_asked_for(shelf: Shelf) -> None:
    old = {PAGE * number: page(number) for number in range(1, 40)}
    with raw_image(50 * PAGE, old) as image:
        v1 = cut(image, known=set(), emit=shelf.put, chunk_bytes=PAGE)
    server = Server(set(shelf.frames))
    before = set(shelf.frames)

    changed = old | {5 * PAGE: page(105), 7 * PAGE: page(107), 41 * PAGE: page(3)}
    with raw_image(50 * PAGE, changed) as image:
        v2 = cut(image, known=server, emit=shelf.put, likely_known=DigestList(v1.digests), chunk_bytes=PAGE)
        assert shelf.assemble(v2) == read_all(image)

    assert (v2.new_chunks, v2.new_bytes) == (2, 2 * PAGE)
    assert len(set(shelf.frames) - before) == 2
    assert [len(digests) for digests in server.asked] == [2]


def test_an_unchanged_image_asks_nothing_and_sends_nothing() -> None:
    with raw_image(50 * PAGE, {PAGE: page(1), 9 * PAGE: page(9)}) as image:
        v1 = cut(image, known=set(), emit=ignore, chunk_bytes=PAGE)
        server = Server(set())
        again = cut(image, known=server, emit=ignore, likely_known=DigestList(v1.digests), chunk_bytes=PAGE)
    assert not server.asked
    assert (again.packs, again.packed_bytes, again.new_chunks) == (0, 0, 0)
    assert (again.numbers, again.digests) == (v1.numbers, v1.digests)


def test_what_the_server_has_from_other_images_is_not_sent(shelf: Shelf) -> None:
    with raw_image(20 * PAGE, {PAGE * number: page(number) for number in range(1, 10)}) as image:
        first = cut(image, known=set(), emit=ignore, chunk_bytes=PAGE)
        server = Server(set(digests_of(first)[1:8]))
        second = cut(image, known=server, emit=shelf.put, chunk_bytes=PAGE)
    assert second.new_chunks == 3  # boot sector, and pages 8 and 9
    assert set(shelf.frames).isdisjoint(server.have)


def test_the_same_image_makes_the_same_packs_however_many_threads(tmp_path: Path) -> None:
    shelves = []
    with raw_image(3 << 20, {PAGE * number: page(number) for number in range(1, 600)}) as image:
        for threads in (1, 2, 4):
            directory = tmp_path / str(threads)
            directory.mkdir()
            shelves.append(Shelf(directory))
            cut(
                image,
                known=set(),
                emit=shelves[-1].put,
                chunk_bytes=PAGE,
                threads=threads,
                target_bytes=200_000,
            )
    assert len(shelves[0].ids) > 5
    assert shelves[0].ids == shelves[1].ids == shelves[2].ids


def test_frames_lie_in_the_order_of_the_image(tmp_path: Path) -> None:
    bodies: list[bytes] = []
    with raw_image(1 << 20, {PAGE * number: page(number) for number in range(1, 200)}) as image:
        result = cut(
            image, known=set(), emit=lambda pack: bodies.append(b"".join(pack.parts)), chunk_bytes=PAGE
        )
    (body,) = bodies
    path = tmp_path / "pack"
    path.write_bytes(body)
    by_place = [digest for _, digest in sorted((offset, digest) for digest, offset, _ in read_index(path))]
    assert b"".join(by_place) == result.digests


def test_progress_ends_at_what_there_was_to_read() -> None:
    heard: list[int] = []
    with raw_image(9 << 20, {PAGE: page(1), 3 << 20: page(2), (9 << 20) - 1: b"x"}) as image:
        result = cut(image, known=set(), emit=ignore, progress=heard.append, chunk_bytes=PAGE)
        expected = scanning.data_bytes(image.fd, image.size_bytes, chunk_bytes=PAGE)
    assert heard == sorted(heard)
    assert heard[-1] == result.allocated_bytes == expected


def test_an_image_that_grows_while_it_is_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "image"
    path.write_bytes(bytes(510) + b"\x55\xaa" + page(1))

    def grow(read_bytes: int) -> None:
        with path.open("ab") as file:
            file.write(b"more")

    with open_image(path) as image, pytest.raises(Refused) as refused:
        cut(image, known=set(), emit=ignore, chunk_bytes=PAGE, progress=grow)
    assert refused.value.code == "image_changed"


@pytest.fixture
def long_image() -> Iterator[OpenImage]:
    """An image of 10,000 different chunks: many times what is in flight at once."""
    fd = os.memfd_create("image")
    for number in range(10_000):
        os.pwrite(fd, page(number), number * PAGE)
    seen = os.fstat(fd)
    size = seen.st_size
    yield OpenImage(fd, size, "raw", fd, (size, seen.st_mtime_ns, seen.st_ctime_ns))
    os.close(fd)


def threads_of_cutting() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith(("cut", "emit"))]


def test_a_server_that_goes_away_stops_the_cut_and_leaves_no_thread(long_image: OpenImage) -> None:
    emitted: list[str] = []

    def emit(pack: Pack) -> None:
        if emitted:
            raise Unreachable("server_unreachable", "The server does not answer.")
        emitted.append(pack.pack_id)

    with pytest.raises(Unreachable):
        cut(long_image, known=set(), emit=emit, chunk_bytes=PAGE, target_bytes=100_000)
    assert len(emitted) == 1
    assert not threads_of_cutting()


def test_no_question_is_long(long_image: OpenImage) -> None:
    server = Server(set())
    cut(long_image, known=server, emit=ignore, chunk_bytes=PAGE)
    assert sum(map(len, server.asked)) == 10_000
    assert max(map(len, server.asked)) < 512 + scanning.BATCH_BYTES // PAGE


def test_a_look_up_that_fails_stops_the_cut(long_image: OpenImage) -> None:
    def known(digests: Sequence[bytes]) -> set[bytes]:
        raise Unreachable("server_unreachable", "The server does not answer.")

    with pytest.raises(Unreachable):
        cut(long_image, known=known, emit=ignore, chunk_bytes=PAGE)
    assert not threads_of_cutting()


def test_a_slow_server_holds_the_cut_up_instead_of_filling_the_memory(long_image: OpenImage) -> None:
    all_read = threading.Event()
    read_before_the_first_was_sent: list[bool] = []

    def progress(read_bytes: int) -> None:
        if read_bytes == long_image.size_bytes:
            all_read.set()

    def emit(pack: Pack) -> None:
        if not read_before_the_first_was_sent:
            read_before_the_first_was_sent.append(all_read.wait(0.3))

    cut(long_image, known=set(), emit=emit, chunk_bytes=PAGE, target_bytes=100_000, progress=progress)
    assert read_before_the_first_was_sent == [False]
    assert all_read.is_set()


MEASURED = """
import os, sys
from pathlib import Path
from vrasnode.chunks.cutting import cut
from vrasnode.chunks.opening import OpenImage
chunk = int(sys.argv[1])
fd = os.memfd_create("image")  # its pages are not the process's own memory until they are mapped
os.ftruncate(fd, 1 << 40)
noise = os.urandom(chunk - 8)
for number in range((900 << 20) // chunk):
    os.pwrite(fd, number.to_bytes(8, "big") + noise, 3 * number * chunk)
seen = os.fstat(fd)
image = OpenImage(fd, 1 << 40, "raw", fd, (seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns))
result = cut(image, known=lambda digests: (), emit=lambda pack: None, chunk_bytes=chunk)
assert result.new_bytes == 900 << 20, result.new_bytes
print(next(line.split()[1] for line in Path("/proc/self/status").open() if line.startswith("VmHWM")))
"""


@pytest.mark.parametrize("chunk_mib", [1, 4])
def test_memory_stays_bounded_for_an_image_of_any_size(chunk_mib: int) -> None:
    measured = subprocess.run(
        [sys.executable, "-c", MEASURED, str(chunk_mib << 20)], check=True, capture_output=True, text=True
    )
    assert int(measured.stdout) < 260 << 10  # KiB; 900 MiB were new


def test_a_result_says_how_large_its_chunks_are_by_default() -> None:
    with raw_image(10 * PAGE, {}) as image:
        result: CutResult = cut(image, known=set(), emit=ignore)
    assert (result.chunk_bytes, list(result.numbers)) == (256 << 10, [0])
