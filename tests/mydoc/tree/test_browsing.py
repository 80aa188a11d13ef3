"""The administrators' tree as they meet it: live from the PC, with a reason, and written down."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import unquote

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import User
from django.test import AsyncClient
from django.test import Client as Browser
from django.urls import reverse
from django.utils.html import escape

from clients import auditing, nudge
from clients.errors import Refusal
from clients.models import Event, Group
from clients.people.rolenames import Role
from mydoc import bytepaths
from mydoc.models import Look, Volume
from mydoc.tree import browsing
from mydoc.tree.browsing import Looker
from tests.mydoc.answering import AnsweringPc, beat, make_volume, tell, whole
from tests.pcs import FakePc
from vrasnode.wire.mydoc import MAX_PIECE_BYTES, Answer, Entry, EntryKind, Question, VolumeState

pytestmark = pytest.mark.django_db
SALES = "営業".encode()
QUOTE = "営業/見積 2026.txt".encode()
HOSTILE = [
    b"<script>alert(1)",
    "invoice\u202excod.exe".encode(),
    b"two\nlines",
    b"caf\xe9",
    b"\"quoted\" & 'single'",
    b"x" * 255,
    "絵文字👩\u200d💻.txt".encode(),
    b"..%2f..%2fetc",
    b"-",
]


@pytest.fixture
def browser(client: Browser, admin: User) -> Browser:
    """A browser in which the administrator is logged in."""
    client.force_login(admin)
    return client


def at(name: str, volume: Volume, *more: bytes) -> str:
    return reverse(f"mydoc:{name}", args=[volume.pk, *more])


def give_reason(browser: Browser, volume: Volume, words: str = "audit of the cellar") -> None:
    browser.post(at("reason", volume), {"reason": words})


def looked() -> list[tuple[str, str, bytes, str]]:
    return [(look.by, look.act, bytes(look.path), look.reason) for look in Look.objects.order_by("pk")]


def test_the_tree_begins_with_people_and_their_data_on_each_pc(browser: Browser, volume: Volume) -> None:
    html = browser.get(reverse("mydoc:volumes")).content.decode()

    assert "葵 佐藤 (sato)" in html
    assert "pc-sales-01" in html
    assert "unlocked" in html
    assert "3.0\xa0GB / 100.0\xa0GB" in html


def test_before_anybody_looks_they_are_asked_why(
    browser: Browser, volume: Volume, answering: AnsweringPc
) -> None:
    asked_why = browser.get(at("folder", volume, SALES))
    assert asked_why["Location"].startswith(at("reason", volume))
    assert answering.asked == []

    back = browser.post(asked_why["Location"], {"reason": "missing quotation"})

    assert back["Location"] == at("folder", volume, SALES)
    html = browser.get(back["Location"]).content.decode()
    assert "見積 2026.txt" in html
    assert "missing quotation" in html


def test_a_reason_leads_nowhere_outside(browser: Browser, volume: Volume) -> None:
    address = f"{at('reason', volume)}?next=https://example.com/"

    assert browser.post(address, {"reason": "x"})["Location"] == at("folder", volume, b"")


def test_a_reason_holds_for_half_an_hour_and_for_one_volume(  # noqa: PLR0917  (pytest gives them by name)
    browser: Browser, volume: Volume, answering: AnsweringPc, kato: User, pc: FakePc, now: datetime
) -> None:
    other = make_volume(pc, kato, now=now)
    give_reason(browser, volume)
    assert browser.get(at("folder", volume, b"")).status_code == 200
    assert browser.get(at("folder", other, b"")).status_code == 302

    session = browser.session
    session["mydoc-reasons"] = {str(volume.pk): ["old", (now - timedelta(minutes=31)).isoformat()]}
    session.save()

    assert browser.get(at("folder", volume, b"")).status_code == 302


def test_every_look_is_written_down_once_for_the_owner_and_the_audit_log(
    browser: Browser, volume: Volume, answering: AnsweringPc
) -> None:
    give_reason(browser, volume)
    for _again in range(2):
        browser.get(at("folder", volume, b""))
    browser.get(at("find", volume), {"name": "見積"})
    whole(browser.get(at("file", volume, QUOTE)))

    assert looked() == [
        ("admin", "list", b"", "audit of the cellar"),
        ("admin", "search", "見積".encode(), "audit of the cellar"),
        ("admin", "download", QUOTE, "audit of the cellar"),
    ]
    events = Event.objects.filter(object_type="volume").order_by("pk")
    assert [(event.verb, event.actor, event.after["path"], event.reason) for event in events] == [
        ("volume.listed", "admin", "", "audit of the cellar"),
        ("volume.searched", "admin", "見積", "audit of the cellar"),
        ("volume.downloaded", "admin", "営業/見積 2026.txt", "audit of the cellar"),
    ]


def test_with_another_reason_the_same_folder_is_another_look(
    browser: Browser, volume: Volume, answering: AnsweringPc
) -> None:
    for words in ("first", "second"):
        give_reason(browser, volume, words)
        browser.get(at("folder", volume, b""))

    assert [reason for _by, _act, _path, reason in looked()] == ["first", "second"]


def test_nothing_is_shown_that_could_not_be_written_down(
    browser: Browser, volume: Volume, answering: AnsweringPc, monkeypatch: pytest.MonkeyPatch
) -> None:
    give_reason(browser, volume)

    def full(*_args: object, **_more: object) -> None:
        raise Refusal("disk_full", "No space left.")

    monkeypatch.setattr(auditing, "record", full)

    html = browser.get(at("folder", volume, b"")).content.decode()

    assert "notes.txt" not in html
    assert looked() == []


@pytest.mark.parametrize("role", [Role.AUDITOR, Role.HELP_DESK])
def test_who_only_looks_after_things_sees_which_data_there_is_and_not_what_is_in_it(
    client: Browser, volume: Volume, answering: AnsweringPc, being: Callable[..., User], role: Role
) -> None:
    client.force_login(being("ruth", role))

    assert client.get(reverse("mydoc:volumes")).status_code == 200
    assert client.get(at("volume", volume)).status_code == 200
    for name, path in (
        ("folder", [b""]),
        ("file", [b"notes.txt"]),
        ("find", []),
        ("reason", []),
        ("share", [b""]),
    ):
        assert client.get(at(name, volume, *path)).status_code == 403, name
    assert client.get(reverse("mydoc:find-in-each")).status_code == 403
    assert answering.asked == []


def test_names_of_every_kind_are_shown_and_can_be_opened(
    browser: Browser, volume: Volume, answering: AnsweringPc
) -> None:
    answering.files = {name: name for name in HOSTILE}
    give_reason(browser, volume)

    html = browser.get(at("folder", volume, b"")).content.decode()

    assert "<script>alert" not in html
    assert "\u202e" not in html
    for name in HOSTILE:
        assert escape(bytepaths.shown(name)) in html
        assert at("file", volume, name) in html
        saved = browser.get(at("file", volume, name))
        assert whole(saved) == name
        assert saved["Content-Disposition"].startswith("attachment; filename")
        assert "\n" not in saved["Content-Disposition"]


def test_a_file_is_saved_under_its_japanese_name_and_never_shown(
    browser: Browser, volume: Volume, answering: AnsweringPc
) -> None:
    give_reason(browser, volume)

    answer = browser.get(at("file", volume, QUOTE))

    _plain, _star, encoded = answer["Content-Disposition"].partition("filename*=utf-8''")
    assert unquote(encoded) == "見積 2026.txt"
    assert answer["Content-Type"] == "application/octet-stream"
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["Content-Length"] == str(len("見積".encode() * 3))


def test_a_path_as_deep_as_can_be_is_opened(browser: Browser, volume: Volume, answering: AnsweringPc) -> None:
    deep = b"/".join([b"deep"] * 819)
    answering.files = {deep: b"down here"}
    give_reason(browser, volume)

    html = browser.get(at("folder", volume, bytepaths.parent(deep))).content.decode()
    answer = browser.get(at("file", volume, deep))

    assert len(deep) > 4000
    assert at("file", volume, deep) in html
    assert whole(answer) == b"down here"


def test_a_link_is_shown_with_where_it_leads_and_leads_nowhere(
    browser: Browser, volume: Volume, answering: AnsweringPc
) -> None:
    give_reason(browser, volume)

    html = browser.get(at("folder", volume, b"")).content.decode()

    assert "Link, not followed, to:" in html
    assert "/etc/shadow" in html
    assert at("file", volume, b"old") not in html


def test_names_that_a_pc_makes_up_lead_nowhere(
    browser: Browser, volume: Volume, answering: AnsweringPc
) -> None:
    lies = [Entry(name=name, kind=EntryKind.FILE) for name in (b"..", b"a/b\0", b"", b"honest")]
    answering.answer = lambda _question: Answer(entries=lies)
    give_reason(browser, volume)

    html = browser.get(at("folder", volume, b"")).content.decode()

    assert "honest" in html
    assert html.count("/file/") == 1


def test_a_hundred_thousand_files_are_paged_by_name(
    browser: Browser, volume: Volume, answering: AnsweringPc
) -> None:
    def many(question: Question) -> Answer:
        first = int(question.after[5:] or b"-1") + 1
        numbers = range(first, min(first + question.length, 100_000))
        entries = [Entry(name=b"file-%06d" % number, kind=EntryKind.FILE) for number in numbers]
        return Answer(entries=entries, more=first + question.length < 100_000)

    answering.answer = many
    give_reason(browser, volume)
    folder = at("folder", volume, SALES)

    first = browser.get(folder).content.decode()
    middle = browser.get(folder, {"after": bytepaths.word(b"file-049999")}).content.decode()
    last = browser.get(folder, {"after": bytepaths.word(b"file-099950")}).content.decode()

    assert (first.count("/file/"), middle.count("/file/"), last.count("/file/")) == (100, 100, 49)
    assert f"?after={bytepaths.word(b'file-000099')}" in first
    assert "file-050000" in middle
    assert 'rel="next"' not in last
    assert 'rel="first"' in last
    assert len(looked()) == 1


def test_a_search_that_has_not_seen_all_says_so_and_goes_on(
    browser: Browser, volume: Volume, answering: AnsweringPc
) -> None:
    answering.answer = lambda _question: Answer(more=True, next=b"far/down")
    give_reason(browser, volume)

    html = browser.get(at("find", volume), {"name": "needle"}).content.decode()

    assert "not all of it was looked through" in html
    assert f"after={bytepaths.word(b'far/down')}" in html


def test_a_name_is_searched_in_all_that_is_open_and_what_is_not_is_named(  # noqa: PLR0917  (pytest gives them by name)
    browser: Browser,
    volume: Volume,
    answering: AnsweringPc,
    kato: User,
    enrol: Callable[..., FakePc],
    sales: Group,
    now: datetime,
) -> None:
    make_volume(enrol("pc-off", group=sales), kato, now=now)
    address = reverse("mydoc:find-in-each")
    assert "Reason" in browser.get(address, {"name": "見積"}).content.decode()
    assert answering.asked == []

    done = browser.post(address, {"name": "見積", "reason": "who has it?"}, follow=True)

    html = done.content.decode()
    assert at("file", volume, QUOTE) in html
    assert "Not searched" in html
    assert "pc-off" in html
    assert looked() == [("admin", "search", "見積".encode(), "who has it?")]


def test_volumes_are_found_by_person_and_pc_and_state(  # noqa: PLR0917  (pytest gives them by name)
    browser: Browser,
    volume: Volume,
    kato: User,
    enrol: Callable[..., FakePc],
    sales: Group,
    now: datetime,
) -> None:
    make_volume(enrol("pc-off", group=sales), kato, now=now)

    def shown(**query: str) -> set[str]:
        html = browser.get(reverse("mydoc:volumes"), query).content.decode()
        return {name for name in ("pc-sales-01", "pc-off") if f">{name}</a>" in html}

    assert shown() == {"pc-sales-01", "pc-off"}
    assert shown(q="佐藤") == shown(state="open") == shown(owner=str(volume.owner_id)) == {"pc-sales-01"}
    assert shown(q="kato") == shown(state="off") == {"pc-off"}
    assert shown(q="nobody") == set()
    assert "No user's data fits" in browser.get(reverse("mydoc:volumes"), {"q": "x"}).content.decode()


def test_an_installation_without_user_data_says_how_it_comes_about(browser: Browser) -> None:
    html = browser.get(reverse("mydoc:volumes")).content.decode()

    assert "for the first time" in html


@pytest.mark.parametrize(
    ("how", "words"), [("off", "is off, or not on the network"), ("locked", "locked on")]
)
def test_data_that_cannot_be_reached_says_why_in_its_place(  # noqa: PLR0917  (pytest gives them by name)
    browser: Browser, volume: Volume, answering: AnsweringPc, now: datetime, how: str, words: str
) -> None:
    give_reason(browser, volume)
    if how == "off":
        beat(answering.pc, now=now - timedelta(hours=1))
    else:
        tell(volume, state=VolumeState.LOCKED, now=now)

    answer = browser.get(at("folder", volume, SALES))

    assert answer.status_code == 200
    assert words in answer.content.decode()


def test_a_folder_that_is_gone_is_not_found(browser: Browser, volume: Volume, answering: AnsweringPc) -> None:
    answering.answer = lambda _question: Answer(code="no_such_name", words="ENOENT")
    give_reason(browser, volume)

    assert browser.get(at("folder", volume, b"gone")).status_code == 404


def test_a_file_that_cannot_be_had_is_said_on_the_page_one_came_from(
    browser: Browser, volume: Volume, answering: AnsweringPc
) -> None:
    give_reason(browser, volume)
    folder = f"http://testserver{at('folder', volume, b'')}"

    back = browser.get(at("file", volume, b"gone"), headers={"referer": folder})

    assert back["Location"] == folder
    assert "There is no such file or folder any more" in browser.get(folder).content.decode()


@pytest.mark.parametrize("size", [0, 1, MAX_PIECE_BYTES, MAX_PIECE_BYTES + 1, 3 * MAX_PIECE_BYTES])
def test_a_file_of_any_length_comes_whole_in_pieces(
    volume: Volume, answering: AnsweringPc, now: datetime, size: int
) -> None:
    data = bytes(range(251)) * (size // 251 + 1)
    answering.files = {b"big": data[:size]}

    found = browsing.download(volume, b"big", looker=Looker("x", now), now=now)

    assert b"".join(found.pieces) == data[:size]
    assert all(question.length <= MAX_PIECE_BYTES for question in answering.asked)


def test_a_file_that_changes_meanwhile_is_never_given_as_if_whole(
    volume: Volume, answering: AnsweringPc, now: datetime
) -> None:
    answering.files = {b"big": bytes(MAX_PIECE_BYTES * 2)}
    pieces = browsing.download(volume, b"big", looker=Looker("x", now), now=now).pieces
    answering.files = {b"big": bytes(MAX_PIECE_BYTES * 2 + 1)}

    with pytest.raises(Refusal, match="file_changed"):
        list(pieces)


def test_a_download_that_is_broken_off_leaves_no_question_behind(
    volume: Volume, answering: AnsweringPc, now: datetime
) -> None:
    answering.files = {b"big": bytes(MAX_PIECE_BYTES * 3)}
    pieces = browsing.download(volume, b"big", looker=Looker("x", now), now=now).pieces
    answering.answers = False
    next(pieces)

    pieces.close()

    assert answering.pc.get("/node/v1/mydoc/questions").json() == {"questions": []}
    assert answering.asked[-1].offset == MAX_PIECE_BYTES


def test_under_asgi_a_file_is_streamed_as_well(
    async_client: AsyncClient, admin: User, volume: Volume, answering: AnsweringPc
) -> None:
    answering.files = {b"big": bytes(MAX_PIECE_BYTES + 7)}
    async_client.force_login(admin)

    async def fetched() -> tuple[bool, int]:
        await async_client.post(at("reason", volume), {"reason": "x"})
        answer: Any = await async_client.get(at("file", volume, b"big"))
        return answer.is_async, len(b"".join([piece async for piece in answer]))

    assert async_to_sync(fetched)() == (True, MAX_PIECE_BYTES + 7)


def test_a_pcs_page_shows_whose_data_is_on_it(browser: Browser, volume: Volume, pc: FakePc) -> None:
    page = browser.get(reverse("clients:pc", args=[pc.client.pk])).content.decode()
    card = reverse("mydoc:client-card", args=[pc.client.pk])
    assert f'hx-get="{card}"' in page

    html = browser.get(card, headers={"HX-Request": "true"}).content.decode()

    assert "佐藤" in html
    assert "unlocked" in html
    assert "<html" not in html


def test_a_look_is_told_to_the_owners_open_page(
    browser: Browser, volume: Volume, answering: AnsweringPc, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr(nudge, "pages", lambda *topics: told.extend(topics))
    give_reason(browser, volume)

    browser.get(at("folder", volume, b""))

    assert f"my.{volume.owner_id}" in told
