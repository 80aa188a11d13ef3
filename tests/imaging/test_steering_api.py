"""A distribution in the hands of programs: every act of its page by REST (rows T4, T6, T7, T8)."""

import csv
import io
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client as Browser
from django.utils import timezone

from clients.models import Client, Group
from imaging import waving
from imaging.models import Delivery, Distribution, MasterImage
from tests.images import publish
from tests.imaging.test_distributing import say
from tests.pcs import FakePc
from vrasnode.wire.imaging import DeliveryStage

ROOT = "/api/v1"
TERMS = {
    "pilots": ["pc-0", "pc-1"],
    "approval": True,
    "halt_percent": 60,
    "fetch_hours": "daily 0-24",
    "rate_bytes_s": 2_000_000,
    "wave_size": 2,
}


class Program:
    """Calls the server as one administrator."""

    def __init__(self, name: str) -> None:
        self._browser = Browser()
        self._browser.force_login(User.objects.create_superuser(name, password="correct horse battery"))

    def get(self, path: str, **how: Any) -> Any:
        answer = self._browser.get(ROOT + path, **how)
        assert answer.status_code == 200, answer.content
        return answer

    def post(self, path: str, wish: dict[str, Any] | None = None, *, status: int = 200) -> Any:
        answer = self._browser.post(ROOT + path, wish or {}, content_type="application/json")
        assert answer.status_code == status, answer.content
        return answer.json()


@pytest.fixture
def program(installation: object) -> Program:
    return Program("mori")


@pytest.fixture
def office(enrol: Callable[..., FakePc], sales: Group) -> list[Client]:
    return [enrol(f"pc-{number}", group=sales).client for number in range(5)]


@pytest.fixture
def number(program: Program, office: list[Client], desktop: MasterImage, sales: Group, now: datetime) -> int:
    """Of a distribution on terms, with pilots."""
    publish(desktop, "a", now=now)
    made = program.post("/distributions/", {"group": "sales", "image": desktop.name, **TERMS}, status=202)
    assert {name: made[name] for name in TERMS if name != "pilots"} == {
        name: value for name, value in TERMS.items() if name != "pilots"
    }
    return int(made["id"])


def test_pilots_pause_approval_by_another_and_the_way_back(
    program: Program, office: list[Client], number: int, now: datetime
) -> None:
    assert program.post(f"/distributions/{number}/pause/", {"reason": "a meeting"})["state"] == "paused"
    assert program.post(f"/distributions/{number}/resume/")["state"] == "running"
    for client in office[:2]:
        say(client, DeliveryStage.BOOTED, now=now)
    assert program.get(f"/distributions/{number}/").json()["state"] == "piloted"

    refused = program.post(f"/distributions/{number}/approve/", status=403)
    approved = Program("sato").post(f"/distributions/{number}/approve/", {"reason": "seen"})

    assert refused["code"] == "same_person"
    assert approved["state"] == "running"
    gone_back = program.post(f"/distributions/{number}/rollback-ring/", {"reason": "no printing"}, status=409)
    assert gone_back["code"] == "nothing_before"


def test_it_halts_at_the_threshold_and_only_the_failed_are_sent_it_again(
    program: Program, office: list[Client], number: int, now: datetime
) -> None:
    for client in office[:2]:
        say(client, DeliveryStage.FAILED, now=now, code="disk_full")
    halted = program.get(f"/distributions/{number}/").json()

    program.post(f"/distributions/{number}/resume/", {"reason": "disks were cleared"})
    program.post(f"/distributions/{number}/retry/")

    assert (halted["state"], halted["stop_code"]) == ("halted", "too_many_failures")
    states = dict(Delivery.objects.values_list("client__name", "state"))
    assert states == {f"pc-{n}": "waiting" for n in range(5)}
    assert Delivery.objects.get(client=office[0]).serial > Delivery.objects.get(client=office[4]).serial


