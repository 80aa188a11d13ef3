"""The employee's and the approver's pages, the ledger: what they let people do, by plain forms."""

import base64
import csv
import io
import json
import re
import subprocess
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode

import pytest
from django.contrib.auth.models import User
from django.test import Client as Browser
from django.utils import timezone

from checkout import deciding, ledger, lending, requesting, sweeping
from checkout.models import CheckoutRequest, Lease
from clients import workdays
from clients.models import Group
from mydoc.models import Volume
from tests.checkout.asking import DAY, key_of, tell, wish
from tests.checkout.conftest import Replicas
from tests.pcs import FakePc
from vrasnode.wire.checkout import LeaseState

pytestmark = pytest.mark.django_db
State = CheckoutRequest.State


def browser_of(user: User) -> Browser:
    browser = Browser()
    browser.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return browser


def filled(volume: Volume, **changed: Any) -> dict[str, Any]:
    day = timezone.localdate() + timedelta(days=1)
    so = {
        "volume": str(volume.pk),
        "first": day.isoformat(),
        "first_at": "00:00",
        "last": day.isoformat(),
        "last_at": "23:59",
        "purpose": "客先でのデモ",
        "destination": "大阪",
        "contact": "090-0000-0000",
        "folders": "Documents/plans\n営業/",
    }
    return {**so, **changed}


def test_an_employee_asks_an_approver_approves_and_the_page_says_where_the_key_is(  # noqa: PLR0917
    lendable: Volume, sato: User, mori: User, pc: FakePc, installation: Any, now: datetime
) -> None:
    mine, theirs = browser_of(sato), browser_of(mori)

    made = mine.post("/my/checkouts/new/", filled(lendable), follow=True)
    request = CheckoutRequest.objects.get()
    assert "whoever has the role approver" in made.content.decode()
    page = theirs.get("/approvals/").content.decode()
    assert "客先でのデモ" in page
    step = request.current_step
    assert step is not None
    theirs.post("/approvals/approve/", {"requests": [f"{request.pk}.{step.pk}"]})

    key = key_of(pc, installation, at=now)
    assert key is not None
    assert key.folders == [b"Documents/plans", "営業".encode()]
    assert "On its way to the PC" in mine.get("/my/checkouts/").content.decode()
    tell(pc, key.lease, LeaseState.READY)
    assert "Key on the PC, usable from" in mine.get("/my/checkouts/").content.decode()
    assert mine.post(f"/my/checkouts/{request.pk}/return/").status_code == 302
    assert CheckoutRequest.objects.get().state == State.RETURNED


def test_each_field_that_is_needed_says_so_and_nothing_is_submitted(lendable: Volume, sato: User) -> None:
    page = (
        browser_of(sato).post("/my/checkouts/new/", filled(lendable, purpose="", first="")).content.decode()
    )

    assert page.count("This field is required.") == 2
    # Each is tied to its field for who does not see it, and the first of them has the focus.
    for name in ("first", "purpose"):
        assert f'aria-describedby="id_{name}_error"' in page
        assert f'id="id_{name}_error"' in page
    (focused,) = re.findall(r"<input[^>]* autofocus[^>]*>", page)
    assert 'name="first"' in focused
    assert not CheckoutRequest.objects.exists()


def test_a_refusal_keeps_what_was_filled_in(asked: CheckoutRequest, lendable: Volume, sato: User) -> None:
    page = browser_of(sato).post("/my/checkouts/new/", filled(lendable, destination="札幌")).content.decode()

    assert "[overlaps]" in page
    assert "札幌" in page


def test_a_request_that_was_sent_back_says_why_and_is_mended(
    asked: CheckoutRequest, lendable: Volume, sato: User, mori: User, now: datetime
) -> None:
    theirs, mine = browser_of(mori), browser_of(sato)
    step = asked.current_step
    assert step is not None
    address = f"/approvals/{asked.pk}/"
    theirs.post(address, {"act": "send_back", "seen": step.pk, "words": ""})
    assert CheckoutRequest.objects.get().state == State.WAITING  # not without a reason
    theirs.post(address, {"act": "send_back", "seen": step.pk, "words": "客先名が必要です"})
    assert "客先名が必要です" in mine.get("/my/checkouts/").content.decode()

    mine.post(f"/my/checkouts/new/?mend={asked.pk}", filled(lendable, purpose="A社でのデモ"))

    asked.refresh_from_db()
    assert (asked.state, asked.round, asked.purpose) == (State.WAITING, 2, "A社でのデモ")


