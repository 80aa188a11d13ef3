"""Out of what is here and what has to be fetched: the image, byte by byte, or an error that says why not."""

import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.vrasnode.conftest import chunks_of
from tests.vrasnode.office import CHUNK, Keys, Office, Published, fetch_of, places_of, publish
from vrasnode.chunks import frames
from vrasnode.chunks.manifest import Manifest
from vrasnode.contact.identity import Identity
from vrasnode.contact.server import Server
from vrasnode.errors import HostBroken, Refused
from vrasnode.host import thispc
from vrasnode.imaging import assembling
from vrasnode.imaging.assembling import MAX_WRONG, Assembly
from vrasnode.imaging.fetching import Fetcher


class Clock:
    """Counts on when it is looked at, so that waiting takes no time."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        self.seconds += 0.05
        return self.seconds


@pytest.fixture
def assemble(office: Office, identity: Identity, tmp_path: Path) -> Callable[..., Assembly]:
    """Begins to make a version at `part`."""

    def begin(
        version: Published,
        part: Path = tmp_path / "b.raw.part",
        *,
        seed: Path | None = None,
        seed_manifest: Manifest | None = None,
        clones: bool = False,
    ) -> Assembly:
        stop = threading.Event()
        server = Server(office.url, identity=identity)
        fetcher = Fetcher(server, fetch_of(version), clock=time.monotonic, stop=stop)
        return Assembly(
            version.manifest,
            part,
            seed=seed,
            seed_manifest=seed_manifest,
            fetcher=fetcher,
            stop=stop,
            clock=Clock(),
            threads=2,
            clones=clones,
        )

    return begin


def finish(assembly: Assembly) -> Assembly:
    exhaust(assembly.steps())
    return assembly


def exhaust(bites: Iterator[bool], *, until: Callable[[], bool] = lambda: False) -> None:
    """Takes bites to the end, or until `until`, but not for ever."""
    for count, _ in enumerate(bites):
        if until():
            return
        assert count < 20_000, "it does not come to an end"


def seed_file(tmp_path: Path, data: bytes, name: str = "a.raw") -> Path:
    path = tmp_path / name
    path.write_bytes(data)
    return path


def test_a_first_version_is_fetched_whole_and_its_holes_take_no_room(
    assemble: Callable[..., Assembly], old: Published, tmp_path: Path
) -> None:
    part = tmp_path / "b.raw.part"

    done = finish(assemble(old, part))

    assert part.read_bytes() == old.data
    assert done.progress.done_bytes == done.progress.total_bytes == old.packed_bytes
    assert part.stat().st_blocks * 512 < len(old.data) - 15 * CHUNK


def test_an_update_brings_only_what_changed_over_the_line(
    assemble: Callable[..., Assembly],
    office: Office,
    old: Published,
    new: Published,
    tmp_path: Path,
) -> None:
    seed = seed_file(tmp_path, old.data)

    done = finish(assemble(new, seed=seed, seed_manifest=old.manifest))

    assert (tmp_path / "b.raw.part").read_bytes() == new.data
    assert done.progress.done_bytes == new.packed_bytes
    ranges = office.sent_bytes - len(new.frames)
    assert ranges <= 1.02 * new.packed_bytes


def test_the_older_slot_is_patched_in_place_and_what_became_empty_is_zero(
    assemble: Callable[..., Assembly],
    old: Published,
    new: Published,
    tmp_path: Path,
) -> None:
    part = seed_file(tmp_path, old.data + bytes(5 * CHUNK), "b.raw.part")  # it was even larger

    done = finish(assemble(new, part))

    assert part.read_bytes() == new.data
    moved = sum(len(frame) for frame in _frames_of(new, new.data, [70, 71, 72]))
    assert done.progress.done_bytes == new.packed_bytes + moved  # nobody else has them


def test_without_the_seeds_manifest_its_chunks_are_found_by_reading_it(
    assemble: Callable[..., Assembly], old: Published, new: Published, tmp_path: Path
) -> None:
    done = finish(assemble(new, seed=seed_file(tmp_path, old.data)))

    assert (tmp_path / "b.raw.part").read_bytes() == new.data
    assert done.progress.done_bytes == new.packed_bytes


def test_a_version_in_larger_chunks_still_finds_its_bytes_on_the_disk(
    assemble: Callable[..., Assembly],
    office: Office,
    keys: Keys,
    old: Published,
    tmp_path: Path,
) -> None:
    changed = old.data[: 90 * CHUNK] + random.Random(3).randbytes(2 * CHUNK) + old.data[92 * CHUNK :]
    larger = publish(keys, changed, chunk_bytes=2 * CHUNK)
    office.stock(larger)

    done = finish(assemble(larger, seed=seed_file(tmp_path, old.data), seed_manifest=old.manifest))

    assert (tmp_path / "b.raw.part").read_bytes() == changed
    assert done.progress.done_bytes < 3 * CHUNK


def test_a_corrupt_seed_chunk_is_a_missing_chunk(
    assemble: Callable[..., Assembly],
    old: Published,
    new: Published,
    tmp_path: Path,
) -> None:
    corrupt = bytearray(old.data)
    corrupt[30 * CHUNK + 7] ^= 1

    done = finish(assemble(new, seed=seed_file(tmp_path, bytes(corrupt)), seed_manifest=old.manifest))

    assert (tmp_path / "b.raw.part").read_bytes() == new.data
    assert done.progress.corrupt_seed_chunks == 1
    assert done.progress.done_bytes == new.packed_bytes + len(_frames_of(new, new.data, [30])[0])


def test_a_seed_that_was_cut_off_is_not_believed(
    assemble: Callable[..., Assembly],
    old: Published,
    new: Published,
    tmp_path: Path,
) -> None:
    seed = seed_file(tmp_path, old.data[: 95 * CHUNK])

    finish(assemble(new, seed=seed, seed_manifest=old.manifest))

    assert (tmp_path / "b.raw.part").read_bytes() == new.data


def test_wrong_bytes_from_the_line_are_fetched_again_and_counted(
    assemble: Callable[..., Assembly], office: Office, old: Published, tmp_path: Path
) -> None:
    spoiled: list[str] = []

    def spoil_once(path: str, data: bytes) -> bytes:
        if spoiled:
            return data
        spoiled.append(path)
        return bytes([data[0] ^ 0xFF]) + data[1:]

    office.fault = spoil_once

    done = finish(assemble(old))

    assert (tmp_path / "b.raw.part").read_bytes() == old.data
    assert done.progress.refetched_chunks == 1


@pytest.mark.parametrize("damage", ["flipped", "replayed", "bomb", "empty", "longer"])
def test_a_chunk_that_stays_wrong_ends_the_attempt_and_names_the_store(
    damage: str,
    assemble: Callable[..., Assembly],
    office: Office,
    old: Published,
) -> None:
    places = list(places_of(old).values())
    small = [place for place in places if place[2] < CHUNK // 2]
    pack_id, offset, length = small[0]
    bomb = frames.new_compressor().compress(bytes(1 << 30))
    replayed = office.packs[small[1][0]][small[1][1] :][: small[1][2]]
    bytes_now = office.packs[pack_id][offset : offset + length]
    office.packs[pack_id][offset : offset + length] = {
        "flipped": bytes([bytes_now[0] ^ 1]) + bytes_now[1:],
        "replayed": bytes(replayed[:length]).ljust(length, b"\0"),
        "bomb": bomb[:length].ljust(length, b"\0"),
        "empty": bytes(length),
        "longer": bytes_now[:-1] + b"\xff",
    }[damage]

    assembly = assemble(old)
    with pytest.raises(Refused) as refused:
        finish(assembly)

    assert refused.value.code == "wrong_bytes"
    assert assembly.progress.refetched_chunks == MAX_WRONG + 1


def test_a_server_that_ignores_ranges_does_not_make_an_update_a_full_download(
    assemble: Callable[..., Assembly], office: Office, old: Published
) -> None:
    office.whole_files = True

    with pytest.raises(Refused) as refused:
        finish(assemble(old))

    assert refused.value.code == "no_ranges"


def test_broken_connections_only_cost_what_was_under_way(
    assemble: Callable[..., Assembly], office: Office, old: Published, tmp_path: Path
) -> None:
    rng = random.Random(4)
    cuts = [0]

    def cut_most(path: str, data: bytes) -> bytes:
        cuts[0] += 1
        return data[: rng.randrange(len(data))] if cuts[0] % 3 else data

    office.fault = cut_most

    done = finish(assemble(old))

    assert (tmp_path / "b.raw.part").read_bytes() == old.data
    assert done.progress.done_bytes == old.packed_bytes  # no frame that had arrived was asked for again


def test_while_the_server_is_away_it_waits_and_then_goes_on(
    assemble: Callable[..., Assembly], office: Office, old: Published, tmp_path: Path
) -> None:
    office.refuse_ranges = (503, "maintenance")
    assembly = assemble(old)
    bites = assembly.steps()
    exhaust(bites, until=lambda: assembly.trouble is not None)
    assert assembly.trouble is not None
    assert assembly.trouble.code == "maintenance"
    while next(bites):  # the last bites of the round
        pass

    office.refuse_ranges = None
    exhaust(bites)

    assert (tmp_path / "b.raw.part").read_bytes() == old.data


def test_when_packs_were_moved_their_new_places_are_asked_for(
    assemble: Callable[..., Assembly],
    office: Office,
    keys: Keys,
    old: Published,
    tmp_path: Path,
) -> None:
    moved = publish(keys, old.data, pack_bytes=300_000)
    for pack_id in old.packs:
        del office.packs[pack_id]
    assembly = assemble(old)
    bites = assembly.steps()
    exhaust(bites, until=lambda: assembly.trouble is not None)
    assert assembly.trouble is not None
    assert assembly.trouble.code == "fetch_gone"

    office.packs.update(moved.packs)
    office.content[f"/f/{old.digest}"] = moved.frames
    exhaust(bites)

    assert (tmp_path / "b.raw.part").read_bytes() == old.data


def test_a_full_disk_is_said_before_it_is_full(
    assemble: Callable[..., Assembly],
    office: Office,
    old: Published,
    small_disk: Callable[[int], Path],
) -> None:
    disk = small_disk(assembling.SPARE_BYTES + 20 * CHUNK)

    with pytest.raises(HostBroken) as broken:
        finish(assemble(old, disk / "b.raw.part"))

    assert broken.value.code == "disk_full"
    assert not [asked for asked in office.asked if asked.startswith("GET /p/")]


def test_a_disk_that_fills_up_while_it_is_written_is_said_as_well(
    monkeypatch: pytest.MonkeyPatch,
    assemble: Callable[..., Assembly],
    old: Published,
    small_disk: Callable[[int], Path],
) -> None:
    monkeypatch.setattr(assembling, "SPARE_BYTES", -(1 << 40))  # somebody else took the room meanwhile
    disk = small_disk(40 * CHUNK)

    with pytest.raises(HostBroken) as broken:
        finish(assemble(old, disk / "b.raw.part"))

    assert broken.value.code == "disk_full"


def test_an_attempt_that_ended_early_is_gone_on_with(
    assemble: Callable[..., Assembly], office: Office, old: Published, tmp_path: Path
) -> None:
    first = assemble(old)
    bites = first.steps()
    exhaust(bites, until=lambda: first.progress.done_bytes >= old.packed_bytes // 2)
    bites.close()
    had = first.progress.done_bytes

    second = finish(assemble(old))

    assert (tmp_path / "b.raw.part").read_bytes() == old.data
    assert second.progress.done_bytes == old.packed_bytes - had


@pytest.mark.slow
def test_where_the_file_system_clones_the_old_version_is_cloned_and_checked(
    xfs: Path,
    assemble: Callable[..., Assembly],
    old: Published,
    new: Published,
) -> None:
    assert thispc.reflinks(xfs)
    corrupt = bytearray(old.data)
    corrupt[30 * CHUNK + 7] ^= 1  # stays where it is
    corrupt[21 * CHUNK + 7] ^= 1  # stays, and is wanted at another place as well
    seed = seed_file(xfs, bytes(corrupt))
    os.sync()

    done = finish(assemble(new, xfs / "b.raw.part", seed=seed, seed_manifest=old.manifest, clones=True))

    assert (xfs / "b.raw.part").read_bytes() == new.data
    assert done.progress.corrupt_seed_chunks == 3
    assert seed.read_bytes() == corrupt  # the running version was only read


@pytest.mark.slow
def test_the_older_slot_is_patched_with_clones_where_they_exist(
    xfs: Path,
    assemble: Callable[..., Assembly],
    old: Published,
    new: Published,
) -> None:
    seed = seed_file(xfs, old.data)
    part = seed_file(xfs, chunks_of(9, 1)[0] * 130, "b.raw.part")
    os.sync()

    done = finish(assemble(new, part, seed=seed, seed_manifest=old.manifest, clones=True))

    assert part.read_bytes() == new.data
    assert done.progress.done_bytes == new.packed_bytes


def _frames_of(version: Published, data: bytes, numbers: list[int]) -> list[bytes]:
    compressor = frames.new_compressor()
    return [frames.make_frame(data[n * CHUNK : (n + 1) * CHUNK], compressor) for n in numbers]
