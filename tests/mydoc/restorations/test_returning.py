"""A whole volume comes back on another PC: from the real restic, to a PC that answers at the real doors."""

import os
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client as Browser
from django.urls import reverse

from clients import nudge
from clients.errors import Refusal
from clients.models import Client, Event, Group
from mydoc.models import Keeping, KeptSnapshot, Look, Opening, ReplicationRun, Restoration, Volume
from mydoc.restorations import bringing, returning
from mydoc.tree import browsing
from mydoc.upkeep import retaining
from tests.mydoc.answering import AnsweringPc, beat, make_volume, tell
from tests.mydoc.keeping import Copies
from tests.pcs import FakePc
from vrasnode.wire import mydoc as wire

pytestmark = [pytest.mark.slow, pytest.mark.django_db]
MAP, NOTES, EMPTY = "営業/🗾 map *.png".encode(), b"notes.txt", b"empty"
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)


@pytest.fixture
def listed(copies: Copies, now: datetime) -> ReplicationRun:
    """The replica of what lay on the PC that is gone, as far as its list goes: nothing is stored."""
    copies.put(EMPTY, b"")
    copies.put(b"caf\xe9/menu", b"m" * 300_000)
    return copies.tell(copies.files(), now=now - HOUR, snapshot="0" * 64)


@pytest.fixture
def run(copies: Copies, listed: ReplicationRun, now: datetime) -> ReplicationRun:
    """The same with all that it holds."""
    listed.told = {"snapshot": copies.copy()}
    listed.save(update_fields=["told"])
    return listed


