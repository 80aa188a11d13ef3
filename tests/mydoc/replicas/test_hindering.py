"""The alarm about a replica that is missing for days says why, and what to do: for each cause there is."""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client as Browser
from django.test.utils import CaptureQueriesContext
from django.utils import translation

from clients import presence
from clients.models import Client, WifiStanding
from mydoc.models import Lockout, NasLook, Opening, Replica, ReplicationRun, Volume
from mydoc.nas.settings import GatewaySettings, NasSettings
from mydoc.replicas import hindering, passwords, words
from mydoc.replicas.hindering import Hindrance
from mydoc.volumes import halves
from tests.mydoc.answering import make_volume, tell
from tests.pcs import FakePc
from vrasnode.wire.clients import Heartbeat
from vrasnode.wire.mydoc import VolumeState
from vrasnode.wire.replication import Occasion, ReplicationKeyRequest

pytestmark = pytest.mark.django_db
State = ReplicationRun.State
AGO = timedelta(days=30)
TIMES = ("asked_at", "begun_at", "ended_at")


@pytest.fixture(autouse=True)
def english() -> Iterator[None]:
    """Whatever language a test before had pages speak."""
    with translation.override("en"):
        yield


@pytest.fixture(autouse=True)
def somewhere_to_copy_to(settings: Any, tmp_path: Path) -> None:
    settings.NAS = NasSettings(url=f"file://{tmp_path}")
    settings.GATEWAY = GatewaySettings(url="http://10.0.0.1:8443")


@pytest.fixture
def late(volume: Volume, now: datetime) -> Volume:
    """Sato's data, open on a PC that is there; a good replica has been missing for a month."""
    return made_late(volume, now=now)


@pytest.fixture
def desk(client: Browser, admin: User) -> Browser:
    client.force_login(admin)
    return client


def made_late(volume: Volume, *, now: datetime) -> Volume:
    passwords.replica_of(volume)
    Volume.objects.filter(pk=volume.pk).update(created_at=now - AGO, server_half=halves.fresh(volume.pk))
    return volume


def why(volume: Volume, now: datetime) -> Hindrance:
    return hindering.of_each([volume], now=now)[volume.pk]


def beat(pc: FakePc, *, now: datetime, address: str = "", virtual_server: str = "running") -> None:
    said = Heartbeat(
        agent_version="0.1.0", boot_id="1", uptime_s=60, desktop="running", virtual_server=virtual_server
    )
    presence.hear(pc.client.pk, said, now=now, address=address)


def ended(volume: Volume, *reasons: str, now: datetime, state: str = State.CUT_OFF) -> None:
    """Runs that came to no good end, the last one an hour ago."""
    replica = Replica.objects.get(volume=volume)
    for hours, reason in enumerate(reversed(reasons), 1):
        at = now - timedelta(hours=hours)
        ReplicationRun.objects.create(
            replica=replica,
            occasion="schedule",
            state=state,
            asked_at=at,
            begun_at=at,
            ended_at=at,
            reason=reason,
        )


def good(volume: Volume, *, at: datetime) -> None:
    Replica.objects.filter(volume=volume).update(last_good_at=at)


def logged_on(volume: Volume, *, at: datetime, until: datetime | None) -> None:
    """Its only logon."""
    state = Opening.State.CLOSED if until else Opening.State.OPEN
    Opening.objects.filter(volume=volume).update(state=state, asked_at=at, opened_at=at, closed_at=until)


def on_wifi(pc: FakePc, now: datetime, **told: Any) -> None:
    report = {"wifi": "connected", "ssid": "guest", "address": "203.0.113.9", **told}
    WifiStanding.objects.create(client=pc.client, report=report, reported_at=now)


def found_bad(code: str, *, now: datetime) -> None:
    NasLook.objects.create(
        at=now, good=False, found=[{"code": "tcp", "good": True}, {"code": code, "good": False}]
    )


def ask_key(pc: FakePc, volume: Volume) -> Any:
    key = X25519PrivateKey.generate().public_key().public_bytes_raw()
    asked = ReplicationKeyRequest(volume=str(volume.pk), reply_key=key, occasion=Occasion.SCHEDULE)
    return pc.post("/node/v1/replication/key", asked)


@pytest.mark.parametrize("code", ["no_room", "tcp", "read_only", "credential", "not_permitted", "clock"])
def test_a_nas_that_is_full_or_away_or_refuses_is_named_and_where_it_is_mended(
    late: Volume, now: datetime, code: str
) -> None:
    found_bad(code, now=now)

    found = why(late, now)

    assert found.code == f"nas_{code}"
    assert found.words not in ("", found.code)
    assert "page" in found.to_do


