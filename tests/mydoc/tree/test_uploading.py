"""Who may change a folder writes into it in the portal; the owner's PC decides, and the owner sees it."""

import os
from datetime import datetime

import pytest
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client as Browser
from django.urls import reverse

from mydoc import bytepaths
from mydoc.models import FolderGrant, Look, Volume, person_id
from mydoc.tree import uploading, writing
from tests.mydoc.answering import AnsweringPc

pytestmark = pytest.mark.django_db
SALES, QUOTE, NEW = "営業".encode(), "営業/見積 2026.txt".encode(), "営業/新規.txt".encode()


@pytest.fixture
def guest(client: Browser, kato: User) -> Browser:
    client.force_login(kato)
    return client


def granted(volume: Volume, kato: User, access: str, answering: AnsweringPc) -> FolderGrant:
    """Kato may, and the PC has applied it."""
    answering.readers[person_id(kato)] = [SALES]
    if access == "write":
        answering.writers[person_id(kato)] = [SALES]
    return volume.grants.create(path=SALES, person=kato, access=access, reason="team")


def put(guest: Browser, grant: FolderGrant, name: str, content: bytes, **more: str) -> str:
    form = {"file": SimpleUploadedFile(name, content), **more}
    address = reverse("mydoc:shared-put", args=[grant.pk, SALES])
    return guest.post(address, form, follow=True).content.decode()


def test_a_file_is_written_by_the_form_and_the_owner_sees_who_did(
    guest: Browser, volume: Volume, kato: User, answering: AnsweringPc
) -> None:
    grant, content = granted(volume, kato, "write", answering), os.urandom(3 * writing.PIECE_BYTES + 5)

    html = put(guest, grant, "新規.txt", content)

    assert "It is saved" in html
    assert answering.files[NEW] == content
    assert {question.person for question in answering.asked if question.upload} == {person_id(kato)}
    look = Look.objects.get(act="upload")
    assert (look.by, bytes(look.path)) == ("kato", NEW)
    owner = Browser()
    owner.force_login(volume.owner)
    assert "wrote a file" in owner.get("/my/").content.decode()


def test_no_piece_of_it_lies_in_the_quick_store_in_clear(
    guest: Browser, volume: Volume, kato: User, answering: AnsweringPc
) -> None:
    put(guest, granted(volume, kato, "write", answering), "新規.txt", b"a secret that nobody else reads")

    assert not any(b"nobody else reads" in question.data for question in answering.asked)


def test_what_is_there_is_replaced_only_when_that_is_asked_for(
    guest: Browser, volume: Volume, kato: User, answering: AnsweringPc
) -> None:
    grant, before = granted(volume, kato, "write", answering), answering.files[QUOTE]

    assert "name_taken" in put(guest, grant, "見積 2026.txt", b"other")
    assert answering.files[QUOTE] == before
    assert answering.begun == {}
    put(guest, grant, "見積 2026.txt", b"other", replace="1")

    assert answering.files[QUOTE] == b"other"


def test_who_may_only_read_is_refused_with_words_on_the_page_and_by_rest(
    guest: Browser, volume: Volume, kato: User, answering: AnsweringPc
) -> None:
    grant = granted(volume, kato, "read", answering)

    assert "Only reading was shared with you" in put(guest, grant, "新規.txt", b"x")
    address = f"/api/v1/shared/{grant.pk}/files/?path={bytepaths.word(NEW)}"
    refused = guest.put(address, b"x", content_type="application/octet-stream")

    assert (refused.status_code, refused.json()["code"]) == (403, "only_reading")
    assert NEW not in answering.files
    assert "Save it here" not in guest.get(reverse("mydoc:shared", args=[grant.pk, SALES])).content.decode()


def test_the_pc_decides_whatever_the_server_believes(
    guest: Browser, volume: Volume, kato: User, answering: AnsweringPc
) -> None:
    grant = granted(volume, kato, "write", answering)
    answering.writers.clear()

    assert "not_writable" in put(guest, grant, "新規.txt", b"x")
    assert not Look.objects.filter(act="upload").exists()


def test_a_program_lists_reads_and_writes_by_rest(
    guest: Browser, volume: Volume, kato: User, answering: AnsweringPc, now: datetime
) -> None:
    grant = granted(volume, kato, "write", answering)
    rest, place = f"/api/v1/shared/{grant.pk}", bytepaths.word(NEW)

    written = guest.put(f"{rest}/files/?path={place}", b"by rest", content_type="application/octet-stream")
    listed = guest.get(f"{rest}/folders/", {"path": bytepaths.word(SALES)}).json()
    read = guest.get(f"{rest}/files/", {"path": place})

    assert written.json()["size_bytes"] == 7
    assert place in [one["path"] for one in listed["entries"]]
    assert b"".join(read.streaming_content) == b"by rest"  # type: ignore[arg-type]
    assert [one["id"] for one in guest.get("/api/v1/shared/").json()["results"]] == [grant.pk]


def test_nobody_writes_outside_what_was_granted_nor_by_anothers_grant(
    guest: Browser, volume: Volume, kato: User, admin: User, answering: AnsweringPc
) -> None:
    grant = granted(volume, kato, "write", answering)
    outside = f"/api/v1/shared/{grant.pk}/files/?path={bytepaths.word(b'notes.txt')}"
    stranger = Browser()
    stranger.force_login(admin)

    assert guest.put(outside, b"x", content_type="application/octet-stream").status_code == 404
    assert stranger.put(outside, b"x", content_type="application/octet-stream").status_code == 404
    address = reverse("mydoc:shared-put", args=[grant.pk, SALES])
    assert stranger.post(address, {"file": SimpleUploadedFile("x", b"x")}).status_code == 403


def test_a_form_that_is_too_large_brings_nothing_and_says_so(
    guest: Browser, volume: Volume, kato: User, answering: AnsweringPc, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mydoc.tree.putting.PAGE_BYTES", 100)

    html = put(guest, granted(volume, kato, "write", answering), "新規.txt", b"x" * 1000)

    assert "Choose a file, of at most 64 MB" in html
    assert NEW not in answering.files
    assert uploading.PAGE_BYTES == 64 << 20