def test_the_last_request_is_copied_with_its_length_to_the_next_working_day(
    asked: CheckoutRequest, sato: User
) -> None:
    page = browser_of(sato).get(f"/my/checkouts/new/?copy={asked.pk}").content.decode()

    assert 'value="客先でのデモ"' in page
    assert 'value="大阪支店"' in page
    first = workdays.following(timezone.localdate())
    starts, ends = timezone.localtime(asked.starts), timezone.localtime(asked.ends)
    for name, value in (
        *(("first", first), ("last", first + (ends.date() - starts.date()))),
        *(("first_at", f"{starts:%H:%M}"), ("last_at", f"{ends:%H:%M}")),
    ):
        (field,) = re.findall(rf'<input[^>]* name="{name}"[^>]*>', page)
        assert f'value="{value}"' in field


def test_an_approver_shortens_the_period(asked: CheckoutRequest, mori: User, now: datetime) -> None:
    until = timezone.localtime(now + DAY).replace(second=0)
    step = asked.current_step
    assert step is not None

    said = {"act": "approve", "seen": step.pk, "until": f"{until:%Y-%m-%dT%H:%M}"}
    browser_of(mori).post(f"/approvals/{asked.pk}/", said)

    assert Lease.objects.get().ends == until


def test_nobody_sees_or_decides_what_is_not_theirs(
    asked: CheckoutRequest, kato: User, sato: User, mori: User
) -> None:
    step = asked.current_step
    assert step is not None
    said = {"act": "approve", "seen": step.pk}
    for user in (kato, sato):
        browser = browser_of(user)
        assert "客先でのデモ" not in browser.get("/approvals/").content.decode()
        browser.post("/approvals/approve/", {"requests": [f"{asked.pk}.{step.pk}"]})
        assert browser.post(f"/approvals/{asked.pk}/", said).status_code in (302, 403)
    assert browser_of(kato).get(f"/my/checkouts/{asked.pk}/").status_code == 403
    assert browser_of(mori).get("/checkouts/").status_code == 403

    asked.refresh_from_db()
    assert (asked.state, asked.steps_done) == (State.WAITING, 0)


def test_a_link_out_of_a_mail_asks_for_the_password_again(
    asked: CheckoutRequest, mori: User, now: datetime
) -> None:
    mori.set_password("correct horse battery")
    mori.save()
    theirs, address = browser_of(mori), f"/approvals/{asked.pk}/?from=mail"
    User.objects.filter(pk=mori.pk).update(last_login=now - DAY)

    asks = theirs.get(address)
    assert asks["Location"].startswith("/approvals/again/")
    assert "not your password" in theirs.post(asks["Location"], {"password": "wrong"}).content.decode()
    assert theirs.get(address)["Location"].startswith("/approvals/again/")

    goes_on = theirs.post(asks["Location"], {"password": "correct horse battery"})
    assert goes_on["Location"] == f"/approvals/{asked.pk}/"
    assert theirs.get(address).status_code == 200
    assert (
        theirs.post(
            "/approvals/again/?next=https://elsewhere.example/", {"password": "correct horse battery"}
        )["Location"]
        == "/approvals/"
    )


def test_a_request_that_grows_old_says_so(asked: CheckoutRequest, mori: User, now: datetime) -> None:
    CheckoutRequest.objects.update(waits_since=now - 8 * DAY)

    assert "for long" in browser_of(mori).get("/approvals/").content.decode()