@pytest.fixture
def there(
    enrol: Callable[..., FakePc], sales: Group, sato: User, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> AnsweringPc:
    """Sato's new PC, on which they have logged on: it answers."""
    pc = enrol("pc-sales-02", group=sales)
    beat(pc, now=now)
    make_volume(pc, sato, now=now)
    answers = AnsweringPc(pc)

    def hear(client: Client) -> None:
        if client.pk == pc.client.pk:
            answers.look()

    monkeypatch.setattr(nudge, "node", hear)
    return answers


@pytest.fixture
def target(there: AnsweringPc) -> Volume:
    return Volume.objects.select_related("owner", "client").get(client=there.pc.client)


def begin(source: Volume, target: Volume, *, now: datetime, **more: Any) -> Restoration:
    plan = returning.preview(source, target, more.get("run"))
    return returning.begin(source, target, reason="stolen", confirm=plan.confirm, now=now, **more)


def go_on(row: Restoration, *, at: datetime) -> Restoration:
    bringing.sweep(clock=lambda: at)
    row.refresh_from_db()
    return row


def test_everything_comes_as_it_was_and_nothing_that_lies_there_is_overwritten(
    copies: Copies,
    run: ReplicationRun,
    there: AnsweringPc,
    target: Volume,
    now: datetime,
) -> None:
    there.files = {NOTES: b"other", MAP: b"\x89PNG" * 9, b"of today": b"t"}

    row = go_on(begin(copies.volume, target, now=now), at=now)

    stamp = browsing.stamp_of(run.begun_at or now)
    assert dict(there.files) == {
        MAP: b"\x89PNG" * 9,
        NOTES: b"other",
        f"notes ({stamp}).txt".encode(): b"hello",
        EMPTY: b"",
        b"caf\xe9/menu": b"m" * 300_000,
        b"of today": b"t",
    }
    assert (row.state, row.written, row.same, row.beside, row.left_out) == ("done", 3, 1, 1, 0)
    assert there.begun == {}
    [look] = Look.objects.filter(volume=target)
    assert (look.act, look.reason, look.as_of) == ("restore", "stolen", run.begun_at)
    told = Event.objects.filter(object_type="restoration").values_list("verb", "reason")
    assert sorted(told) == [("restoration.done", ""), ("restoration.started", "stolen")]


@pytest.mark.parametrize(
    "question", [8, *(pytest.param(one, marks=pytest.mark.soak) for one in range(1, 10))]
)
def test_killed_at_any_question_the_next_worker_goes_on_and_no_file_is_there_twice(  # noqa: PLR0917
    copies: Copies,
    run: ReplicationRun,
    there: AnsweringPc,
    target: Volume,
    now: datetime,
    question: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    row, later = begin(copies.volume, target, now=now), now + bringing.ALIVE * 2

    def dies(asked: wire.Question) -> wire.Answer:
        answer = there.says(asked)
        if len(there.asked) == question:
            raise SystemExit  # the PC has done it, and nobody hears that
        return answer

    there.answer = dies
    with pytest.raises(SystemExit), monkeypatch.context() as killed:
        killed.setattr(bringing.Work, "pause", lambda *_about: None)  # it says nothing any more
        bringing.sweep(clock=lambda: now)
    there.answer = None
    too_soon = bringing.sweep(clock=lambda: now)
    beat(there.pc, now=later)
    row = go_on(row, at=later)

    assert too_soon == 0

    assert dict(there.files) == copies.files()
    assert (row.state, row.written + row.same, row.beside) == ("done", 4, 0)


def test_small_files_go_by_the_handful_but_to_a_pc_that_is_too_old(
    copies: Copies, there: AnsweringPc, target: Volume, now: datetime
) -> None:
    for number in range(150):
        copies.put(f"営業/{number % 3}/{number}.txt".encode(), b"%d" % number)
    copies.replicate(now=now - HOUR)
    there.files = {"営業/1/1.txt".encode(): b"1", "営業/1/4.txt".encode(): b"another"}

    row = go_on(begin(copies.volume, target, now=now), at=now)
    questions = len(there.asked)
    files, there.files, there.too_old = there.files, {}, True
    old = go_on(begin(copies.volume, target, now=now), at=now)

    # What lies there is looked at (three folders), and read; the rest comes in three handfuls of one key.
    assert questions < 20
    assert (row.state, row.same, row.beside, row.left_out) == ("done", 1, 1, 0)
    assert len(files) == len(copies.files()) + 1
    assert (old.state, old.written) == ("done", len(copies.files()))
    assert dict(there.files) == copies.files()
    assert there.begun == {}


def test_what_comes_into_its_way_meanwhile_is_not_overwritten(
    copies: Copies, run: ReplicationRun, there: AnsweringPc, target: Volume, now: datetime
) -> None:
    def busy(asked: wire.Question) -> wire.Answer:
        if asked.many and asked.data:
            there.files = {**there.files, NOTES: b"the user was quicker"}
        return there.says(asked)

    there.answer = busy

    row = go_on(begin(copies.volume, target, now=now), at=now)

    assert there.files[NOTES] == b"the user was quicker"
    assert (row.state, row.written, row.beside, row.left_out) == ("done", 4, 1, 0)


@pytest.mark.soak
def test_while_its_owner_is_away_it_waits_and_says_so(
    copies: Copies, run: ReplicationRun, there: AnsweringPc, target: Volume, now: datetime
) -> None:
    tell(target, now=now, state=wire.VolumeState.LOCKED)

    waits = go_on(begin(copies.volume, target, now=now), at=now)
    state, code, files = waits.state, waits.code, dict(there.files)
    tell(target, now=now)
    beat(there.pc, now=now + 2 * MINUTE)
    done = go_on(waits, at=now + 2 * MINUTE)

    assert (state, code, files) == ("running", "volume_locked", {})
    assert done.state == "done"
    assert dict(there.files) == copies.files()


@pytest.mark.soak
def test_of_a_damaged_replica_comes_what_is_whole_and_the_rest_is_named(
    copies: Copies, there: AnsweringPc, target: Volume, now: datetime
) -> None:
    copies.put(b"big", os.urandom(2 << 20))
    copies.replicate(now=now - HOUR)
    copies.flip_a_bit()

    row = begin(copies.volume, target, now=now)
    for _bite in range(2):
        row = go_on(row, at=now)

    assert (row.state, row.left_out) == ("done", 1)
    assert [one["path"] for one in row.names] == ["big"]
    assert dict(there.files) == {path: data for path, data in copies.files().items() if path != b"big"}


def test_what_is_being_restored_is_deleted_by_no_retention(
    copies: Copies, listed: ReplicationRun, target: Volume, now: datetime
) -> None:
    newer = copies.tell({NOTES: b"newer"}, now=now, snapshot="1" * 64)
    for one in (listed, newer):
        snapshot = {"snapshot": one.told["snapshot"], "whole": True, "seen_at": one.asked_at}
        KeptSnapshot.objects.create(replica=one.replica, run=one, **snapshot)
    rules = Keeping(last=1, daily=0, weekly=0, monthly=0)
    before = retaining.choose(copies.replica, rules, now=now)

    begin(copies.volume, target, run=listed.pk, now=now)

    after = retaining.choose(copies.replica, rules, now=now)
    assert [one.run_id for one in before.deleted] == [listed.pk]
    assert after.deleted == []


def test_it_is_refused_where_it_cannot_go(  # noqa: PLR0917
    copies: Copies, listed: ReplicationRun, there: AnsweringPc, target: Volume, kato: User, now: datetime
) -> None:
    def code(to: Volume) -> str:
        with pytest.raises(Refusal) as refused:
            begin(copies.volume, to, now=now)
        return refused.value.code

    others = make_volume(there.pc, kato, now=now)
    assert code(copies.volume) == "same_volume"
    assert code(others) == "other_owner"
    with pytest.raises(Refusal, match="not_confirmed"):
        returning.begin(copies.volume, target, reason="stolen", confirm="3", now=now)
    begin(copies.volume, target, now=now)
    assert code(target) == "restored_already"
    Volume.objects.filter(pk=target.pk).update(limit_bytes=(3 << 30) + 9)
    target.refresh_from_db()
    assert code(target) == "no_room_there"
    Client.objects.filter(pk=target.client_id).update(state=Client.State.LOST)
    assert code(Volume.objects.get(pk=target.pk)) == "unknown_client"


def test_a_pc_that_is_lost_meanwhile_gets_nothing_more(
    copies: Copies, listed: ReplicationRun, there: AnsweringPc, target: Volume, now: datetime
) -> None:
    row = begin(copies.volume, target, now=now)
    Client.objects.filter(pk=target.client_id).update(state=Client.State.LOST)

    row = go_on(row, at=now)

    assert (row.state, row.code, there.asked) == ("failed", "unknown_client", [])


def test_on_the_page_it_is_shown_first_what_happens_and_then_how_far_it_is(  # noqa: PLR0917
    client: Browser, admin: User, copies: Copies, listed: ReplicationRun, there: AnsweringPc, target: Volume
) -> None:
    client.force_login(admin)
    page = reverse("mydoc:restore", args=[copies.volume.pk])
    wish = {"target": str(target.pk), "run": str(listed.pk), "reason": "stolen"}

    shown = client.post(page, wish).content.decode()
    none_yet = Restoration.objects.count()
    done = client.post(page, {**wish, "confirm": "4"}, follow=True).content.decode()
    row = Restoration.objects.get()
    stopped = client.post(
        reverse("mydoc:stop-restoring", args=[row.pk]), {"reason": "wrong one"}, follow=True
    )

    assert "Files: 4, " in shown and 'value="4"' in shown
    assert none_yet == 0
    assert "0 of 4 files" in done
    assert "An administrator stopped it" in stopped.content.decode()
    assert Event.objects.get(verb="restoration.stopped").reason == "wrong one"


def test_without_another_pc_the_page_says_what_to_do(
    client: Browser, admin: User, copies: Copies, listed: ReplicationRun
) -> None:
    client.force_login(admin)

    html = client.get(reverse("mydoc:restore", args=[copies.volume.pk])).content.decode()

    assert "let them log on there once" in html


def test_it_is_asked_for_by_rest(  # noqa: PLR0917
    client: Browser, admin: User, copies: Copies, listed: ReplicationRun, there: AnsweringPc, target: Volume
) -> None:
    client.force_login(admin)
    wish = {"source": str(copies.volume.pk), "target": str(target.pk), "reason": "stolen"}
    address = "/api/v1/restorations/"

    plan = client.post(f"{address}preview/", wish, content_type="application/json").json()
    told = client.post(address, wish, content_type="application/json").json()
    begun = client.post(address, {**wish, "confirm": told["confirm"]}, content_type="application/json")
    Opening.objects.update(state="closed")
    bringing.sweep()
    [row] = client.get(address).json()["results"]

    assert (plan["files"], plan["target_open"], plan["run"]) == (4, True, str(listed.pk))
    assert (told["code"], told["confirm"]) == ("not_confirmed", "4")
    assert begun.status_code == 201
    assert (row["state"], row["code"]) == ("running", "volume_locked")
    stopped = client.post(f"{address}{row['id']}/stop/", {"reason": "x"}, content_type="application/json")
    assert stopped.json()["state"] == "stopped"
