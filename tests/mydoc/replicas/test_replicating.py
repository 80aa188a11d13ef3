"""When user data is copied, what a PC is given for it, and what counts as a replica: the rules alone."""

import gzip
import hashlib
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from django.contrib.auth.models import User
from django.test import Client as Browser

from clients.enrolment import enrolling, nodeslice
from clients.models import Event
from mydoc.losses import losing
from mydoc.models import Lockout, Opening, Replica, ReplicationRun, Volume
from mydoc.nas.settings import GatewaySettings, NasSettings
from mydoc.replicas import lastreplica, manifests, passwords, replicating
from mydoc.volumes import halves
from tests.mydoc.answering import make_volume
from tests.pcs import FakePc
from vrasnode import sealing
from vrasnode.wire import codec
from vrasnode.wire.replication import (
    ManifestLine,
    Occasion,
    ReplicationKey,
    ReplicationKeyAnswer,
    ReplicationKeyRequest,
    ReplicationReport,
    ReplicationSlice,
    ReplicationWish,
    RunReport,
    RunState,
)

pytestmark = pytest.mark.django_db
State = ReplicationRun.State
KEY = X25519PrivateKey.generate()
LINES = [
    ManifestLine(path=b"notes.txt", size_bytes=5, mtime_ns=1, sha256="a" * 64),
    ManifestLine(path="営業/見積.txt".encode(), size_bytes=6, mtime_ns=2, sha256="b" * 64),
]


@pytest.fixture(autouse=True)
def somewhere_to_copy_to(settings: Any, tmp_path: Path) -> None:
    settings.NAS = NasSettings(url=f"file://{tmp_path}")
    settings.GATEWAY = GatewaySettings(url="http://10.0.0.1:8443")
    settings.STORE = tmp_path / "store"


@pytest.fixture
def rest(client: Browser, admin: User) -> Browser:
    client.force_login(admin)
    return client


def slice_of(pc: FakePc, now: datetime) -> ReplicationSlice:
    return codec.decode(nodeslice.desired(pc.client, now=now).slices["replication"], ReplicationSlice)


def wish(pc: FakePc, now: datetime) -> ReplicationWish:
    (one,) = slice_of(pc, now).volumes
    return one


def ask_key(pc: FakePc, volume: Volume, run: str = "", **changed: Any) -> Any:
    asked = {
        "volume": str(volume.pk),
        "run": run,
        "reply_key": KEY.public_key().public_bytes_raw(),
        "occasion": Occasion.SHUTDOWN,
        **changed,
    }
    return pc.post("/node/v1/replication/key", ReplicationKeyRequest(**asked))


def key_of(answer: Any, volume: Volume) -> ReplicationKey:
    assert answer.status_code == 200, answer.content
    sealed = codec.decode(answer.content, ReplicationKeyAnswer).sealed
    purpose = sealing.replication_purpose(str(volume.pk))
    return codec.decode(sealing.open_sealed(sealed, KEY, purpose=purpose), ReplicationKey)


def packed(lines: list[ManifestLine]) -> bytes:
    return gzip.compress(b"".join(codec.encode(line) + b"\n" for line in lines))


def hand_in(pc: FakePc, run: str, data: bytes) -> Any:
    path = f"/node/v1/replication/manifest/{run}"
    return pc.put(path, data)


def tell(pc: FakePc, volume: Volume, run: str, state: RunState, **told: Any) -> None:
    one = RunReport(volume=str(volume.pk), run=run, state=state, **told)
    assert pc.post("/node/v1/reports/replication", ReplicationReport(runs=[one])).status_code == 204


def copied(pc: FakePc, volume: Volume) -> ReplicationRun:
    """The PC has copied all, and says so."""
    key, data = key_of(ask_key(pc, volume), volume), packed(LINES)
    assert hand_in(pc, key.run, data).status_code == 204
    digest = hashlib.sha256(data).hexdigest()
    tell(pc, volume, key.run, RunState.DONE, snapshot="abc123", manifest=digest, total_bytes=11)
    return ReplicationRun.objects.get(pk=key.run)


