"""The request form: folders ticked instead of typed, working days counted; by plain forms, no JavaScript."""

import re
from datetime import date, datetime
from typing import Any

import pytest
from django.contrib.auth.models import User

from checkout import calendars, deciding
from checkout.models import CheckoutRequest
from clients import workdays
from clients.models import Event
from mydoc import bytepaths
from mydoc.models import Volume
from tests.checkout.test_checkout_pages import browser_of, filled
from tests.mydoc.answering import AnsweringPc, tell
from vrasnode.wire.mydoc import VolumeState

pytestmark = pytest.mark.django_db
NEW = "/my/checkouts/new/"
SALES, PLANS = "営業".encode(), "営業/plans".encode()


@pytest.fixture(autouse=True)
def folders(answering: AnsweringPc, lendable: Volume) -> None:
    """Two folders at the top, one of them with another one in it."""
    answering.files = {PLANS + b"/q1.txt": b"1", "営業/見積.txt".encode(): b"2", b"private/diary.txt": b"3"}


def look(user: User, volume: Volume, at: bytes = b"", **changed: Any) -> str:
    """What the form shows once that folder is looked into."""
    said = filled(volume, folders="", look=bytepaths.word(at), **changed)
    answer = browser_of(user).post(NEW, said)
    assert answer.status_code == 200
    assert not CheckoutRequest.objects.exists()
    return answer.content.decode()


def ticked(page: str) -> list[bytes]:
    found = re.findall(r'name="picked" value="([^"]*)"[^>]* checked', page)
    return [bytepaths.path_of(word) for word in found]


def offered(page: str) -> list[bytes]:
    found = re.findall(r'name="picked" value="([^"]*)" id="folder-', page)
    return [bytepaths.path_of(word) for word in found]


def test_the_folders_of_ones_own_data_are_offered_and_nothing_is_submitted_by_looking(
    lendable: Volume, sato: User
) -> None:
    fresh = browser_of(sato).get(NEW).content.decode()

    page = look(sato, lendable, purpose="客先でのデモ <1>")

    assert "Everything goes along" in fresh
    assert offered(fresh) == []  # no PC is asked before somebody wants to choose
    assert offered(page) == [b"private", SALES]
    assert "客先でのデモ &lt;1&gt;" in page  # what was filled in stays


def test_what_was_ticked_stays_while_another_folder_is_looked_into(lendable: Volume, sato: User) -> None:
    word = bytepaths.word(b"private")

    page = look(sato, lendable, SALES, picked=[word])

    assert (ticked(page), offered(page)) == ([b"private"], [PLANS])
    assert f'name="look" value="{bytepaths.ROOT}"' in page  # the way up


def test_what_was_ticked_and_typed_is_asked_for_each_once(lendable: Volume, sato: User) -> None:
    picked = [bytepaths.word(PLANS), bytepaths.word(b"caf\xe9")]

    browser_of(sato).post(NEW, filled(lendable, picked=picked, folders="営業/plans\nDocuments"))

    request = CheckoutRequest.objects.get()
    assert [bytepaths.path_of(word) for word in request.folders] == [PLANS, b"caf\xe9", b"Documents"]


def test_a_copy_has_the_same_folders_also_those_that_no_keyboard_types(
    lendable: Volume, sato: User, mori: User, now: datetime
) -> None:
    mine = browser_of(sato)
    mine.post(NEW, filled(lendable, picked=[bytepaths.word(b"caf\xe9")], folders=""))
    request = CheckoutRequest.objects.get()
    deciding.send_back(request, by=mori, words="when?", now=now)

    assert ticked(mine.get(f"{NEW}?mend={request.pk}").content.decode()) == [b"caf\xe9"]


def test_a_word_that_is_no_path_is_refused(lendable: Volume, sato: User) -> None:
    for word in ("../..", bytepaths.word(b"..").replace("=", ""), "%"):
        answer = browser_of(sato).post(NEW, filled(lendable, picked=[word], folders=""))
        assert "There is no such folder" in answer.content.decode()

    assert not CheckoutRequest.objects.exists()


def test_nobody_looks_into_somebody_elses_folders(lendable: Volume, kato: User, sato: User) -> None:
    page = look(kato, lendable)

    assert offered(page) == []
    assert not Event.objects.filter(verb="volume.listed").exists()
    look(sato, lendable)
    assert Event.objects.filter(verb="volume.listed").count() == 1  # a look is written down, one's own too


def test_while_the_data_is_locked_folders_are_typed_and_the_page_says_why(
    lendable: Volume, sato: User, now: datetime
) -> None:
    tell(lendable, now=now, state=VolumeState.LOCKED)

    page = look(sato, lendable)

    assert "You can type folders below." in page
    assert '<details class="typed" open>' in page


def test_working_days_are_counted_without_weekends_and_holidays_of_japan(sato: User) -> None:
    mine = browser_of(sato)

    page = mine.get("/my/checkouts/days/?first=2027-05-01&last=2027-05-07").content.decode()

    assert "2 working days" in page
    assert "of 7 days" in page
    for name in ("憲法記念日", "みどりの日", "こどもの日"):
        assert name in page
    nonsense = mine.get("/my/checkouts/days/?first=soon&last=2027-05-07").content.decode()
    assert "are counted here" in nonsense


def test_without_a_script_a_button_counts_and_submits_nothing(lendable: Volume, sato: User) -> None:
    said = filled(lendable, first="2027-01-01", last="2027-01-04", count="")

    page = browser_of(sato).post(NEW, said).content.decode()

    assert "1 working day<" in page
    assert "元日" in page
    assert not CheckoutRequest.objects.exists()


def test_a_long_period_shows_its_first_months_and_counts_all_of_it() -> None:
    period = calendars.of(date(2026, 12, 28), date(2027, 6, 1))

    assert period is not None
    assert [month.first.month for month in period.months] == [12, 1, 2]
    days = {day.date.day: day for month in [next(period.months)] for week in month.weeks for day in week}
    assert (days[28].works, days[28].chosen, days[27].works, days[27].chosen) == (True, True, False, False)
    assert period.workdays == workdays.count(date(2026, 12, 28), date(2027, 6, 1)) > 100
    assert calendars.of(date(2027, 1, 2), date(2027, 1, 1)) is None
    assert calendars.of("0001-01-01", "9999-12-31") is None
