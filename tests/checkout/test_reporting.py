"""The dossier of a lost PC: what it says, what it calls unknown, and who may read it."""

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client as Browser
from django.test.utils import CaptureQueriesContext
from django.utils import translation
from pytest_django import DjangoAssertNumQueries

from checkout import printing, reporting, tabling
from checkout.reporting import Dossier
from clients.models import Client, Event
from clients.people.rolenames import Role
from mydoc.losses import losing
from mydoc.models import Look, Loss, Opening, Volume
from mydoc.replicas import lastreplica
from mydoc.replicas.lastreplica import KeptFile, LastReplica
from tests.mydoc.answering import tell
from tests.papers import text_of
from tests.pcs import FakePc
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

    def newest(self, volumes: Sequence[Volume], *, before: datetime) -> dict[UUID, LastReplica]:
        size_bytes = sum(file.size_bytes for file in self.kept)
        return {volume.pk: LastReplica(self.at, len(self.kept), size_bytes) for volume in volumes}

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
    assert reporting.when(now - 2 * HOUR) in said(found)["Unknown"]
    assert [file.path for file in found.volumes[0].files()] == [file.path for file in shelf.kept]


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
    logons, looks = one.tables

    assert reporting.when(now - 3 * DAY) in {row[0] for row in logons.rows}
    assert reporting.when(now - 40 * DAY) not in {row[0] for row in logons.rows}
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
