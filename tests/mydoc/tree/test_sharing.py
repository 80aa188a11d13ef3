"""Who else may read or change a folder: wanted, applied, pending; and what a guest sees of it."""

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client as Browser
from django.urls import reverse

from clients.errors import Refusal
from clients.models import Event
from clients.people.rolenames import Role
from mydoc.models import FolderGrant, Look, Volume, person_id
from mydoc.tree import sharing
from mydoc.tree.sharing import Progress
from mydoc.volumes import standing
from tests.mydoc.answering import AnsweringPc, beat, tell, whole
from tests.pcs import FakePc
from vrasnode.wire.mydoc import Access, Answer, VolumeState

pytestmark = pytest.mark.django_db
SALES = "営業".encode()
QUOTE = "営業/見積 2026.txt".encode()


@pytest.fixture
def browser(client: Browser, admin: User) -> Browser:
    """A browser in which the administrator is logged in."""
    client.force_login(admin)
    return client


@pytest.fixture
def guest(kato: User) -> Browser:
    """A browser in which Kato is logged in."""
    browser = Browser()
    browser.force_login(kato)
    return browser


@pytest.fixture
def shared(volume: Volume, kato: User, now: datetime) -> FolderGrant:
    """Sato's sales folder, which Kato may read."""
    return sharing.share(
        volume, SALES, person=kato, access=Access.READ, revision=0, reason="holiday cover", now=now
    )


@pytest.fixture
def applied(shared: FolderGrant, answering: AnsweringPc, kato: User, now: datetime) -> FolderGrant:
    """The same, set by the PC and read back."""
    answering.readers = {person_id(kato): [SALES]}
    tell(shared.volume, grants_revision=1, now=now)
    return shared


def stands(volume: Volume, *, now: datetime) -> sharing.Applied:
    from clients import presence

    row = standing.rows().get(pk=volume.pk)
    return sharing.applied(standing.of(row, presence.of([row.client], now=now)[row.client_id]))


def test_a_folder_is_shared_on_its_page_with_a_reason(browser: Browser, volume: Volume, kato: User) -> None:
    page = reverse("mydoc:share", args=[volume.pk, SALES])
    wish = {"person": "kato", "access": "write", "reason": "holiday cover", "revision": 0}

    html = browser.post(page, wish, follow=True).content.decode()

    grant = FolderGrant.objects.get()
    assert (bytes(grant.path), grant.person, grant.access) == (SALES, kato, "write")
    assert "It is done once the PC has applied it." in html
    assert "holiday cover" in html


def test_what_was_shared_is_in_the_audit_log_and_on_the_owners_page(
    shared: FolderGrant, sato: User, client: Browser
) -> None:
    event = Event.objects.get(verb="volume.shared")
    assert event.after == {"path": "営業", "person": "kato", "access": "read"}
    assert event.reason == "holiday cover"

    client.force_login(sato)

    html = client.get("/my/").content.decode()
    assert "shared a folder" in html
    assert "→ kato: holiday cover" in html


def test_the_pc_is_told_by_a_number_that_counts_up(shared: FolderGrant, now: datetime) -> None:
    volume = shared.volume
    assert volume.grants_revision == 1

    sharing.withdraw(shared, revision=1, reason="back again", now=now)

    assert volume.grants_revision == 2
    assert not FolderGrant.objects.exists()
    assert Event.objects.filter(verb="volume.unshared", reason="back again").exists()


def test_of_two_who_save_at_once_the_second_is_told(shared: FolderGrant, admin: User, now: datetime) -> None:
    with pytest.raises(Refusal, match="sharing_changed"):
        sharing.share(shared.volume, b"x", person=admin, access=Access.READ, revision=0, reason="", now=now)

    assert FolderGrant.objects.count() == 1
    assert Look.objects.count() == 1


def test_a_person_has_one_grant_on_a_folder_and_the_later_one_counts(
    shared: FolderGrant, kato: User, now: datetime
) -> None:
    sharing.share(shared.volume, SALES, person=kato, access=Access.WRITE, revision=1, reason="more", now=now)

    assert [(row.access, row.reason) for row in FolderGrant.objects.all()] == [("write", "more")]


def test_pending_is_never_done(shared: FolderGrant, pc: FakePc, now: datetime) -> None:
    volume = shared.volume
    assert stands(volume, now=now).progress is Progress.PENDING

    tell(volume, grants_failed="kato: no such folder", now=now)
    failed = stands(volume, now=now)
    tell(volume, grants_revision=1, now=now)
    done = stands(volume, now=now)
    tell(volume, state=VolumeState.LOCKED, now=now)
    locked = stands(volume, now=now)
    off = stands(volume, now=now + timedelta(hours=1))

    assert (failed.progress, failed.words) == (Progress.FAILED, "kato: no such folder")
    assert done.progress is Progress.APPLIED
    assert (locked.progress, off.progress) == (Progress.PENDING, Progress.PENDING)
    assert "locked" in str(locked.words)
    assert "The PC is off" in str(off.words)


@pytest.mark.parametrize("path", [b"..", b"a//b", b"/a"])
def test_only_what_can_be_a_folder_is_shared(volume: Volume, kato: User, now: datetime, path: bytes) -> None:
    with pytest.raises(Refusal, match="bad_path"):
        sharing.share(volume, path, person=kato, access=Access.READ, revision=0, reason="", now=now)