def test_who_pressed_leave_now_each_time_is_told_to_wait_once(late: Volume, now: datetime) -> None:
    ended(late, "left_now", "left_now", "left_now", now=now)

    found = why(late, now)

    assert (found.code, found.words[:21]) == ("left_now", "Each of 3 times: Some")
    assert "let one shutdown copy to its end" in found.to_do


def test_a_pc_that_is_never_on_for_long_enough_is_said_to_be(late: Volume, now: datetime) -> None:
    ended(late, "left_now", "pc_silent", "cut_off", "hold_over", now=now)

    found = why(late, now)

    assert found.code == "never_long_enough"
    assert found.words.startswith("It was begun 4 times")
    assert "Leave the PC on" in found.to_do


@pytest.mark.parametrize(
    "reason", ["volume_full", "gateway_certificate", "wrong_repository_key", "repository_damaged"]
)
def test_what_the_last_of_many_runs_ended_with_is_said_with_its_own_remedy(
    late: Volume, now: datetime, reason: str
) -> None:
    ended(late, "left_now", "restic_failed", reason, now=now, state=State.FAILED)

    found = why(late, now)

    assert found.code == reason
    assert found.words.startswith("Not once of 3 times")
    assert found.to_do == words.to_do_of(reason) != words.to_do_of("")


def test_what_was_before_the_last_good_replica_is_no_reason(late: Volume, now: datetime) -> None:
    ended(late, "volume_full", now=now - timedelta(days=9), state=State.FAILED)
    good(late, at=now - timedelta(days=8))

    assert why(late, now).code == "not_begun"


def test_a_pc_on_a_wifi_of_others_is_told_apart_from_one_outside(
    pc: FakePc, late: Volume, now: datetime, settings: Any
) -> None:
    settings.COMPANY_NETWORKS = []
    beat(pc, now=now, address="203.0.113.9")
    Client.objects.filter(pk=pc.client.pk).update(address="203.0.113.9")
    outside = why(late, now)

    on_wifi(pc, now)
    found = why(late, now)

    assert outside.code == "not_on_the_lan"
    assert found.code == "wifi_outside"
    assert "“guest”, from 203.0.113.9" in found.words
    assert "cable" in found.to_do
    assert "OPENVRAS_COMPANY_NETWORKS" in found.to_do


def test_a_wifi_from_which_the_gateway_is_not_reached_is_named(
    pc: FakePc, late: Volume, now: datetime
) -> None:
    on_wifi(pc, now, ssid="office")
    ended(late, "cut_off", "gateway_away", now=now)

    found = why(late, now)

    assert found.code == "gateway_away_wifi"
    assert "“office”" in found.words
    assert "gateway's port" in found.to_do


def test_who_got_no_slot_is_said_to_until_a_run_comes_to_an_end(
    pc: FakePc, late: Volume, now: datetime, settings: Any
) -> None:
    settings.REPLICAS_AT_ONCE = 0
    assert ask_key(pc, late).json()["code"] == "gateway_busy"
    busy = why(late, now)

    ended(late, "restic_failed", now=now + timedelta(hours=2), state=State.FAILED)

    assert busy.code == "gateway_busy"
    assert "OPENVRAS_REPLICA_SPREAD_MIN" in busy.to_do
    assert why(late, now).code == "restic_failed"


def test_why_the_server_gave_no_key_is_kept_though_the_pc_has_gone_since(
    pc: FakePc, late: Volume, now: datetime, settings: Any
) -> None:
    settings.COMPANY_NETWORKS = []

    assert ask_key(pc, late).json()["code"] == "not_on_the_lan"

    settings.COMPANY_NETWORKS = None
    assert why(late, now + timedelta(minutes=5)).code == "not_on_the_lan"


def test_another_pcs_question_leaves_no_reason_here(pc: FakePc, late: Volume, now: datetime) -> None:
    other = FakePc.enrol("pc-sales-98", group=None, approved=True, now=now)

    ask_key(other, late)

    assert Replica.objects.get(volume=late).refused == ""


def locked_out(pc: FakePc, late: Volume, now: datetime) -> None:
    Lockout.objects.create(client=pc.client, at=now, last_contact=now - AGO)


def half_deleted(pc: FakePc, late: Volume, now: datetime) -> None:
    Volume.objects.filter(pk=late.pk).update(server_half=None)


def account_off(pc: FakePc, late: Volume, now: datetime) -> None:
    User.objects.filter(pk=late.owner_id).update(is_active=False)


def pc_silent(pc: FakePc, late: Volume, now: datetime) -> None:
    beat(pc, now=now - timedelta(days=9))


def damaged(pc: FakePc, late: Volume, now: datetime) -> None:
    tell(late, now=now, state=VolumeState.BROKEN)


