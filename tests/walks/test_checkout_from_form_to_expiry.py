"""A checkout, walked from the form to its end on real parts: an employee asks and an approver decides in a
real browser, the PC takes the key, the cable is pulled, the documents open away from the company by PIN, and
lock by themselves at the deadline.

Nothing of it waits for a day: the period that is asked for ends within minutes.
"""

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from playwright.sync_api import Browser, Page

from config.demo.directory import Directory
from tests.browser.portal import chromium
from tests.lab.documents import USER, Workday

pytestmark = pytest.mark.soak

APPROVER, PIN = "dave", "pin of alice 1"
PAGE = "http://vras.internal"
OFFICE = ZoneInfo("Asia/Tokyo")  # whose time the forms are in
PHONE = {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


def logged_in(browser: Browser, day: Workday, name: str, path: str) -> Page:
    """Somebody of the directory on a phone, without JavaScript, at this page."""
    context = browser.new_context(viewport=PHONE, java_script_enabled=False, locale="en")  # type: ignore[arg-type]
    page = context.new_page()
    page.goto(day.office.server.url + path)
    page.fill("[name=username]", name)
    page.fill("[name=password]", Directory.password_of(name))
    page.press("[name=password]", "Enter")
    return page


def asks(browser: Browser, day: Workday, *, until: datetime) -> None:
    page = logged_in(browser, day, USER, "/my/checkouts/new/")
    today = f"{until - timedelta(minutes=10):%Y-%m-%d}"
    page.fill("[name=first]", today)
    page.fill("[name=first_at]", "00:00" if today == f"{until:%Y-%m-%d}" else "23:00")
    page.fill("[name=last]", f"{until:%Y-%m-%d}")
    page.fill("[name=last_at]", f"{until:%H:%M}")
    page.fill("[name=purpose]", "客先でのデモ")
    page.fill("[name=destination]", "大阪支店")
    page.fill("[name=contact]", "090-0000-0000")
    page.press("[name=contact]", "Enter")
    assert "Submitted" in page.inner_text("main")


def approves(browser: Browser, day: Workday) -> None:
    page = logged_in(browser, day, APPROVER, "/approvals/")
    assert "客先でのデモ" in page.inner_text("main")
    page.check("[name=requests]")
    page.click("text=Approve those ticked")
    assert "1 request approved" in page.inner_text("main")


def state_of(day: Workday) -> dict[str, Any]:
    """The request and its key, as the server has them."""
    code = (
        "import json; from checkout.models import CheckoutRequest as C; "
        "r = C.objects.order_by('-pk').first(); l = r.lease; "
        "print(json.dumps({'state': r.state, 'obstacle': r.obstacle, "
        "'lease': str(l.pk) if l else '', 'told': l.told if l else {}}))"
    )
    found: dict[str, Any] = json.loads(day.office.server.manage("shell", "-c", code).strip().splitlines()[-1])
    return found


def post(day: Workday, path: str, **fields: str) -> str:
    """A form of the PC's own page, sent from inside the client VM; where it led."""
    data = " ".join(f"--data-urlencode '{name}={value}'" for name, value in fields.items())
    answer = day.run(f"curl -s -D - -o /dev/null -H 'Origin: {PAGE}' {data} {PAGE}{path}")
    return answer.output.decode()


def test_a_checkout_from_the_form_to_the_deadline(workday: Workday, browser: Browser) -> None:
    day = workday
    code = (
        "from clients.models import Group; from checkout import chaining as c; "
        "t = c.Terms(software=True, max_days=31, chain=c.ROLE_ALONE); "
        "[c.save(g, t, reason='x') for g in Group.objects.all()]"
    )
    day.office.server.manage("shell", "-c", code)
    day.be_open()
    day.write("plan.txt", b"what is needed in Osaka")
    assert day.copy_now()["state"] == "done"

    until = (datetime.now(OFFICE) + timedelta(minutes=7)).replace(second=0, microsecond=0)  # the wall's
    asks(browser, day, until=until)
    assert state_of(day)["state"] == "waiting"
    approves(browser, day)
    assert state_of(day)["state"] == "lent", state_of(day)
    lease = state_of(day)["lease"]
    day.wait("the key on the PC", lambda: state_of(day)["told"].get("state") == "offered")
    assert "said_picked_up" in post(day, "/checkout/pin", lease=lease, pin=PIN, again=PIN)
    day.wait("the pick-up", lambda: state_of(day)["told"].get("state") == "ready")

    day.pc.lab.place.cut()
    try:
        day.wait("the lock", lambda: not day.is_open())
        post(day, "/checkout/open", lease=lease, pin="not the pin")
        assert not day.is_open()
        post(day, "/checkout/open", lease=lease, pin=PIN)
        day.wait("the documents away from the company", day.is_open)
        assert day.read("plan.txt") == b"what is needed in Osaka"
        day.write("written.txt", b"in Osaka")

        day.wait("the deadline", lambda: datetime.now(OFFICE) > until and not day.is_open())
        post(day, "/checkout/open", lease=lease, pin=PIN)
        assert not day.is_open()
    finally:
        day.pc.lab.place.mend()

    day.wait("the report", lambda: state_of(day)["state"] == "expired")
    told = state_of(day)["told"]
    assert (told["state"], told["slot_gone"], told["proof"]["read_failed"]) == ("ended", True, True)
    day.log_on()
    assert day.read("written.txt") == b"in Osaka"