def test_the_owner_needs_no_grant(volume: Volume, sato: User, now: datetime) -> None:
    with pytest.raises(Refusal, match="is_owner"):
        sharing.share(volume, SALES, person=sato, access=Access.READ, revision=0, reason="", now=now)


def test_so_much_is_shared_and_no_more(
    volume: Volume, kato: User, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sharing, "MAX_GRANTS", 1)
    sharing.share(volume, b"a", person=kato, access=Access.READ, revision=0, reason="", now=now)

    with pytest.raises(Refusal, match="too_many_grants"):
        sharing.share(volume, b"b", person=kato, access=Access.READ, revision=1, reason="", now=now)

    assert Volume.objects.get().grants_revision == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("nobody", "Nobody of this name is known here"),
        ("o", "Several people fit"),
        ("sato", "Nobody of this name is known here"),
    ],
)
def test_people_are_found_by_a_part_of_their_name_when_it_is_theirs_alone(
    browser: Browser, volume: Volume, being: Callable[..., User], words: str, said: str
) -> None:
    for name in ("kato", "ito"):
        being(name)
    page = reverse("mydoc:share", args=[volume.pk, SALES])
    wish = {"person": words, "access": "read", "reason": "x", "revision": 0}

    assert said in browser.post(page, wish).content.decode()
    browser.post(page, wish | {"person": "KAT"})

    assert FolderGrant.objects.get().person.username == "kato"


def test_a_sharing_is_ended_with_a_reason(browser: Browser, shared: FolderGrant) -> None:
    page = reverse("mydoc:withdraw", args=[shared.volume.pk, shared.pk])
    assert "What they downloaded stays with them" in browser.get(page).content.decode()

    browser.post(page, {"reason": "back again", "revision": 1})

    assert not FolderGrant.objects.exists()


def test_what_comes_from_a_folder_further_up_is_shown_as_such(browser: Browser, shared: FolderGrant) -> None:
    html = browser.get(reverse("mydoc:share", args=[shared.volume.pk, SALES + b"/2026"])).content.decode()

    assert "From a folder further up" in html


def test_a_guest_opens_what_is_shared_and_downloads_from_it(
    guest: Browser, applied: FolderGrant, answering: AnsweringPc, kato: User
) -> None:
    mine = guest.get("/my/").content.decode()
    folder = reverse("mydoc:shared", args=[applied.pk, SALES])
    assert folder in mine

    html = guest.get(folder).content.decode()
    saved = guest.get(reverse("mydoc:shared-file", args=[applied.pk, QUOTE]))

    assert "見積 2026.txt" in html
    assert whole(saved) == "見積".encode() * 3
    assert {question.person for question in answering.asked} == {person_id(kato)}
    looks = Look.objects.exclude(act="share").order_by("pk")
    assert [(look.by, look.act) for look in looks] == [("kato", "list"), ("kato", "download")]


def test_a_third_person_gets_nothing(
    applied: FolderGrant, answering: AnsweringPc, being: Callable[..., User]
) -> None:
    third = Browser()
    third.force_login(being("mori", Role.EMPLOYEE))

    assert third.get(reverse("mydoc:shared", args=[applied.pk, SALES])).status_code == 403
    assert third.get(reverse("mydoc:shared-file", args=[applied.pk, QUOTE])).status_code == 403
    assert answering.asked == []


@pytest.mark.parametrize("path", [b"", b"notes.txt", "営業2".encode()])
def test_a_guest_gets_no_further_than_what_is_shared(
    guest: Browser, applied: FolderGrant, answering: AnsweringPc, path: bytes
) -> None:
    assert guest.get(reverse("mydoc:shared", args=[applied.pk, path])).status_code == 404
    assert guest.get(reverse("mydoc:shared-file", args=[applied.pk, path])).status_code == 404
    assert answering.asked == []


def test_the_kernel_that_holds_the_data_has_the_last_word(
    guest: Browser, applied: FolderGrant, answering: AnsweringPc
) -> None:
    answering.readers = {}

    answer = guest.get(reverse("mydoc:shared", args=[applied.pk, SALES]))

    assert answer.status_code == 403
    assert "this was not shared with you" in answer.content.decode()
    assert not Look.objects.filter(act="list").exists()


def test_what_is_shared_cannot_be_opened_while_its_owner_is_away(
    guest: Browser, applied: FolderGrant, answering: AnsweringPc, now: datetime
) -> None:
    beat(answering.pc, now=now - timedelta(hours=2))

    mine = guest.get("/my/").content.decode()
    answer = guest.get(reverse("mydoc:shared", args=[applied.pk, SALES]))

    assert "It can be opened while its owner is logged on." in mine
    assert reverse("mydoc:shared", args=[applied.pk, SALES]) not in mine
    assert "is off, or not on the network" in answer.content.decode()


def test_words_of_the_pc_about_a_sharing_do_no_harm(
    shared: FolderGrant, browser: Browser, now: datetime
) -> None:
    tell(shared.volume, grants_failed="<b>\u202e" + "x" * 5000, now=now)

    html = browser.get(reverse("mydoc:share", args=[shared.volume.pk, SALES])).content.decode()

    assert "<b>" not in html
    assert "\\u202ex" in html
    assert "x" * 400 not in html


def test_an_answer_code_is_no_permission(
    guest: Browser, applied: FolderGrant, answering: AnsweringPc
) -> None:
    answering.answer = lambda _question: Answer(code="not_permitted", words="", data=b"secret", size_bytes=6)

    answer = guest.get(reverse("mydoc:shared-file", args=[applied.pk, QUOTE]))

    assert answer.status_code == 302
