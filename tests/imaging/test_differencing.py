"""Delta frames in the background (design §2): planned, made, resumed, offered, dropped."""

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client as Browser

from clients.models import Group
from imaging import desktops, differencing, diffing, distributing, publishing, retaining
from imaging.models import DeltaSet, ImageVersion, MasterImage, Pack
from imaging.store import store
from tests.images import digest_of, signed_manifest, stock
from tests.pcs import FakePc
from vrasnode.chunks import deltamap, deltas, manifest, packs
from vrasnode.chunks.frames import open_frame
from vrasnode.wire.imaging import CHUNK_BYTES, Deltas

pytestmark = pytest.mark.usefixtures("installation")

State = DeltaSet.State
Bring = Callable[..., ImageVersion]


def noise(seed: int, length: int = CHUNK_BYTES) -> bytes:
    """Bytes that do not compress, the same for each seed."""
    import random

    return random.Random(seed).randbytes(length)


@pytest.fixture
def bring(desktop: MasterImage, now: datetime) -> Bring:
    """Publishes a version with these chunks."""

    def publish(*chunks: bytes, image: MasterImage = desktop) -> ImageVersion:
        absent = store().catalogue.missing(digest_of(data) for data in chunks)
        if lacking := [data for data in chunks if digest_of(data) in absent]:
            stock(*lacking)
        version, _new = publishing.publish(
            image, signed_manifest(image, list(chunks), now=now), note="", now=now
        )
        publishing.check_sealed(version, now=now)
        return version

    return publish


@pytest.fixture
def make(now: datetime) -> Callable[[], bool]:
    return lambda: diffing.make_next(now=lambda: now, alive=lambda: None)


@pytest.fixture
def two(bring: Bring) -> tuple[ImageVersion, ImageVersion]:
    """A version, and one where two chunks moved on by some bytes and one is new."""
    one, two, three = noise(1), noise(2), noise(3)
    whole = one + two
    moved = [b"moved on" + whole[: CHUNK_BYTES - 8], whole[CHUNK_BYTES - 8 : 2 * CHUNK_BYTES - 8]]
    return bring(one, two, three), bring(three, *moved, noise(4))


def test_the_two_versions_before_are_planned_against(bring: Bring) -> None:
    versions = [bring(noise(seed)) for seed in range(4)]

    planned = DeltaSet.objects.filter(version=versions[3]).values_list("base__number", flat=True)
    assert list(planned) == [3, 2]


def test_a_worker_makes_frames_that_open_to_the_chunks_and_says_what_they_save(
    two: tuple[ImageVersion, ImageVersion], make: Callable[[], bool]
) -> None:
    first, second = two

    assert make() is True
    assert make() is False

    made = DeltaSet.objects.get()
    assert (made.state, made.chunks, made.delta_chunks) == (State.READY, 3, 2)
    assert made.saved_bytes > 1.9 * CHUNK_BYTES
    read = manifest.read_named(store().manifest_path(second.manifest).read_bytes(), second.manifest)
    data = store().deltas_path(second.manifest, first.manifest).read_bytes()
    listed = deltamap.decode(data, base=first.manifest, chunks=len(read), chunk_bytes=CHUNK_BYTES)
    base, size = noise(1) + noise(2) + noise(3), listed.piece_bytes

    def piece(number: int) -> bytes:
        return base[number * size : (number + 1) * size]

    for at, entry in enumerate(listed.entries):
        pack, offset, length = listed.places.place(at)
        frame = store().pack_path(pack).read_bytes()[offset : offset + length]
        chunk = deltas.open_delta(frame, CHUNK_BYTES, piece_bytes=size, read=piece)
        assert digest_of(chunk) == read.digest_at(entry)


def test_they_are_no_chunks_of_the_store(
    two: tuple[ImageVersion, ImageVersion], make: Callable[[], bool]
) -> None:
    moved = b"moved on" + (noise(1) + noise(2))[: CHUNK_BYTES - 8]
    before = store().catalogue.place([digest_of(moved)])
    make()
    store.cache_clear()

    after = store().catalogue.place([digest_of(moved)])

    assert before == after and after[0] is not None
    frame = frame_at(after[0].pack, after[0].offset, after[0].length)
    assert open_frame(frame, CHUNK_BYTES) == moved


def frame_at(pack: str, offset: int, length: int) -> bytes:
    return store().pack_path(pack).read_bytes()[offset : offset + length]


