"""The dossier of a lost PC: what it says, what it calls unknown, and who may read it."""

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client as Browser
from django.test.utils import CaptureQueriesContext
from django.utils import translation
from pytest_django import DjangoAssertNumQueries

from checkout import lending, printing, reporting, tabling
from checkout.facts import when
from checkout.models import CheckoutRequest, Lease
from checkout.reporting import Dossier
from clients.models import Client, Event
from clients.people.rolenames import Role
from mydoc.losses import losing
from mydoc.models import Look, Loss, Opening, Volume
from mydoc.replicas import lastreplica
from mydoc.replicas.lastreplica import KeptFile, LastReplica
from tests.checkout import asking
from tests.mydoc.answering import tell
from tests.papers import text_of
from tests.pcs import FakePc
from vrasnode.wire.checkout import Keeper, LeaseState
from vrasnode.wire.mydoc import KillReport, LockProof, VolumeState

pytestmark = pytest.mark.django_db
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
NO_REPLICA = "no replica: everything on the PC is unknown"


@dataclass
class Shelf:
    """Who keeps replicas: what a test puts there."""

    at: datetime
    kept: list[KeptFile] = field(default_factory=list)
    given: int = 0
    unreadable: int = 0

    def newest(self, volumes: Sequence[Volume], *, before: datetime) -> dict[UUID, LastReplica]:
        size_bytes = sum(file.size_bytes for file in self.kept)
        last = LastReplica(self.at, len(self.kept), size_bytes, self.unreadable)
        return {volume.pk: last for volume in volumes}

    def files(self, volume: Volume, *, before: datetime) -> Iterator[KeptFile]:
        for file in self.kept:
            self.given += 1
            yield file


@pytest.fixture
def shelf(now: datetime) -> Iterator[Shelf]:
    """A replica of two hours ago, with two files, one of them meant to deceive a spreadsheet."""
    kept = [
        KeptFile(b"=cmd|calc", 1, now - DAY, "a" * 64),
        KeptFile("営業/見積 2026.xlsx".encode(), 2048, now - DAY, "b" * 64),
    ]
    shelf, before = Shelf(now - 2 * HOUR, kept), list(lastreplica._kept_by)
    lastreplica.register(shelf)
    yield shelf
    lastreplica._kept_by[:] = before


def said(found: Dossier) -> dict[str, str]:
    """Every line of a report on one volume, by its label."""
    (one,) = found.volumes
    facts = [fact for section in found.sections for fact in section.facts]
    return {fact.label: fact.value for fact in [*facts, *one.facts]}


def cells(data: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(data.decode("utf-8-sig"))))


def test_without_a_replica_everything_is_unknown_and_that_is_said(loss: Loss, now: datetime) -> None:
    found = reporting.dossier(loss, now=now)

    lines = said(found)
    assert lines["Last replica"] == NO_REPLICA
    assert lines["Unknown"].startswith("all that was written from")
    grave = {fact.label for fact in found.volumes[0].facts if fact.grave}
    assert {"Last replica", "Unknown"} <= grave


def test_what_was_open_at_the_last_contact_is_said_to_have_been_readable(loss: Loss, now: datetime) -> None:
    lines = said(reporting.dossier(loss, now=now))

    assert lines["State at the last contact"].startswith("unlocked")
    assert "there is no proof here" in lines["Readable then"]
    assert lines["Proof of the last lock"] == "none"


def test_what_was_locked_has_its_proof(pc: FakePc, volume: Volume, admin: User, now: datetime) -> None:
    proof = LockProof(
        reason="left_the_lan", seconds=1.4, read_failed=True, daemon_gone=True, guest_answered=True
    )
    tell(volume, state=VolumeState.LOCKED, proof=proof, now=now)
    loss = losing.declare(
        Client.objects.get(pk=pc.client.pk), by=admin, reason="stolen", confirm="pc-sales-01", now=now
    )

    lines = said(reporting.dossier(loss, now=now))

    assert lines["State at the last contact"].startswith("locked")
    assert "Readable then" not in lines
    assert "a read failed afterwards; its daemon was gone; 1.4 s" in lines["Proof of the last lock"]


def test_what_the_pc_tells_later_does_not_change_what_stood_there_then(
    loss: Loss, volume: Volume, now: datetime
) -> None:
    tell(volume, state=VolumeState.LOCKED, now=now + HOUR)

    assert said(reporting.dossier(loss, now=now))["State at the last contact"].startswith("unlocked")