def no_virtual_server(pc: FakePc, late: Volume, now: datetime) -> None:
    beat(pc, now=now, virtual_server="absent")


def never_opened(pc: FakePc, late: Volume, now: datetime) -> None:
    Opening.objects.all().delete()


def not_unlocked(pc: FakePc, late: Volume, now: datetime) -> None:
    good(late, at=now - timedelta(days=9))
    logged_on(late, at=now - timedelta(days=11), until=now - timedelta(days=10))


def too_short(pc: FakePc, late: Volume, now: datetime) -> None:
    logged_on(late, at=now - timedelta(hours=3), until=now - timedelta(hours=2))


def not_begun(pc: FakePc, late: Volume, now: datetime) -> None:
    beat(pc, now=now)


def under_way(pc: FakePc, late: Volume, now: datetime) -> None:
    ended(late, "left_now", now=now)
    replica = Replica.objects.get(volume=late)
    ReplicationRun.objects.create(
        replica=replica, occasion="by_hand", state=State.RUNNING, asked_at=now, begun_at=now, heard_at=now
    )


@pytest.mark.parametrize(
    "happens",
    [
        locked_out,
        half_deleted,
        account_off,
        pc_silent,
        damaged,
        no_virtual_server,
        never_opened,
        not_unlocked,
        too_short,
        not_begun,
        under_way,
    ],
)
def test_each_thing_that_may_be_in_the_way_is_said_with_what_to_do(
    pc: FakePc, late: Volume, now: datetime, happens: Callable[[FakePc, Volume, datetime], None]
) -> None:
    happens(pc, late, now)

    found = why(late, now)

    assert found.code == happens.__name__
    assert found.words.endswith((".", "."))
    assert found.to_do


def test_a_silent_pc_whose_wifi_was_not_to_be_joined_says_what_it_told_last(
    pc: FakePc, late: Volume, now: datetime
) -> None:
    on_wifi(pc, now, wifi="searching", ssid="office", code="wifi_server_unproven")
    pc_silent(pc, late, now)

    found = why(late, now)

    assert found.code == "pc_silent"
    assert "“office”" in found.words


def test_a_pc_that_is_only_off_for_the_night_is_not_called_silent(
    pc: FakePc, late: Volume, now: datetime
) -> None:
    beat(pc, now=now - timedelta(hours=10))
    ended(late, "left_now", now=now)

    assert why(late, now).code == "left_now"


def test_what_is_copied_in_time_is_in_nobodys_way(late: Volume, now: datetime) -> None:
    good(late, at=now)

    assert hindering.of_each([late], now=now) == {}


def test_the_reader_is_told_in_japanese(late: Volume, now: datetime) -> None:
    ended(late, "left_now", "left_now", now=now)

    with translation.override("ja"):
        found = why(late, now)

    assert found.words.startswith("2回とも：")
    assert "今すぐ複製" in found.to_do


def test_pages_and_rest_say_it_wherever_the_alarm_stands(
    desk: Browser, pc: FakePc, late: Volume, sato: User, now: datetime
) -> None:
    ended(late, "left_now", "left_now", now=now)
    pages = ("/volumes/?state=overdue", f"/volumes/{late.pk}/", f"/pcs/{pc.client.pk}/volumes/", "/replicas/")

    shown = [desk.get(path).content.decode() for path in pages]
    (told,) = desk.get("/api/v1/late-replicas/").json()["results"]
    desk.force_login(sato)
    mine = desk.get("/my/").content.decode()

    assert all("let one shutdown copy to its end" in page for page in shown)
    assert "Each of 2 times" in mine
    assert (told["id"], told["code"], told["last_good_at"]) == (str(late.pk), "left_now", None)
    assert told["to_do"].startswith("Ask the PC's user")


def test_rest_leaves_out_who_is_in_time_and_other_pcs(desk: Browser, late: Volume, now: datetime) -> None:
    others = desk.get("/api/v1/late-replicas/?client__name=pc-sales-77").json()["count"]
    good(late, at=now)

    assert others == 0
    assert desk.get("/api/v1/late-replicas/").json()["count"] == 0


def test_many_are_explained_in_as_many_questions_as_one(
    pc: FakePc, late: Volume, being: Callable[..., User], now: datetime
) -> None:
    volumes = [late]
    with CaptureQueriesContext(
        connection,
    ) as one:
        hindering.of_each(volumes, now=now)
    for number in range(6):
        volumes.append(made_late(make_volume(pc, being(f"person{number}"), now=now), now=now))
        ended(volumes[-1], "left_now", now=now)

    with CaptureQueriesContext(connection) as many:
        found = hindering.of_each(volumes, now=now)

    assert len(found) == 7
    assert len(many) == len(one)