def test_a_worker_that_was_killed_leaves_whole_packs_and_the_next_goes_on_behind_them(
    bring: Bring, make: Callable[[], bool], now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        """As by kill -9: nothing is tidied up."""

    whole = b"".join(noise(seed) for seed in range(8))
    bring(*(whole[at : at + CHUNK_BYTES] for at in range(0, len(whole), CHUNK_BYTES)))
    later = b"!" * 11 + whole[:-11]
    bring(*(later[at : at + CHUNK_BYTES] for at in range(0, len(later), CHUNK_BYTES)))
    monkeypatch.setattr(diffing, "PACK_BYTES", 500)  # a pack for each frame or two
    monkeypatch.setattr(diffing, "TELL_CHUNKS", 1)
    calls = 0

    def killed_later() -> None:
        nonlocal calls
        calls += 1
        if calls > 8 + 4:  # the base has been sketched, some are tried
            raise Killed

    with pytest.raises(Killed):
        diffing.make_next(now=lambda: now, alive=killed_later)
    kept = DeltaSet.objects.get()
    assert (kept.state, bool(kept.packs)) == (State.MAKING, True)

    make()

    made = DeltaSet.objects.get()
    assert (made.state, made.delta_chunks) == (State.READY, 8)
    assert made.packs[: len(kept.packs)] == kept.packs
    digests = [
        digest for pack in made.packs for digest, _offset, _length in store().index(pack, magic=packs.DELTA)
    ]
    assert len(digests) == len(set(digests)) == 8  # nothing was made twice


def test_a_pc_is_told_of_them_only_when_they_are_ready(
    two: tuple[ImageVersion, ImageVersion], make: Callable[[], bool], pc: FakePc, sales: Group, now: datetime
) -> None:
    first, second = two
    distributing.start(second, sales, now=now)

    before = desktops.slice_of(pc.client, now)
    make()
    after = desktops.slice_of(pc.client, now)

    assert before.fetch and after.fetch
    path = f"/node/v1/imaging/{second.manifest}/deltas/{first.manifest}"
    assert (before.fetch.deltas, after.fetch.deltas) == ([], [Deltas(base=first.manifest, path=path)])
    assert pc.get(path).status_code == 200


def test_with_a_retired_base_they_are_neither_offered_nor_kept(
    two: tuple[ImageVersion, ImageVersion], make: Callable[[], bool], now: datetime
) -> None:
    first, second = two
    make()
    publishing.retire(first)

    assert list(differencing.offered(second)) == []
    retaining.collect(now=now + timedelta(days=2))
    retaining.collect(now=now + timedelta(days=4))

    assert not Pack.objects.filter(kind=Pack.Kind.DELTA).exists()
    assert not list((store().root / "manifests").glob("*.deltas"))


def test_packs_of_delta_frames_in_use_stay(
    two: tuple[ImageVersion, ImageVersion], make: Callable[[], bool], now: datetime
) -> None:
    make()

    assert retaining.collect(now=now + timedelta(days=2)) == (0, 0)


def test_where_they_cannot_be_made_the_reason_is_said_and_they_can_be_tried_again(
    two: tuple[ImageVersion, ImageVersion], make: Callable[[], bool]
) -> None:
    first, _second = two
    frames = store().frames_path(first.manifest)
    kept = frames.read_bytes()
    frames.unlink()

    make()

    failed = DeltaSet.objects.get()
    assert (failed.state, failed.failure_code) == (State.FAILED, "file_gone")
    frames.write_bytes(kept)
    differencing.again(failed)
    make()
    assert DeltaSet.objects.get().state == State.READY


def test_an_installation_may_do_without(bring: Bring, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "DELTA_BASES", 0)

    bring(noise(1)), bring(noise(2))

    assert not DeltaSet.objects.exists()


def test_the_images_page_and_rest_say_what_they_save(
    two: tuple[ImageVersion, ImageVersion], make: Callable[[], bool], admin: User, client: Browser
) -> None:
    _first, second = two
    client.force_login(admin)
    page = f"/images/{second.image_id}/"
    assert "Delta frames from version 1 wait to be made" in client.get(page).content.decode()

    make()

    shown = client.get(page).content.decode()
    assert "From version 1:" in shown and "saved by delta frames" in shown
    told = client.get(f"/api/v1/versions/{second.pk}/").json()["deltas"]
    assert [(row["base"], row["state"], row["percent"]) for row in told] == [(1, "ready", 100)]
    assert told[0]["saved_bytes"] == told[0]["plain_bytes"] - told[0]["delta_bytes"] > 0