def test_the_order_and_the_keys_are_told_as_far_as_they_came(
    pc: FakePc, loss: Loss, volume: Volume, now: datetime
) -> None:
    Volume.objects.update(server_half=b"wrapped")
    before = said(reporting.dossier(loss, now=now))
    assert before["Obeyed by the PC"] == "not yet, perhaps never"
    assert before["Server's half of the key"].startswith("kept")

    losing.acknowledge(pc.client, KillReport(serial=loss.pk, volumes=[str(volume.pk)], unread=1), now=now)
    losing.delete_halves(now=now + 5 * HOUR)

    after = said(reporting.dossier(Loss.objects.get(), now=now))
    assert "1 volumes, 1 seen to be unreadable" in after["Obeyed by the PC"]
    assert after["Server's half of the key"].startswith("deleted")


def test_with_a_replica_the_files_are_known_and_since_when_nothing_is(
    loss: Loss, shelf: Shelf, now: datetime
) -> None:
    found = reporting.dossier(loss, now=now)

    assert "2 files" in said(found)["Last replica"]
    assert when(now - 2 * HOUR) in said(found)["Unknown"]
    assert [file.path for file in found.volumes[0].files()] == [file.path for file in shelf.kept]


def test_what_could_not_be_read_when_it_was_copied_is_said(loss: Loss, shelf: Shelf, now: datetime) -> None:
    assert "Could not be read when it was copied" not in said(reporting.dossier(loss, now=now))

    shelf.unreadable = 3

    lines = said(reporting.dossier(loss, now=now))
    assert lines["Could not be read when it was copied"].startswith("3 files or folders")


def lose(lent: CheckoutRequest, *, by: User, now: datetime) -> Loss:
    client = Client.objects.get(pk=lent.client_id)
    return losing.declare(client, by=by, reason="stolen", confirm=client.name, now=now)


def key_of(lent: CheckoutRequest) -> Lease:
    return Lease.objects.get(request=lent)


def test_the_usage_key_that_lay_on_it_is_told_with_what_opened_it_and_who_approved(
    client: Browser, pc: FakePc, lent: CheckoutRequest, admin: User, now: datetime
) -> None:
    asking.tell(pc, str(key_of(lent).pk), LeaseState.READY, keeper=Keeper.TPM)
    loss = lose(lent, by=admin, now=now)

    found = reporting.dossier(loss, now=now)

    lines = said(found)
    period = f"#{lent.pk}, {when(lent.starts)} – {when(lent.ends)}"
    assert lines["Usage key then"] == f"{period}: on the PC, with a PIN"
    assert "kept by the PC's TPM" in lines["What opens it"]
    assert lines["Readable by it"].startswith(f"until {when(lent.ends)} by whoever has the PC")
    assert lines["Folders in it"] == "Everything"
    assert lines["Lent to, for what"] == "葵 佐藤: 客先でのデモ · 大阪支店"
    assert lines["Approved by"] == f"mori {when(now)}"
    assert "Readable by it" in {fact.label for fact in found.volumes[0].facts if fact.grave}
    (row,) = found.volumes[0].tables[-1].rows
    assert (row[0], row[-1]) == (f"#{lent.pk}", "lent then")
    table = cells(b"".join(tabling.pieces(found, language="en")))
    assert [row[2] for row in table if row[1] == "Usage key then"] == [lines["Usage key then"]]
    client.force_login(admin, backend="django.contrib.auth.backends.ModelBackend")
    client.cookies["django_language"] = "ja"
    html = client.get(f"/losses/{loss.pk}/dossier/").content.decode()
    assert "当時の利用キー" in html and "PINを設定済み" in html


@pytest.mark.parametrize(
    ("state", "keeper", "words", "readable"),
    [
        (None, Keeper.NOTHING, "the PC never said whether it has it", True),
        (LeaseState.OFFERED, Keeper.NOTHING, "without a PIN: it opened nothing", False),
        (LeaseState.REFUSED, Keeper.NOTHING, "the PC did not take it", False),
        (LeaseState.OPEN, Keeper.PIN, "in use when the PC told last", True),
        (LeaseState.ENDED, Keeper.TPM, "none: nothing but a logon", False),
    ],
)
def test_how_far_a_usage_key_had_come_decides_whether_it_could_open_anything(  # noqa: PLR0917  (by name)
    pc: FakePc,
    lent: CheckoutRequest,
    admin: User,
    now: datetime,
    state: LeaseState | None,
    keeper: Keeper,
    words: str,
    readable: bool,
) -> None:
    if state is not None:
        asking.tell(pc, str(key_of(lent).pk), state, keeper=keeper)

    lines = said(reporting.dossier(lose(lent, by=admin, now=now), now=now))

    assert words in lines["Usage key then"]
    assert ("Readable by it" in lines) is readable
    assert ("try without limit" in lines.get("What opens it", "")) is (keeper is Keeper.PIN)