def test_the_ledger_shows_what_its_tables_hold_in_both_encodings(
    lent: CheckoutRequest, lendable: Volume, sato: User, admin: User, now: datetime
) -> None:
    later = wish(now, starts=now + 5 * DAY, ends=now + 6 * DAY, purpose="=cmd|calc")
    requesting.submit(lendable, later, by=sato, now=now)
    office = browser_of(admin)
    page = office.get("/checkouts/").content.decode()
    assert "2 requests" in page

    for encoding, sent in (("utf-8-sig", ""), ("cp932", "&encoding=sjis")):
        answer = office.get(f"/checkouts.csv?lang=ja{sent}")
        rows = list(csv.reader(io.StringIO(b"".join(answer.streaming_content).decode(encoding))))  # type: ignore[arg-type]
        assert len(rows) == 1 + 2
        assert {"申請者", "承認者・日時", "申請日時"} <= set(rows[0])
        assert rows[2][2] == "佐藤 葵"
        assert rows[2][9] == "客先でのデモ"
        assert "承認" in rows[2][14]
        assert rows[1][9] == "'=cmd|calc"
    assert len(b"".join(office.get("/checkouts.csv?state=lent").streaming_content).splitlines()) == 2  # type: ignore[arg-type]
    assert "1 request" in office.get("/checkouts/?q=cmd").content.decode()


def test_each_filter_of_the_ledger_leaves_the_same_on_page_table_and_paper(  # noqa: PLR0917
    lent: CheckoutRequest, lendable: Volume, sales: Group, sato: User, admin: User, now: datetime
) -> None:
    CheckoutRequest.objects.update(purpose="sooner")  # for the days 0 to 3
    far = wish(now, starts=now + 10 * DAY, ends=now + 11 * DAY, purpose="later")
    requesting.submit(lendable, far, by=sato, now=now)
    other = Group.objects.create(name="another")
    office, day = browser_of(admin), [timezone.localdate(now) + timedelta(days=days) for days in range(12)]

    for asked_for, found in (
        ({}, ["later", "sooner"]),
        ({"state": "lent"}, ["sooner"]),
        ({"state": "live"}, ["later", "sooner"]),
        ({"state": "rejected"}, []),
        ({"q": "sooner sato"}, ["sooner"]),
        ({"q": "pc-sales-01"}, ["later", "sooner"]),
        ({"q": "sooner later"}, []),
        ({"group": sales.pk}, ["later", "sooner"]),
        ({"group": other.pk}, []),
        ({"from": day[3]}, ["later", "sooner"]),
        ({"from": day[4]}, ["later"]),
        ({"until": day[9]}, ["sooner"]),
        ({"until": day[10]}, ["later", "sooner"]),
        ({"from": day[4], "until": day[9]}, []),
    ):
        query = urlencode(asked_for)
        page = office.get(f"/checkouts/?{query}").context["page"]
        table = b"".join(office.get(f"/checkouts.csv?lang=en&{query}").streaming_content)  # type: ignore[arg-type]

        assert [one.purpose for one in page] == found, query
        lines = list(csv.reader(io.StringIO(table.decode("utf-8-sig"))))
        assert [line[9] for line in lines[1:]] == found, query
        of_paper = ledger.rows(dict(parse_qsl(query)))
        assert [one.purpose for one in of_paper] == found, query


def test_a_groups_chain_is_written_down_and_holds_from_then_on(  # noqa: PLR0917
    lendable: Volume, sales: Any, sato: User, mori: User, admin: User, now: datetime
) -> None:
    office = browser_of(admin)
    said = {"chain": "person: mori\nrole", "max_days": 5, "reason": "two steps", "revision": 0}
    assert office.post(f"/groups/{sales.pk}/checkout/", said).status_code == 302
    again = office.post(f"/groups/{sales.pk}/checkout/", said)
    assert "changed this chain meanwhile" in again.content.decode()
    bad = office.post(f"/groups/{sales.pk}/checkout/", {**said, "revision": 1, "chain": "everybody"})
    assert "No step is written like this" in bad.content.decode()

    request = requesting.submit(lendable, wish(now), by=sato, now=now)

    assert [step.words for step in request.steps.all()] == ["mori", "whoever has the role approver"]


def test_an_administrator_waives_the_replica_by_the_page(
    asked: CheckoutRequest, replicas: Replicas, mori: User, admin: User, now: datetime
) -> None:
    replicas.at = None
    deciding.approve(asked, by=mori, now=now)
    office = browser_of(admin)
    assert "No recent copy of the data" in office.get(f"/my/checkouts/{asked.pk}/").content.decode()

    office.post(f"/checkouts/{asked.pk}/waive/", {"reason": "the NAS is being moved"})

    assert CheckoutRequest.objects.get().state == State.LENT


