"""Replicas that are kept, checked and believed: the real restic, a folder as NAS, a bit really flipped."""

import json
import os
import random
from contextlib import suppress
from datetime import datetime, timedelta

import pytest
from django.utils import timezone

from clients.errors import Refusal
from mydoc.models import Keeping, KeptSnapshot, Loss, ReplicaAlarm, ReplicationRun, Upkeep
from mydoc.replicas import alarming, manifests, replicating, tending
from mydoc.upkeep import drilling, keeping, mending, noticing, rereading, retaining
from tests.mydoc.keeping import Copies

pytestmark = pytest.mark.django_db
Kind = ReplicaAlarm.Kind


@pytest.fixture
def now() -> datetime:
    return timezone.now()


def opened(kind: str) -> ReplicaAlarm | None:
    return ReplicaAlarm.objects.open().filter(kind=kind).first()


@pytest.mark.slow
def test_a_flipped_bit_on_the_nas_is_found_by_reading_said_and_mended_by_the_next_copy(
    copies: Copies, now: datetime
) -> None:
    copies.put(b"large.bin", os.urandom(400_000))
    copies.replicate(now=now - timedelta(hours=1))
    retaining.see(copies.replica, now=now)
    pack = copies.flip_a_bit()

    rereading.read(copies.replica, now=now)

    alarm = opened(Kind.DAMAGED)
    assert alarm is not None
    assert alarm.found["packs"] == [pack.name] == alarm.found["set_aside"]
    assert not pack.exists()
    assert (copies.data.parent / "nas/.openvras-set-aside" / str(copies.volume.pk) / pack.name).exists()
    assert ReplicationRun.objects.current().get().occasion == ReplicationRun.Occasion.BY_HAND

    copies.replicate(now=now + timedelta(hours=1))
    keeping.by_day(copies.replica, now=now + timedelta(hours=2))

    assert opened(Kind.DAMAGED) is None
    assert copies.restic("check", "--read-data")