def test_a_key_that_was_called_back_counts_until_the_pc_says_that_it_is_gone(
    pc: FakePc, lent: CheckoutRequest, admin: User, now: datetime
) -> None:
    asking.tell(pc, str(key_of(lent).pk), LeaseState.READY, keeper=Keeper.TPM)
    lending.call_back(lent, by=admin, reason="the visit is off", now=now)

    lines = said(reporting.dossier(lose(lent, by=admin, now=now + HOUR), now=now + HOUR))

    assert "which the PC never confirmed" in lines["Usage key then"]
    assert "Readable by it" in lines


def test_what_the_pc_tells_of_a_key_once_it_is_found_changes_nothing(
    pc: FakePc, lent: CheckoutRequest, admin: User, now: datetime
) -> None:
    asking.tell(pc, str(key_of(lent).pk), LeaseState.READY, keeper=Keeper.TPM)
    loss = lose(lent, by=admin, now=now)
    before = said(reporting.dossier(loss, now=now))

    losing.find_again(Client.objects.get(pk=lent.client_id), reason="under the seat", now=now + HOUR)
    assert asking.tell(pc, str(key_of(lent).pk), LeaseState.ENDED, slot_gone=True).status_code == 204

    after = said(reporting.dossier(Loss.objects.get(), now=now + HOUR))
    assert after["Usage key then"] == before["Usage key then"]


def test_what_was_open_by_a_usage_key_is_not_said_to_lock_off_the_network(
    volume: Volume, pc: FakePc, admin: User, now: datetime
) -> None:
    tell(volume, state=VolumeState.OPEN, session="lease 1", now=now)
    client = Client.objects.get(pk=pc.client.pk)
    loss = losing.declare(client, by=admin, reason="stolen", confirm=client.name, now=now)

    lines = said(reporting.dossier(loss, now=now))

    assert "when the key's time is over" in lines["Readable then"]
    assert "70 seconds" not in lines["Readable then"]


def test_many_keys_are_told_in_as_many_questions_as_one(
    lent: CheckoutRequest, admin: User, django_assert_num_queries: DjangoAssertNumQueries, now: datetime
) -> None:
    lose(lent, by=admin, now=now)
    with CaptureQueriesContext(connection) as for_one:
        reporting.dossier(Loss.objects.get(), now=now)
    approved = CheckoutRequest.objects.get()
    for number in range(5):
        owner = User.objects.create_user(f"guest{number}")
        other = Volume.objects.create(owner=owner, client_id=lent.client_id, limit_bytes=1)
        asked = like(approved, requester=owner, volume=other, state="permitted")  # as keys are made
        like(key_of(lent), request=asked, volume=other, serial=9 + number)

    with django_assert_num_queries(len(for_one)):
        found = reporting.dossier(Loss.objects.get(), now=now)

    assert sum(len(one.tables[-1].rows) for one in found.volumes) == 6


def like(row: Any, **changed: Any) -> Any:
    """Another row, which differs in this alone; of a request, with who decided."""
    fields = [field for field in row._meta.concrete_fields if not field.primary_key]
    kept = {field.attname: getattr(row, field.attname) for field in fields if field.name not in changed}
    (made,) = type(row).objects.bulk_create([type(row)(**kept, **changed)])
    for step in row.steps.all() if isinstance(row, CheckoutRequest) else ():
        like(step, request=made)
    return made


def test_logons_and_looks_of_thirty_days_are_in_it_and_older_ones_are_not(
    loss: Loss, volume: Volume, now: datetime
) -> None:
    for days in (3, 40):
        Look.objects.create(
            volume=volume, at=now - days * DAY, by="mori", act="list", path=b"plans", reason="x"
        )
        Opening.objects.create(
            volume=volume, nonce=f"{days:032d}", asked_at=now - days * DAY, state=Opening.State.CLOSED
        )

    (one,) = reporting.dossier(loss, now=now).volumes
    logons, looks, _lent = one.tables

    assert when(now - 3 * DAY) in {row[0] for row in logons.rows}
    assert when(now - 40 * DAY) not in {row[0] for row in logons.rows}
    assert [(row[1], row[3]) for row in looks.rows] == [("mori", "plans")]