def test_a_volume_that_was_never_copied_is_due_at_its_slot_and_stands_in_the_slice(
    pc: FakePc, volume: Volume, now: datetime, settings: Any
) -> None:
    assert wish(pc, now).run == ""

    assert replicating.plan(now=now) == 1

    asked = wish(pc, now)
    assert asked.run == str(ReplicationRun.objects.get().pk)
    assert asked.not_before is not None
    assert now <= asked.not_before < now + settings.REPLICA_SPREAD
    assert replicating.plan(now=now) == 0


def test_the_key_of_a_run_comes_sealed_and_is_the_same_when_a_killed_pc_asks_again(
    pc: FakePc, volume: Volume, now: datetime
) -> None:
    replicating.plan(now=now)
    run = wish(pc, now).run

    first, again = (key_of(ask_key(pc, volume, run), volume) for _ in range(2))

    replica = Replica.objects.get()
    assert first == again
    assert (first.run, first.user, first.repository) == (run, str(volume.pk), f"{volume.pk}/")
    assert first.repository_password == passwords.repository_password_of(replica)
    assert ReplicationRun.objects.get().state == State.RUNNING
    assert first.password.encode() not in nodeslice.desired(pc.client, now=now).slices["replication"]


def test_what_was_copied_with_its_manifest_is_a_replica_and_known_file_by_file(
    pc: FakePc, volume: Volume, now: datetime
) -> None:
    run = copied(pc, volume)

    replica = Replica.objects.get()
    assert run.state == State.DONE
    assert (replica.last_good_at, replica.files, replica.total_bytes) == (run.begun_at, 2, 11)
    found = list(lastreplica.files(volume, before=run.ended_at))
    assert [(one.path, one.sha256) for one in found] == [(line.path, line.sha256) for line in LINES]
    assert lastreplica.last(volume, before=run.begun_at - timedelta(days=1)) is None


def test_without_its_manifest_nothing_counts_as_a_replica(pc: FakePc, volume: Volume) -> None:
    key = key_of(ask_key(pc, volume), volume)

    tell(pc, volume, key.run, RunState.DONE, snapshot="abc123", manifest="c" * 64)

    run = ReplicationRun.objects.get()
    assert (run.state, run.reason) == (State.FAILED, "no_manifest")
    assert Replica.objects.get().last_good_at is None


@pytest.mark.parametrize(
    "data",
    [
        b"no gzip",
        packed(LINES)[:-9],
        packed(LINES[::-1]),
        packed([LINES[0], LINES[0]]),
        gzip.compress(b"{}\n"),
    ],
    ids=["not packed", "cut short", "not sorted", "a path twice", "no line of ours"],
)
def test_what_is_no_manifest_is_refused(pc: FakePc, volume: Volume, data: bytes) -> None:
    key = key_of(ask_key(pc, volume), volume)

    answer = hand_in(pc, key.run, data)

    assert answer.json()["code"] == "bad_manifest"
    assert ReplicationRun.objects.get().manifest == ""


def test_a_manifest_is_kept_with_what_its_pc_signed(pc: FakePc, volume: Volume, settings: Any) -> None:
    run = copied(pc, volume)

    (kept,) = (Path(settings.STORE) / "manifests" / str(volume.pk)).glob("*.signed")

    assert kept.stem == str(run.pk)
    assert '"signature": "vras=:' in kept.read_text()


def test_a_manifest_that_was_altered_afterwards_is_not_what_its_pc_signed(pc: FakePc, volume: Volume) -> None:
    run = copied(pc, volume)
    path, others = manifests.path_of(run), packed(LINES[:1])
    assert manifests.proof_of(run) == ""

    path.write_bytes(others)
    torn = manifests.proof_of(run)
    run.manifest = hashlib.sha256(others).hexdigest()  # by somebody who writes into the database, too
    forged = manifests.proof_of(run)
    path.unlink()

    assert (torn, forged, manifests.proof_of(run)) == ("manifest_altered", "bad_signature", "no_manifest")


