"""A PC that holds the base takes delta frames; whatever is wrong with them, plain ones make the image."""

import random
import threading
import time
from array import array
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.vrasnode.imaging.test_assembling import exhaust
from tests.vrasnode.office import CHUNK, Keys, Office, Published, fetch_of, publish
from vrasnode.chunks import deltamap, deltas, framemap, packs
from vrasnode.chunks.deltamap import DeltaMap
from vrasnode.chunks.packs import PackBuilder
from vrasnode.contact.identity import Identity
from vrasnode.contact.server import Server
from vrasnode.imaging.assembling import Assembly
from vrasnode.imaging.fetching import Fetcher
from vrasnode.wire.imaging import Deltas

PIECE = CHUNK // 4
CHUNKS = 24
Assemble = Callable[..., Assembly]


def shifted(data: bytes) -> bytes:
    """The same bytes a little further on: no chunk is what it was."""
    return b"new" * 7 + data[:-21]


@pytest.fixture
def first(keys: Keys) -> Published:
    return publish(keys, random.Random(3).randbytes(CHUNKS * CHUNK))


@pytest.fixture
def second(keys: Keys, office: Office, first: Published) -> Published:
    version = publish(keys, shifted(first.data), base=[first])
    office.stock(first, version)
    return version


@pytest.fixture
def stocked(office: Office, first: Published, second: Published) -> str:
    """Delta frames of the second version against the first are with the server; their pack's id."""
    builder = PackBuilder(magic=packs.DELTA)
    for number, digest in second.manifest:
        near = range(max(0, 4 * number - 1), 4 * number + 4)
        chunk = second.data[number * CHUNK : (number + 1) * CHUNK]
        builder.add(
            digest, deltas.make_delta(chunk, [(n, first.data[n * PIECE : (n + 1) * PIECE]) for n in near])
        )
    pack = builder.finish()
    body = bytearray(b"".join(pack.parts))
    office.packs[pack.pack_id] = body
    path = Path(f"/proc/self/fd/{_in_memory(bytes(body))}")
    where = {digest: (pack.pack_id, *place) for digest, *place in packs.read_index(path, magic=packs.DELTA)}
    places = framemap.build([where[digest] for _number, digest in second.manifest])
    entries = array("I", range(len(second.manifest)))
    office.content["/d"] = deltamap.encode(DeltaMap(first.digest, PIECE, entries, places))
    return pack.pack_id


def _in_memory(data: bytes) -> int:
    import os

    handle = os.memfd_create("pack")
    os.write(handle, data)
    return handle


@pytest.fixture
def assemble(
    office: Office, identity: Identity, first: Published, second: Published, tmp_path: Path
) -> Assemble:
    """Makes the second version on a PC that holds the first, to the end."""

    def make(*, base: str = "", seed: bytes = first.data) -> Assembly:
        image = tmp_path / "a.raw"
        image.write_bytes(seed)
        stop = threading.Event()
        fetch = fetch_of(second, deltas=[Deltas(base=base or first.digest, path="/d")])
        fetcher = Fetcher(Server(office.url, identity=identity), fetch, clock=time.monotonic, stop=stop)
        assembly = Assembly(
            second.manifest,
            tmp_path / "b.raw.part",
            seed=image,
            seed_manifest=first.manifest,
            fetcher=fetcher,
            stop=stop,
            clock=Ticking(),
            threads=2,
            clones=False,
        )
        exhaust(assembly.steps())
        assert (tmp_path / "b.raw.part").read_bytes() == second.data
        return assembly

    return make


class Ticking:
    """Counts on when it is looked at, so that waiting takes no time."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        self.seconds += 0.05
        return self.seconds


def test_a_pc_that_holds_the_base_fetches_delta_frames_and_little_else(
    assemble: Assemble, office: Office, stocked: str, second: Published
) -> None:
    assembly = assemble()

    assert 0 < assembly.progress.delta_bytes == assembly.progress.done_bytes < second.packed_bytes / 20
    assert office.sent_bytes < second.packed_bytes / 10
    assert assembly.progress.broken_deltas == 0


def test_a_pc_that_holds_another_version_takes_plain_frames(
    assemble: Assemble, stocked: str, second: Published
) -> None:
    assembly = assemble(base="ab" * 32)

    assert (assembly.progress.delta_bytes, assembly.progress.done_bytes) == (0, second.packed_bytes)


def test_broken_delta_frames_are_counted_and_plain_ones_taken(
    assemble: Assemble, office: Office, stocked: str
) -> None:
    pack = office.packs[stocked]
    for at in range(100, 140):
        pack[at] ^= 0xFF

    assembly = assemble()

    assert 0 < assembly.progress.broken_deltas < CHUNKS
    assert assembly.progress.refetched_chunks == 0


def test_a_missing_pack_of_delta_frames_stops_nobody(
    assemble: Assemble, office: Office, stocked: str
) -> None:
    del office.packs[stocked]

    assert assemble().progress.broken_deltas == CHUNKS


@pytest.mark.parametrize("listed", [None, b"VRASDLM1 and nonsense"])
def test_without_a_usable_list_of_them_plain_frames_are_taken(
    assemble: Assemble, office: Office, stocked: str, second: Published, listed: bytes | None
) -> None:
    del office.content["/d"]
    if listed is not None:
        office.content["/d"] = listed

    assembly = assemble()

    assert (assembly.progress.broken_deltas, assembly.progress.done_bytes) == (1, second.packed_bytes)


def test_a_base_that_has_turned_bad_on_this_pc_costs_plain_frames_never_wrong_bytes(
    assemble: Assemble, stocked: str, first: Published
) -> None:
    bad = bytearray(first.data)
    bad[5 * CHUNK + 9] ^= 1

    assembly = assemble(seed=bytes(bad))

    assert 1 <= assembly.progress.broken_deltas <= 2