def test_the_table_opens_in_a_spreadsheet_and_no_file_name_is_a_formula(
    client: Browser, admin: User, loss: Loss, shelf: Shelf
) -> None:
    client.force_login(admin, backend="django.contrib.auth.backends.ModelBackend")

    answer = client.get(f"/losses/{loss.pk}/dossier.csv?lang=ja")
    data = b"".join(answer.streaming_content)  # type: ignore[arg-type]

    assert data.startswith(b"\xef\xbb\xbf")
    rows = cells(data)
    assert ["営業/見積 2026.xlsx", "2048"] in [row[2:4] for row in rows]
    assert "'=cmd|calc" in [row[2] for row in rows]
    assert "紛失情報特定レポート" in data.decode()
    assert not any(cell.startswith(("=", "+", "@")) for row in rows for cell in row)


def test_a_long_list_of_files_is_never_held_as_a_whole(loss: Loss, shelf: Shelf, now: datetime) -> None:
    shelf.kept = [KeptFile(f"file {number}".encode(), number, None, "") for number in range(10_000)]
    found = reporting.dossier(loss, now=now)

    pieces = tabling.pieces(found, language="en")
    next(pieces)
    next(pieces)

    assert shelf.given <= tabling.PIECE_ROWS
    assert len(cells(b"\xef\xbb\xbf" + b"".join(pieces))) > 10_000 - tabling.PIECE_ROWS


@pytest.mark.usefixtures("shelf")
@pytest.mark.parametrize("language", ["en", "ja"])
@pytest.mark.parametrize("door", ["/losses/{}/dossier.pdf", "/api/v1/losses/{}/dossier.pdf/"])
def test_on_paper_it_says_the_same_in_either_language(
    client: Browser, admin: User, loss: Loss, language: str, door: str
) -> None:
    client.force_login(admin, backend="django.contrib.auth.backends.ModelBackend")

    answer = client.get(f"{door.format(loss.pk)}?lang={language}")

    text = text_of(answer.content)
    with translation.override(language):
        assert str(translation.gettext("Last contact with the server")) in text
    assert "営業/見積" in text
    assert "there is no proof here" in text or language == "ja"
    assert answer["Content-Type"] == "application/pdf"
    assert Event.objects.get(verb="loss.reported").after == {"as": "pdf"}


def test_on_paper_a_hundred_thousand_files_are_the_first_ones_and_where_all_are(
    client: Browser, admin: User, loss: Loss, shelf: Shelf
) -> None:
    shelf.kept = [KeptFile(f"file {number:06d}".encode(), 1, None, "") for number in range(100_000)]
    client.force_login(admin, backend="django.contrib.auth.backends.ModelBackend")

    text = text_of(client.get(f"/losses/{loss.pk}/dossier.pdf").content)

    assert "200 of 100000 files are in this PDF" in text
    assert f"/losses/{loss.pk}/dossier.csv" in text
    assert "file 000199" in text and "file 000200" not in text
    assert shelf.given <= printing.VOLUME_FILES + 1


def test_it_asks_the_database_as_often_for_many_volumes_as_for_one(
    loss: Loss,
    volume: Volume,
    django_assert_num_queries: DjangoAssertNumQueries,
    now: datetime,
) -> None:
    with CaptureQueriesContext(connection) as for_one:
        reporting.dossier(Loss.objects.get(), now=now)
    for number in range(8):
        owner = User.objects.create_user(f"guest{number}")
        Volume.objects.create(owner=owner, client=volume.client, server_half=b"x", limit_bytes=1)

    with django_assert_num_queries(len(for_one)):
        assert len(reporting.dossier(Loss.objects.get(), now=now).volumes) == 9


@pytest.mark.parametrize("language", ["en", "ja"])
def test_the_page_is_for_administrators_and_auditors_and_says_who_read_it(
    client: Browser, being: Callable[..., User], loss: Loss, language: str
) -> None:
    address = f"/losses/{loss.pk}/dossier/"
    client.force_login(being("ueda", Role.AUDITOR), backend="django.contrib.auth.backends.ModelBackend")
    client.cookies["django_language"] = language

    html = client.get(address).content.decode()

    with translation.override(language):
        assert str(translation.gettext(NO_REPLICA)) in html
    event = Event.objects.get(verb="loss.reported")
    assert (event.actor, event.after) == ("ueda", {"as": "page"})
    for user in (being("help", Role.HELP_DESK), loss.then and User.objects.get(username="sato")):
        client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
        assert client.get(address).status_code == 403
        assert client.get(address.replace("dossier/", "dossier.csv")).status_code == 403
        assert client.get(address.replace("dossier/", "dossier.pdf")).status_code == 403
        assert client.get(f"/api/v1{address.replace('dossier/', 'dossier.pdf/')}").status_code == 403