def test_how_long_a_shutdown_is_held_back_is_the_companys_to_say(
    pc: FakePc, volume: Volume, now: datetime, settings: Any
) -> None:
    usual = slice_of(pc, now)
    settings.REPLICA_HOLD = timedelta(seconds=45)
    shorter = slice_of(pc, now)
    settings.REPLICA_HOLD = timedelta(0)
    never = slice_of(pc, now)

    assert (usual.hold_s, usual.at_shutdown) == (120, True)
    assert (shorter.hold_s, shorter.at_shutdown) == (45, True)
    assert not never.at_shutdown


def test_another_pc_gets_no_key_hands_nothing_in_and_ends_nothing(
    pc: FakePc, volume: Volume, now: datetime
) -> None:
    key = key_of(ask_key(pc, volume), volume)
    other = FakePc.enrol("pc-sales-99", group=pc.client.group, approved=True, now=now)

    assert ask_key(other, volume, key.run).json()["code"] == "no_such_run"
    assert hand_in(other, key.run, packed(LINES)).json()["code"] == "no_such_run"
    tell(other, volume, key.run, RunState.FAILED)

    assert ReplicationRun.objects.get().state == State.RUNNING


def test_a_pc_outside_of_the_company_gets_no_key(pc: FakePc, volume: Volume, settings: Any) -> None:
    settings.COMPANY_NETWORKS = []

    assert ask_key(pc, volume).json()["code"] == "not_on_the_lan"


def test_only_so_many_copy_at_once_and_the_others_keep_their_turn(
    pc: FakePc, volume: Volume, kato: User, now: datetime, settings: Any
) -> None:
    settings.REPLICAS_AT_ONCE = 1
    key_of(ask_key(pc, volume), volume)
    second = make_volume(pc, kato, now=now)

    refused = ask_key(pc, second)

    assert refused.json()["code"] == "gateway_busy"
    assert ReplicationRun.objects.get(replica__volume=second).state == State.WAITING


def test_a_run_of_which_nothing_is_heard_was_cut_off_and_goes_on_soon(
    pc: FakePc, volume: Volume, now: datetime, settings: Any
) -> None:
    key_of(ask_key(pc, volume), volume)
    later = now + settings.REPLICA_SILENCE + timedelta(minutes=5)

    replicating.plan(now=later)
    replicating.plan(now=later + timedelta(minutes=2))

    old, new = ReplicationRun.objects.order_by("asked_at")
    assert (old.state, old.reason) == (State.CUT_OFF, "pc_silent")
    assert new.occasion == ReplicationRun.Occasion.RESUME


def cut_off(pc: FakePc, volume: Volume, now: datetime) -> str:
    """A run that was cut off by the PC's end, and the one that goes on with it; the volume is locked."""
    key = key_of(ask_key(pc, volume), volume)
    tell(pc, volume, key.run, RunState.CUT_OFF, code="left_now")
    Opening.objects.all().delete()
    volume.server_half = halves.fresh(volume.pk)
    volume.save(update_fields=["server_half"])
    replicating.plan(now=now + timedelta(minutes=2))
    return wish(pc, now).run


def test_a_replica_that_was_cut_off_is_finished_while_the_volume_is_locked_and_that_is_written_down(
    pc: FakePc, volume: Volume, now: datetime, settings: Any
) -> None:
    run = cut_off(pc, volume, now)

    key = key_of(ask_key(pc, volume, run, occasion=Occasion.RESUME, locked=True), volume)

    assert key.server_half == halves.half_of(Volume.objects.get())
    assert key.read_s == settings.REPLICA_LOCKED_READ.total_seconds()
    event = Event.objects.get(verb="replicationrun.half_given")
    assert event.object_id == run


def test_a_pc_that_knows_of_it_itself_need_not_wait_for_the_next_sweep(pc: FakePc, volume: Volume) -> None:
    key = key_of(ask_key(pc, volume), volume)
    tell(pc, volume, key.run, RunState.CUT_OFF, code="left_now")
    Opening.objects.all().delete()
    volume.server_half = halves.fresh(volume.pk)
    volume.save(update_fields=["server_half"])

    again = key_of(ask_key(pc, volume, occasion=Occasion.RESUME, locked=True), volume)

    assert again.server_half
    assert ReplicationRun.objects.get(pk=again.run).occasion == ReplicationRun.Occasion.RESUME


