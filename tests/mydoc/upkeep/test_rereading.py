"""Every pack is read again in its turn, within what a night may cost; how far that came is said, no more."""

import os
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from django.utils import timezone

from mydoc.models import Keeping, Replica, ReplicaAlarm, Upkeep
from mydoc.nas.fileserver import Stored
from mydoc.upkeep import keeping, rereading, standing
from tests.mydoc.keeping import Copies

pytestmark = pytest.mark.django_db
DAY, HOUR, GIB = timedelta(days=1), timedelta(hours=1), 1 << 30


@pytest.fixture
def now() -> datetime:
    return timezone.now()


@pytest.fixture
def evening(now: datetime) -> datetime:
    return timezone.localtime(now).replace(hour=22, minute=0)


def part_of(pack: Path) -> int:
    """In which half it is read: names are hashes."""
    return int(pack.name[:2], 16) % 2


def contents(copies: Copies) -> list[Path]:
    """Packs of files' contents: lists of folders, which are small, are read with every part."""
    return [pack for pack in copies.packs() if pack.stat().st_size > 100_000]


def size_of(packs: list[Path]) -> int:
    return sum(pack.stat().st_size for pack in packs)


@pytest.mark.slow
def test_a_flipped_bit_is_found_when_its_part_is_read_and_what_was_read_until_then_is_said_as_it_is(
    copies: Copies, now: datetime
) -> None:
    while {part_of(pack) for pack in contents(copies)} != {0, 1}:
        copies.put(b"large.bin", os.urandom(200_000))
        copies.replicate(now=now - 3 * DAY)
    packs, total = copies.packs(), size_of(copies.packs())
    first = size_of([pack for pack in packs if part_of(pack) == 0])
    bad = copies.flip_a_bit(next(pack for pack in contents(copies) if part_of(pack) == 1))
    halves = total // 2 + 1

    rereading.read(copies.replica, now=now + HOUR, most_bytes=halves)
    after_one, alarm_after_one = copies.replica.coverage, ReplicaAlarm.objects.exists()
    kept = standing.of(copies.volume)
    rereading.read(copies.replica, now=now + DAY, most_bytes=halves)

    assert (after_one["total_bytes"], after_one["read_bytes"]) == (total, first)
    assert kept is not None
    assert kept.read_percent == 100 * first // total
    assert not alarm_after_one
    assert copies.replica.coverage["read_bytes"] == total
    assert ReplicaAlarm.objects.open().get().found["packs"] == [bad.name]


def test_only_what_was_read_after_it_was_written_counts_and_only_for_its_time(now: datetime) -> None:
    def pack(byte: int, size: int, *, days: int) -> Stored:
        return Stored(f"v/data/{byte:02x}/{byte:02x}{'a' * 62}", size, now - days * DAY)

    packs = [pack(0, 1, days=40), pack(1, 10, days=40), pack(2, 100, days=1), pack(3, 1000, days=40)]
    read = {"0": now - 2 * DAY, "1": now - 20 * DAY, "2": now - 2 * DAY}

    told = rereading._coverage(packs, {part: at.isoformat() for part, at in read.items()}, now=now)

    assert (told["total_bytes"], told["read_bytes"]) == (1111, 11)
    assert (told["days_7_bytes"], told["days_30_bytes"]) == (1, 11)
    assert told["oldest"] == (now - 20 * DAY).isoformat()


def read_before(replica: Replica, *, at: datetime, size: int, minutes: int) -> None:
    Upkeep.objects.create(
        replica=replica,
        kind=Upkeep.Kind.READING,
        state=Upkeep.State.DONE,
        begun_at=at,
        until=at,
        ended_at=at + timedelta(minutes=minutes),
        found={"bytes": size},
    )


@pytest.mark.parametrize(("size", "minutes"), [(GIB, 5), (1000, 30)], ids=["bytes", "minutes"])
def test_a_night_that_has_cost_what_it_may_reads_nothing_more_and_the_next_one_does(
    copies: Copies, evening: datetime, size: int, minutes: int
) -> None:
    rules = Keeping.objects.create(pk=1, night_gib=1, night_minutes=30)
    replica = copies.tell({b"a": b"1"}, now=evening - DAY).replica
    read_before(replica, at=evening - DAY, size=GIB, minutes=60)  # another night
    before = rereading.left_tonight(rules, now=evening)

    read_before(replica, at=evening, size=size, minutes=minutes)

    after_midnight = evening + timedelta(hours=5)
    assert before == GIB
    assert rereading.left_tonight(rules, now=after_midnight) == 0
    assert keeping.read_some(replica, now=after_midnight) == 0
    assert Upkeep.objects.count() == 2
    assert rereading.left_tonight(rules, now=evening + DAY) == GIB


def test_what_was_read_longest_ago_comes_first_and_what_was_read_lately_not_at_all(
    copies: Copies, now: datetime
) -> None:
    replica = copies.tell({b"a": b"1"}, now=now - DAY).replica

    def turn(*, days: int, parts: int = rereading.PARTS) -> list[Replica]:
        at = (now - days * DAY).isoformat()
        Replica.objects.update(reread={str(one): at for one in range(parts)})
        return rereading.in_turn(now=now)

    assert turn(days=6) == []
    assert turn(days=6, parts=255) == [replica]
    assert turn(days=8) == [replica]
