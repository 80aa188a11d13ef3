"""What is kept and what goes (row I8): nothing that is referenced, nothing young, everything else."""

from datetime import datetime, timedelta

import pytest
from django.conf import settings

from clients.errors import Refusal
from clients.models import Client, Group
from imaging import distributing, publishing, retaining
from imaging.models import ImageVersion, MasterImage, Pack
from imaging.store import store
from tests.images import chunk, digest_of, publish, signed_manifest, stock
from tests.pcs import FakePc

pytestmark = pytest.mark.usefixtures("installation")


def days(now: datetime, count: int) -> datetime:
    return now + timedelta(days=count)


def test_packs_of_a_retired_version_go_in_two_steps(desktop: MasterImage, now: datetime) -> None:
    first, second = publish(desktop, "a", now=now), publish(desktop, "b", now=now)
    publishing.retire(first)

    assert retaining.collect(now=days(now, 2)) == (1, 0)
    assert Pack.objects.filter(condemned_at=None).count() == 1
    assert retaining.collect(now=days(now, 4)) == (0, 1)

    assert len(list((store().root / "packs").glob("*/*.pack"))) == 1
    assert second.state == ImageVersion.State.READY


def test_a_pack_that_one_kept_version_names_stays(desktop: MasterImage, now: datetime) -> None:
    first = publish(desktop, "shared", "a", now=now)
    publish(desktop, "shared", "b", now=now)
    publishing.retire(first)

    assert retaining.collect(now=days(now, 2)) == (0, 0)


def test_young_packs_belong_to_uploads_under_way(desktop: MasterImage, now: datetime) -> None:
    stock(chunk("on its way"))

    assert retaining.collect(now=now) == (0, 0)


def test_a_publisher_that_counts_on_a_condemned_pack_keeps_it(desktop: MasterImage, now: datetime) -> None:
    stock(chunk("a"))
    version = publishing.open_version(desktop, note="")
    publishing.seal(version, signed_manifest(desktop, [chunk("a")], now=now), now=now)
    places = store().catalogue.place([digest_of(chunk("a"))])
    assert places[0] is not None
    retaining.collect(now=days(now, 2))
    assert Pack.objects.get().condemned_at is not None

    publishing.check_sealed(version, now=now)

    # The catalogue offers no condemned pack, so the publisher is asked to send the chunk again.
    assert (version.state, version.failure_code) == ("failed", "chunks_missing")
    again = publish(desktop, "a", now=now)
    assert again.state == ImageVersion.State.READY
    assert Pack.objects.get().condemned_at is None


def test_a_version_in_use_does_not_retire(
    pc: FakePc, desktop: MasterImage, sales: Group, now: datetime
) -> None:
    version = publish(desktop, "a", now=now)
    distributing.start(version, sales, now=now)

    with pytest.raises(Refusal) as refusal:
        publishing.retire(version)

    assert refusal.value.code == "version_in_use"


def test_old_versions_retire_by_themselves_but_not_what_a_pc_runs(
    pc: FakePc, desktop: MasterImage, now: datetime
) -> None:
    desktop.keep_versions = 1
    desktop.save()
    versions = [publish(desktop, text, now=now) for text in "abc"]
    Client.objects.filter(pk=pc.client.pk).update(running=versions[0].manifest)

    assert retaining.retire_old(now=now) == 1

    assert [ImageVersion.objects.get(pk=version.pk).state for version in versions] == [
        "ready",
        "retired",
        "ready",
    ]


def test_an_abandoned_upload_is_given_up(desktop: MasterImage, now: datetime) -> None:
    version = publishing.open_version(desktop, note="")

    assert retaining.drop_stalled(now=now + settings.UPLOAD_SILENCE - timedelta(minutes=1)) == 0
    assert retaining.drop_stalled(now=days(now, 2)) == 1

    version.refresh_from_db()
    assert (version.state, version.failure_code) == ("failed", "upload_abandoned")


def test_what_a_killed_process_left_is_swept(desktop: MasterImage, now: datetime) -> None:
    publish(desktop, "a", now=now)
    left = store().root / "incoming" / "0123.part"
    orphan = store().pack_path("ff" * 32)
    for path in (left, orphan):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"half")

    retaining.collect(now=days(now, 2))

    assert not left.exists()
    assert not orphan.exists()
    assert len(list((store().root / "packs").glob("*/*.pack"))) == 1
