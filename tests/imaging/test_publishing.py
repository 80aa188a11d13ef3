"""An image becomes a version: numbered, immutable, signed, complete (rows I1, I2, I5)."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from clients.enrolment import signing
from clients.errors import Refusal, WrongState
from clients.publishers import endorsing
from imaging import publishing
from imaging.models import ImageVersion, MasterImage
from imaging.store import store
from tests.images import chunk, digest_of, publish, signed_manifest, stock
from vrasnode.chunks import framemap, manifest
from vrasnode.errors import Refused

pytestmark = pytest.mark.usefixtures("installation")


def test_versions_are_numbered_without_gaps(desktop: MasterImage, now: datetime) -> None:
    publishing.open_version(desktop, note="given up later")

    first, second = publish(desktop, "a", now=now), publish(desktop, "b", now=now)

    assert [first.number, second.number] == [1, 2]
    assert {first.state, second.state} == {ImageVersion.State.READY}


def test_what_the_store_had_is_counted_as_saved(desktop: MasterImage, now: datetime) -> None:
    first = publish(desktop, "a", "b", "", now=now)
    second = publish(desktop, "a", "c", "", now=now)

    assert first.new_bytes == first.packed_bytes > 0
    assert 0 < second.new_bytes < second.packed_bytes
    assert second.saved_by_dedup_bytes == second.packed_bytes - second.new_bytes


def test_an_unchanged_image_is_no_new_version(desktop: MasterImage, now: datetime) -> None:
    first = publish(desktop, "a", "b", now=now)

    again, new = publishing.publish(
        desktop, signed_manifest(desktop, [chunk("a"), chunk("b")], now=now), note="", now=now
    )

    assert (again.pk, new) == (first.pk, False)
    assert desktop.versions.count() == 1


def test_the_frame_map_leads_to_every_chunk(desktop: MasterImage, now: datetime) -> None:
    version = publish(desktop, "a", "", "b", "a", now=now)

    read = manifest.read_named(store().manifest_path(version.manifest).read_bytes(), version.manifest)
    frames = framemap.decode(
        store().frames_path(version.manifest).read_bytes(),
        chunks=len(read),
        chunk_bytes=read.header.chunk_bytes,
    )
    assert list(read.numbers) == [0, 2, 3]
    assert frames.place(0) == frames.place(2) != frames.place(1)


def test_a_version_with_missing_chunks_fails_and_says_so(desktop: MasterImage, now: datetime) -> None:
    data = signed_manifest(desktop, [chunk("a"), chunk("never sent")], now=now)
    stock(chunk("a"))
    version, _new = publishing.publish(desktop, data, note="", now=now)

    publishing.check_sealed(version, now=now)

    assert version.state == ImageVersion.State.FAILED
    assert version.failure_code == "chunks_missing"


def test_an_unknown_publisher_is_refused_until_the_root_vouches_for_the_key(
    desktop: MasterImage, now: datetime
) -> None:
    key = Ed25519PrivateKey.generate()
    stock(chunk("a"))
    data = signed_manifest(desktop, [chunk("a")], now=now, key=key)
    with pytest.raises(Refused) as refused:
        publishing.publish(desktop, data, note="", now=now)
    assert refused.value.code == "unknown_key"

    row = endorsing.register(key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw), name="image PC")
    endorsing.endorse(row, now=now)

    version, _new = publishing.publish(desktop, data, note="", now=now)
    assert version.state == ImageVersion.State.SEALED
    endorsing.revoke(row, reason="left the company")
    with pytest.raises(Refused):
        publishing.publish(desktop, data, note="", now=now)


def test_a_flipped_byte_or_another_images_manifest_is_refused(desktop: MasterImage, now: datetime) -> None:
    stock(chunk("a"))
    data = bytearray(signed_manifest(desktop, [chunk("a")], now=now))
    other = MasterImage.objects.create(name="other")

    with pytest.raises(Refusal) as refusal:
        publishing.publish(other, bytes(data), note="", now=now)
    assert refusal.value.code == "other_image"

    data[-1] ^= 1
    with pytest.raises(Refused):
        publishing.publish(desktop, bytes(data), note="", now=now)


def test_a_sealed_version_cannot_be_sealed_again(desktop: MasterImage, now: datetime) -> None:
    stock(chunk("a"), chunk("b"))
    version = publishing.open_version(desktop, note="")
    publishing.seal(version, signed_manifest(desktop, [chunk("a")], now=now), now=now)

    with pytest.raises(WrongState):
        publishing.seal(version, signed_manifest(desktop, [chunk("b")], now=now), now=now)


def test_two_publishers_of_one_name_get_two_versions(desktop: MasterImage, now: datetime) -> None:
    mine, theirs = (publishing.open_version(desktop, note=note) for note in ("mine", "theirs"))
    stock(chunk("mine"), chunk("theirs"))
    publishing.seal(theirs, signed_manifest(desktop, [chunk("theirs")], now=now), now=now)
    publishing.seal(mine, signed_manifest(desktop, [chunk("mine")], now=now), now=now)
    for version in (theirs, mine):
        publishing.check_sealed(version, now=now)

    assert (theirs.number, mine.number) == (1, 2)
    assert {theirs.state, mine.state} == {ImageVersion.State.READY}


def test_the_root_key_may_lie_elsewhere(
    installation: signing.KeyStore, desktop: MasterImage, now: datetime
) -> None:
    (installation.directory / "root.key").unlink()
    row = endorsing.register(bytes(32), name="image PC")

    with pytest.raises(Refusal) as refusal:
        endorsing.endorse(row, now=now)

    assert refusal.value.code == "root_offline"
    assert publish(desktop, "a", now=now).state == ImageVersion.State.READY


@pytest.mark.parametrize("damage", [lambda path: path.unlink(), lambda path: path.write_bytes(b"not a pack")])
def test_a_lost_pack_stops_nobody_and_is_brought_again(
    desktop: MasterImage, now: datetime, damage: Callable[[Path], object]
) -> None:
    lost = stock(chunk("a"))
    stock(chunk("b"))
    damage(store().pack_path(lost))
    store.cache_clear()

    assert store().catalogue.missing([digest_of(chunk("a")), digest_of(chunk("b"))]) == {
        digest_of(chunk("a"))
    }
    stock(chunk("a"), chunk("c"))
    assert publish(desktop, "a", "b", now=now).state == ImageVersion.State.READY
