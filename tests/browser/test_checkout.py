"""A checkout by nothing but a keyboard, as narrow as a telephone: asked for, approved, handed over, returned;
with JavaScript and without."""

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, expect

from tests.browser.keyboard import PATIENCE_MS, Keyboard
from tests.browser.portal import Portal

pytestmark = pytest.mark.slow
PHONE = {"width": 390, "height": 800}
DESCRIBED = """(one) => one.getAttribute("aria-describedby").split(" ")
  .map((id) => document.getElementById(id).textContent).join(" ")"""


@pytest.fixture
def sits_down(browser: Browser, portal: Portal) -> Iterator[Callable[..., Keyboard]]:
    """`sits_down("sato", "/my/")`: logged in by keyboard, at this page."""
    contexts: list[BrowserContext] = []

    def make(name: str, path: str, *, javascript: bool) -> Keyboard:
        context = browser.new_context(locale="en-GB", viewport=PHONE, java_script_enabled=javascript)  # type: ignore[arg-type]  # two numbers
        contexts.append(context)
        keys = Keyboard(context.new_page())
        keys.page.goto(f"{portal.url}/login/?next={path}")
        keys.fill("Username", name)
        keys.fill("Password", f"{name} has a password")
        keys.press("Enter")
        expect(keys.page).to_have_url(portal.url + path, timeout=PATIENCE_MS)
        return keys

    yield make
    for context in contexts:
        context.close()


@pytest.mark.parametrize(("who", "javascript"), [("kato", True), ("ito", False)])
def test_a_checkout_is_asked_for_approved_and_given_back_by_keyboard(
    who: str, javascript: bool, portal: Portal, sits_down: Callable[..., Keyboard]
) -> None:
    portal.act("may_be_lent", who, "mori")
    mine = sits_down(who, "/my/checkouts/", javascript=javascript)

    mine.on(mine.page.get_by_role("link", name="Skip to the content"))
    mine.on(mine.link("New request"))
    mine.fill("from (time)", "1130PM")  # where a clock has 24 hours: 11:30
    mine.fill("until (time)", "0530PM")
    for label, words in (("Purpose", "demo"), ("Destination", "Osaka"), ("Contact on the way", "090")):
        mine.fill(label, words)
    mine.press("Enter")
    wrong = mine.page.get_by_label("Last day")
    expect(wrong).to_be_focused(timeout=PATIENCE_MS)
    assert "has to end after its start" in wrong.evaluate(DESCRIBED)
    mine.fill("until (time)", "1145PM")
    mine.press("Enter")
    mine.says("Submitted.")

    theirs = sits_down("mori", "/approvals/", javascript=javascript)
    row = theirs.page.get_by_role("row").filter(has_text="demo")
    theirs.on(row.get_by_role("checkbox"), "Space")
    theirs.on(theirs.button("Approve those ticked"))
    theirs.says("1 request approved")

    mine.page.reload()
    mine.says("On its way to the PC")
    back = mine.button("Give back now")
    mine.to(back)
    portal.act("says_of_the_key", who, "offered")
    if not javascript:
        mine.page.reload()
        mine.to(back)
    mine.says("Choose a PIN there now, on its page http://vras.internal/")
    expect(back).to_be_focused()
    mine.press("Enter")
    mine.says("Given back")

    mine.pressed = 0
    mine.on(mine.link("New, like the last"))
    mine.to(mine.page.get_by_label("Purpose"))
    mine.press("Enter")
    mine.says("Submitted.")
    assert mine.pressed <= 40, mine.pressed
    mine.on(mine.button("Withdraw"))
    mine.says("Withdrawn.")