@pytest.mark.slow
def test_older_replicas_are_deleted_by_the_servers_time_whatever_date_they_carry(
    copies: Copies, now: datetime
) -> None:
    runs = []
    for day in range(4):
        copies.put(b"notes.txt", f"day {day}".encode())
        runs.append(copies.replicate(now=now - timedelta(days=10 - day)))
        retaining.see(copies.replica, now=now - timedelta(days=10 - day))
    copies.copy("slice")
    forged = copies.copy("full", "--time", "2099-01-01 00:00:00")
    retaining.see(copies.replica, now=now - timedelta(days=3))
    Keeping.objects.create(pk=1, last=2, daily=2, weekly=1, monthly=1)

    shown = retaining.preview(Keeping.now(), now=now)
    row = retaining.retain(copies.replica, now=now)

    ((_replica, choice),) = shown
    left = [one["short_id"] for one in json.loads(copies.restic("snapshots", "--json"))]
    assert sorted(left) == sorted(run.told["snapshot"] for run in runs[2:])
    assert forged not in left
    assert (
        row.found == {"kept": 2, "deleted": 4} == {"kept": len(choice.kept), "deleted": len(choice.deleted)}
    )
    assert copies.restic("check", "--read-data")


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(12))
def test_a_retention_killed_at_any_instant_is_done_by_the_next_and_loses_nothing(
    copies: Copies, now: datetime, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for day in range(4):
        copies.put(b"large.bin", os.urandom(300_000))
        copies.replicate(now=now - timedelta(days=10 - day))
        retaining.see(copies.replica, now=now - timedelta(days=10 - day))
    Keeping.objects.create(pk=1, last=1, daily=1, weekly=1, monthly=1)
    with monkeypatch.context() as killed, suppress(Refusal):
        killed.setattr(retaining, "PRUNE_S", random.Random(seed).uniform(0.05, 1.2))
        retaining.retain(copies.replica, now=now)

    row = retaining.retain(copies.replica, now=now + timedelta(minutes=1))
    drill = drilling.drill(copies.replica, now=now + timedelta(minutes=2), whole=True)

    assert row.state == Upkeep.State.DONE
    assert drill is not None
    assert (drill.found["same"], drill.found["missing"]) == (3, 0)
    assert len(json.loads(copies.restic("snapshots", "--json"))) == 1
    assert not list(copies.folder.glob("locks/*"))
    assert copies.restic("check", "--read-data")


def test_what_failed_a_moment_ago_is_not_tried_again_at_once(copies: Copies, now: datetime) -> None:
    replica = copies.tell(DOCUMENTS, now=now).replica
    with suppress(Refusal), tending.tending(replica, Upkeep.Kind.RETENTION, now=now):
        raise Refusal("away", "The NAS is away.")

    assert not retaining.due(replica, now=now + timedelta(minutes=5))
    assert retaining.due(replica, now=now + timedelta(minutes=11))


@pytest.mark.slow
def test_a_drill_restores_and_compares_and_a_forged_manifest_is_told(copies: Copies, now: datetime) -> None:
    first = copies.replicate(now=now - timedelta(days=2))
    retaining.see(copies.replica, now=now - timedelta(days=2))
    good = drilling.drill(copies.replica, now=now, whole=True)
    some = drilling.drill(copies.replica, now=now, whole=False)
    copies.replicate(now=now - timedelta(days=1), forged={b"notes.txt": b"what never was there"})
    retaining.see(copies.replica, now=now - timedelta(days=1))

    with tending.tending(copies.replica, Upkeep.Kind.DRILL, now=now):
        pass  # a third one
    bad = drilling.drill(copies.replica, now=now)

    assert good is not None and some is not None and bad is not None
    assert (good.found["same"], good.found["other"], good.found["missing"], good.found["proof"]) == (
        2,
        0,
        0,
        "",
    )
    assert (some.found["same"], some.found["other"]) == (2, 0)
    assert bad.found["names"] == ["notes.txt"]
    assert bad.found["whole"] is True  # each fourth is
    alarm = opened(Kind.DIFFERS)
    assert alarm is not None
    assert alarm.keeps == first


def test_lists_of_replicas_that_are_gone_go_too_but_for_what_a_dossier_tells(
    copies: Copies, now: datetime
) -> None:
    runs = [copies.tell(DOCUMENTS, now=now - timedelta(days=90 - number)) for number in range(5)]
    replica = runs[0].replica
    for number, run in enumerate(runs[:4]):
        gone_at = now - timedelta(days=40) if number < 3 else None
        KeptSnapshot.objects.create(
            replica=replica, snapshot=f"{number:064}", whole=True, seen_at=now, run=run, gone_at=gone_at
        )
    ReplicationRun.objects.filter(pk=runs[4].pk).update(state="cut_off")
    told = runs[1].ended_at
    assert told is not None
    Loss.objects.create(client=replica.volume.client, declared_at=told, halves_until=now, ended_at=now)

    deleted = manifests.forget_old(replica, now=now)

    assert deleted == 3
    left = sorted(path.name for path in manifests.path_of(runs[0]).parent.iterdir())
    assert left == sorted(f"{run.pk}{end}" for run in (runs[1], runs[3]) for end in (".gz", ".signed"))
    assert manifests.forget_old(replica, now=now) == 0


def test_a_drill_is_due_once_its_week_is_over_and_who_is_behind_is_counted(
    copies: Copies, now: datetime
) -> None:
    copies.tell(DOCUMENTS, now=now - timedelta(days=30))
    replica = copies.replica
    never = drilling.due(replica, now=now), drilling.late(now=now)
    with tending.tending(replica, Upkeep.Kind.DRILL, now=now) as act:
        act.found |= {"other": 0, "missing": 0}
    week = now + drilling.EVERY

    assert never == (True, [replica])
    assert not drilling.due(replica, now=week - timedelta(minutes=1))
    assert drilling.due(replica, now=week)
    assert drilling.late(now=week) == []
    assert drilling.late(now=week + timedelta(days=1, minutes=1)) == [replica]


@pytest.mark.slow
def test_what_a_killed_run_left_is_put_in_an_index_and_its_lock_lifted_once_it_is_surely_dead(
    copies: Copies, now: datetime
) -> None:
    copies.replicate(now=now - timedelta(days=1))
    for index in copies.folder.glob("index/*"):
        index.unlink()
    lock = copies.folder / "locks" / ("ab" * 32)
    lock.write_bytes(b"of another machine, and torn")
    ReplicationRun.objects.create(
        replica=copies.replica, occasion="schedule", state="cut_off", asked_at=now, begun_at=now, ended_at=now
    )

    with pytest.raises(tending.Busy, match="repository_locked"):
        mending.mend(copies.replica, now=now)
    mending.mend(copies.replica, now=now + mending.DEAD_AFTER)

    assert not list(copies.folder.glob("locks/*"))
    assert not mending.due(copies.replica, now=now)
    assert copies.restic("check", "--read-data")


DOCUMENTS = {f"docs/{number:03}.docx".encode(): b"text %d" % number for number in range(100)}
ENCRYPTED = {path + b".locked": b"\x00" + content for path, content in DOCUMENTS.items()}
MOVED = {b"archive/" + path: content for path, content in DOCUMENTS.items()}


def test_when_very_much_changes_at_once_the_generation_before_is_kept_until_somebody_lets_it_go(
    copies: Copies, now: datetime
) -> None:
    before = copies.tell(DOCUMENTS, now=now - timedelta(days=30))
    kept = KeptSnapshot.objects.create(
        replica=before.replica, snapshot="a" * 64, whole=True, seen_at=before.begun_at, run=before
    )
    for day in range(20):
        run = copies.tell(ENCRYPTED, now=now - timedelta(days=19 - day))
        KeptSnapshot.objects.create(
            replica=run.replica, snapshot=f"{day:064}", whole=True, seen_at=run.begun_at, run=run
        )
    rules = Keeping(last=2, daily=3, weekly=1, monthly=1)

    noticing.notice(before.replica, now=now)

    alarm = opened(Kind.MASS_CHANGE)
    assert alarm is not None
    assert alarm.keeps == before
    assert (alarm.found["percent"], alarm.found["appended"], alarm.found["ending"]) == (100, 100, "locked")
    assert kept in retaining.choose(before.replica, rules, now=now).kept
    with pytest.raises(Refusal, match="no_reason"):
        alarming.close(alarm, reason=" ", now=now)
    alarming.close(alarm, reason="the owner packed everything", now=now)
    assert kept in retaining.choose(before.replica, rules, now=now).deleted


def test_a_folder_that_was_only_moved_raises_no_alarm(copies: Copies, now: datetime) -> None:
    copies.tell(DOCUMENTS, now=now - timedelta(days=1))
    run = copies.tell(MOVED, now=now)

    noticing.notice(run.replica, now=now)

    run.refresh_from_db()
    assert (run.changed["moved"], run.changed["percent"]) == (100, 0)
    assert not ReplicaAlarm.objects.exists()


def test_a_snapshot_that_is_not_on_the_nas_is_not_believed(copies: Copies, now: datetime) -> None:
    copies.copy()
    run = copies.tell(DOCUMENTS, now=now, snapshot="0" * 64)

    retaining.see(run.replica, now=now)

    assert opened(Kind.ABSENT) is not None


@pytest.mark.slow
def test_a_kept_replica_that_somebody_deleted_on_the_nas_is_said_whatever_comes_after_it(
    copies: Copies, now: datetime
) -> None:
    Keeping.objects.create(pk=1, last=2, daily=1, weekly=1, monthly=1)
    for number in range(2, 0, -1):  # the older one is deleted by the rules, too
        run = copies.tell(DOCUMENTS, now=now - timedelta(hours=number), snapshot=f"{number:064}")
        KeptSnapshot.objects.create(
            replica=run.replica, snapshot=f"{number:064}", whole=True, seen_at=run.begun_at, run=run
        )
    copies.replicate(now=now)
    retaining.see(copies.replica, now=now)
    vanished = opened(Kind.ABSENT)
    copies.folder.rename(copies.folder.with_name("away"))
    with pytest.raises(Refusal, match="no_repository"):
        retaining.see(copies.replica, now=now)
    all_gone = opened(Kind.ABSENT)
    copies.folder.with_name("away").rename(copies.folder)

    retaining.see(copies.replica, now=now)

    assert vanished is not None and all_gone is not None
    assert vanished.found["gone"] == [f"{1:064}", f"{2:064}"]
    assert len(all_gone.found["gone"]) == 3
    assert opened(Kind.ABSENT) is not None
    assert KeptSnapshot.objects.filter(replica=copies.replica, gone_at=None).count() == 1


def test_the_server_does_not_begin_while_a_pc_copies_and_no_pc_while_it_wants_to_be_alone(
    copies: Copies, now: datetime
) -> None:
    run = copies.tell(DOCUMENTS, now=now)
    replica = run.replica
    current = ReplicationRun.objects.create(replica=replica, occasion="schedule", asked_at=now)
    with tending.tending(replica, Upkeep.Kind.RETENTION, now=now):
        with pytest.raises(tending.Busy, match="replica_tended"):
            replicating._begin(current, now=now)
        with pytest.raises(tending.Busy, match="looked_after"):
            tending.begin(replica, Upkeep.Kind.READING, now=now)

    replicating._begin(current, now=now)

    with pytest.raises(tending.Busy, match="copying"):
        tending.begin(replica, Upkeep.Kind.MENDING, now=now)
    killed = tending.begin(replica, Upkeep.Kind.READING, now=now)
    tending.begin(replica, Upkeep.Kind.READING, now=now + tending.ALIVE + timedelta(seconds=1))
    killed.refresh_from_db()
    assert (killed.state, killed.code) == ("failed", "killed")


def test_other_rules_are_taken_only_with_the_number_that_they_delete(copies: Copies, now: datetime) -> None:
    run = copies.tell(DOCUMENTS, now=now - timedelta(days=9))
    for number in range(3):
        at = now - timedelta(days=9 - number)
        one = run if not number else copies.tell(DOCUMENTS, now=at)
        KeptSnapshot.objects.create(
            replica=run.replica, snapshot=f"{number:064}", whole=True, seen_at=at, run=one
        )
    wish = Keeping(last=1, daily=1, weekly=1, monthly=1)

    with pytest.raises(Refusal) as refused:
        keeping.change(wish, reason="room", now=now, confirm="")

    assert refused.value.more["confirm"] in ("1", "2")
    keeping.change(wish, reason="room", now=now, confirm=refused.value.more["confirm"])
    assert Keeping.now().daily == 1