def test_the_key_of_a_locked_volume_is_given_for_nothing_but_a_run_that_was_cut_off(
    rest: Browser, pc: FakePc, volume: Volume
) -> None:
    Opening.objects.all().delete()

    by_itself = ask_key(pc, volume, locked=True)
    rest.post(f"/api/v1/volumes/{volume.pk}/replicate/")
    by_hand = ask_key(pc, volume, locked=True)

    assert (by_itself.json()["code"], by_hand.json()["code"]) == ("no_such_run", "no_such_run")
    assert not Event.objects.filter(verb="replicationrun.half_given").exists()


def test_an_open_volume_is_copied_by_its_own_key(pc: FakePc, volume: Volume, now: datetime) -> None:
    run = cut_off(pc, volume, now)
    Opening.objects.create(volume=volume, state=Opening.State.OPEN, nonce="n", asked_at=now, opened_at=now)

    assert ask_key(pc, volume, run, locked=True).json()["code"] == "volume_open"


@pytest.mark.parametrize("why", ["lost", "locked out", "outside"])
def test_who_is_lost_locked_out_or_elsewhere_finishes_nothing(
    volume: Volume, pc: FakePc, now: datetime, settings: Any, why: str
) -> None:
    run = cut_off(pc, volume, now)
    if why == "lost":
        by = User.objects.create_superuser("admin")
        losing.declare(pc.client, by=by, reason="taxi", confirm=pc.client.name, now=now)
    elif why == "locked out":
        Lockout.objects.create(client=pc.client, last_contact=now, at=now)
    else:
        settings.COMPANY_NETWORKS = []

    answer = ask_key(pc, volume, run, locked=True)

    assert answer.status_code in (403, 404), answer.content
    assert not Event.objects.filter(verb="replicationrun.half_given").exists()


def test_a_revoked_pc_copies_nothing_any_more(pc: FakePc, volume: Volume) -> None:
    key_of(ask_key(pc, volume), volume)

    enrolling.revoke(pc.client, reason="stolen")

    assert ReplicationRun.objects.get().reason == "pc_revoked"
    assert not Replica.objects.admitted().exists()


@pytest.mark.parametrize(
    ("made", "seen", "late"),
    [
        ("2026-06-05", "2026-06-08", False),  # from a Friday to a Monday
        ("2026-06-05", "2026-06-11", True),
        ("2026-04-30", "2026-05-07", False),  # the holidays of May are no working days
        ("2026-04-30", "2026-05-09", True),
    ],
)
def test_who_has_no_good_replica_for_working_days_is_said(
    volume: Volume, made: str, seen: str, late: bool
) -> None:
    Volume.objects.update(created_at=datetime.fromisoformat(f"{made}T09:00+09:00"))

    now = datetime.fromisoformat(f"{seen}T10:00+09:00")

    assert replicating.overdue(now=now).exists() is late


def test_after_how_many_working_days_that_is_said_is_the_companys_to_say(
    volume: Volume, now: datetime, settings: Any
) -> None:
    Volume.objects.update(created_at=now - timedelta(days=10))

    settings.REPLICA_PATIENCE_DAYS = 30

    assert not replicating.overdue(now=now).exists()


def test_where_there_is_no_nas_nothing_is_asked_of_pcs(
    rest: Browser, pc: FakePc, volume: Volume, now: datetime, settings: Any
) -> None:
    settings.NAS = None

    assert replicating.plan(now=now) == 0
    assert slice_of(pc, now).volumes == []
    assert rest.post(f"/api/v1/volumes/{volume.pk}/replicate/").json()["code"] == "no_nas"


def test_the_custodians_together_open_the_repository_without_the_server(
    custodians: tuple[X25519PrivateKey, X25519PrivateKey], volume: Volume
) -> None:
    replica = passwords.replica_of(volume)

    opened: bytes = bytes(replica.recovery or b"")
    for key in custodians:
        purpose = sealing.recovery_purpose(f"replica {volume.pk}")
        opened = sealing.open_sealed(opened, key, purpose=purpose)

    assert opened.decode() == passwords.repository_password_of(replica)