def test_deputies_are_named_and_dismissed_by_whom_they_stand_in_for(
    asked: CheckoutRequest, mori: User, kato: User
) -> None:
    theirs, other = browser_of(mori), browser_of(kato)
    today = timezone.localdate().isoformat()
    theirs.post("/approvals/deputies/", {"deputy": "kato", "starts": today, "ends": today})
    assert "客先でのデモ" in other.get("/approvals/").content.decode()

    row = mori.deputies.get()
    other.post(f"/approvals/deputies/{row.pk}/delete/")
    assert mori.deputies.exists()
    theirs.post(f"/approvals/deputies/{row.pk}/delete/")
    assert "客先でのデモ" not in other.get("/approvals/").content.decode()


def test_the_ledger_is_set_on_paper_in_japanese(lent: CheckoutRequest, admin: User, tmp_path: Path) -> None:
    answer = browser_of(admin).get("/checkouts.pdf?lang=ja")

    assert answer["Content-Type"] == "application/pdf"
    (tmp_path / "ledger.pdf").write_bytes(answer.content)
    text = subprocess.run(
        ["pdftotext", "-layout", str(tmp_path / "ledger.pdf"), "-"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    said = "".join(text.split())
    for words in ("持出し台帳", "申請者", "承認者・日時", "佐藤葵", "客先でのデモ", "mori:承認"):
        assert words in said, said


def test_a_pc_that_is_not_back_is_flagged_at_home_and_on_its_page(
    lent: CheckoutRequest, pc: FakePc, admin: User
) -> None:
    office, its_page = browser_of(admin), f"/pcs/{pc.client.pk}/"
    tell(pc, str(lent.lease.pk), LeaseState.READY)  # type: ignore[union-attr]
    assert "not back after its deadline" not in office.get("/").content.decode()
    assert f'href="/my/checkouts/{lent.pk}/"' in office.get(its_page).content.decode()

    sweeping.sweep(now=lent.ends)

    home = office.get("/").content.decode()
    assert "1 PC that was lent is not back after its deadline." in home
    assert 'href="/checkouts/?state=overdue"' in home
    assert "overdue: not back yet" in office.get(its_page).content.decode()


def test_no_page_table_or_answer_to_a_program_shows_the_key(  # noqa: PLR0917
    asked: CheckoutRequest,
    sato: User,
    mori: User,
    admin: User,
    pc: FakePc,
    now: datetime,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    secret = bytes(range(100, 132))
    monkeypatch.setattr(lending.secrets, "token_bytes", lambda count: secret)
    deciding.approve(asked, by=mori, now=now)
    lease = Lease.objects.get()
    sealed = json.loads(bytes(lease.key))["payload"]
    inside = json.loads(base64.b64decode(sealed))["secret"]

    said = [bytes(answer) for answer in looked_at(asked, lease, pc, sato=sato, mori=mori, admin=admin)]

    forms = [secret, secret.hex().encode(), base64.b64encode(secret), sealed.encode()]
    forms += [value.encode() for value in _texts(inside)]
    assert len(forms) > 4
    assert not [form for form in forms if any(form in answer for answer in said)]


def looked_at(
    asked: CheckoutRequest, lease: Lease, pc: FakePc, *, sato: User, mori: User, admin: User
) -> Iterator[bytes]:
    """All that anybody is shown of a request whose key is made."""
    own, one = f"/my/checkouts/{asked.pk}/", f"/api/v1/checkouts/{asked.pk}/"
    office = ("/", "/checkouts/", "/checkouts.csv", "/audit/", f"/pcs/{pc.client.pk}/", "/api/v1/events/")
    rows = (f"lease/{lease.pk}", f"checkoutrequest/{asked.pk}")
    office += tuple(f"/admin/checkout/{row}/change/" for row in rows)
    for user, pages in (
        (sato, ("/my/", "/my/checkouts/", own, one)),
        (mori, ("/approvals/", f"/approvals/{asked.pk}/", one)),
        (admin, (*office, own, one)),
    ):
        for page in pages:
            answer = browser_of(user).get(page)
            assert answer.status_code == 200, page
            yield b"".join(answer.streaming_content) if answer.streaming else answer.content  # type: ignore[arg-type]


def _texts(value: Any) -> Iterator[str]:
    """Each text of some length in what a message holds."""
    if isinstance(value, dict):
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, str) and len(value) > 20:
        yield value