def test_one_pc_is_paused_goes_on_is_left_out_and_sent_it_again(
    program: Program, office: list[Client], number: int, now: datetime
) -> None:
    def act(client: Client, name: str) -> str:
        row = Delivery.objects.get(client=client)
        return str(program.post(f"/deliveries/{row.pk}/{name}/")["state"])

    act(office[0], "pause")
    stuck = program.get(f"/deliveries/?distribution={number}&stuck=true").json()["results"]
    act(office[0], "resume")
    say(office[1], DeliveryStage.FAILED, now=now, code="disk_full")

    assert [row["client"] for row in stuck] == ["pc-0"]
    assert act(office[1], "retry") == "waiting"
    assert act(office[0], "cancel") == "superseded"


def test_the_speed_the_wave_and_who_is_stuck_are_told_and_drawn(
    program: Program, office: list[Client], number: int, now: datetime, admin_client: Any
) -> None:
    sent = Distribution.objects.get(pk=number)
    waving.take_sample(sent, now=now)
    say(office[0], DeliveryStage.FETCHING, now=now, done_bytes=400, total_bytes=1000)
    say(office[1], DeliveryStage.FAILED, now=now, code="disk_full")
    waving.take_sample(sent, now=now + timedelta(seconds=20))

    told = program.get(f"/distributions/{number}/progress/").json()
    page = admin_client.get(f"/distributions/{number}/").content.decode()

    assert (told["total"], told["done_bytes"], len(told["samples"])) == (5, 400, 2)
    assert [(one["code"], one["pcs"], bool(one["remedy"])) for one in told["stuck"]] == [
        ("disk_full", 1, True)
    ]
    assert "<polygon" in page


@pytest.mark.parametrize(("language", "state"), [("en", "failed"), ("ja", "失敗")])
def test_all_pcs_are_a_table_that_no_spreadsheet_runs(
    program: Program, office: list[Client], number: int, language: str, state: str
) -> None:
    now = timezone.now()
    say(office[1], DeliveryStage.FAILED, now=now, code="disk_full")
    Client.objects.filter(pk=office[4].pk).update(name="=1+1")

    answer = program.get(f"/distributions/{number}/pcs.csv/", headers={"accept-language": language})

    assert "attachment" in answer["Content-Disposition"]
    head, *rows = csv.reader(io.StringIO(answer.content.decode("utf-8-sig")))
    cells = {row[0]: row for row in rows}
    assert len(cells) == 5
    assert all(len(row) == len(head) for row in rows)
    assert "'=1+1" in cells
    assert cells["pc-1"][2] == state
    assert cells["pc-1"][7] == "disk_full"
    assert cells["pc-1"][9]


def test_what_a_ring_reached_goes_back_and_the_rest_never_gets_it(
    program: Program, office: list[Client], desktop: MasterImage, now: datetime
) -> None:
    publish(desktop, "a", now=now)
    program.post("/distributions/", {"group": "sales", "image": desktop.name}, status=202)
    for client in office:
        say(client, DeliveryStage.BOOTED, now=now)
    publish(desktop, "b", now=now)
    wish = {"group": "sales", "image": desktop.name, "pilots": ["pc-0"]}
    newer = program.post("/distributions/", wish, status=202)["id"]
    say(office[0], DeliveryStage.BOOTED, now=now)

    made = program.post(f"/distributions/{newer}/rollback-ring/", {"reason": "no printing"}, status=202)

    assert [(one["kind"], one["version"]) for one in made] == [("rollback", f"{desktop.name}@1")]
    assert program.get(f"/distributions/{newer}/").json()["state"] == "cancelled"
    back = Delivery.objects.filter(distribution=made[0]["id"]).values_list("client__name", flat=True)
    assert list(back) == ["pc-0"]


def test_the_same_acts_on_its_page(
    program: Program, office: list[Client], number: int, admin_client: Any
) -> None:
    def act(name: str) -> str:
        admin_client.post(f"/distributions/{number}/act/{name}/", {"reason": "a meeting"})
        return str(Distribution.objects.get(pk=number).state)

    def act_on_one(name: str) -> str:
        row = Delivery.objects.get(client=office[0])
        admin_client.post(f"/deliveries/{row.pk}/act/{name}/", {"reason": "a meeting"})
        row.refresh_from_db()
        return str(row.state)

    assert [act("pause"), act("resume")] == ["paused", "running"]
    assert act_on_one("cancel") == "superseded"
