"""A checkout by nothing but a keyboard, as narrow as a telephone: asked for, approved, handed over, returned;
with JavaScript and without."""

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

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


def test_a_checkout_is_sent_back_mended_shortened_by_a_deputy_and_rejected_on_a_telephone_in_japanese(
    portal: Portal, browser: Browser
) -> None:
    portal.act("may_be_lent", "kato", "mori")
    contexts = [browser.new_context(locale="ja-JP", viewport=PHONE) for _who in range(3)]  # type: ignore[arg-type]  # two numbers
    names = ("kato", "mori", "ito")
    mine, theirs, stands_in = (
        there(context, portal, name) for context, name in zip(contexts, names, strict=True)
    )

    goes(mine, portal, "/my/checkouts/new/")
    for label, words in (("目的", "展示会"), ("持出し先", "幕張"), ("持出し中の連絡先", "090")):
        mine.get_by_label(label, exact=True).fill(words)
    presses(mine, "申請する")
    says(mine, "申請しました。")

    opens(theirs, portal, "展示会")
    theirs.get_by_label("理由・コメント").fill("どの展示会ですか")
    presses(theirs, "差し戻す")
    goes(mine, portal, "/my/checkouts/")
    says(mine, "どの展示会ですか")
    mine.get_by_role("link", name="修正").first.click()
    mine.get_by_label("目的", exact=True).fill("展示会 IT Week")
    presses(mine, "申請する")
    says(mine, "申請しました。")

    goes(theirs, portal, "/approvals/deputies/")
    theirs.get_by_label("ユーザー名").fill("ito")
    theirs.get_by_role("main").locator("form button.btn-primary").click()
    says(theirs, "伊藤")
    opens(stands_in, portal, "IT Week")
    until = stands_in.get_by_role("main").locator("input[type=datetime-local]")
    shorter = mine.locator("time").nth(1).get_attribute("datetime") or ""
    until.fill(f"{shorter[:10]}T12:34")
    presses(stands_in, "承認")
    goes(mine, portal, "/my/checkouts/")
    says(mine, "12:34")
    mine.get_by_role("button", name="返却").first.click()
    says(mine, "返却しました。")

    mine.get_by_role("main").get_by_role("link", name="前回").click()
    presses(mine, "申請する")
    says(mine, "申請しました。")
    opens(theirs, portal, "IT Week")
    theirs.get_by_label("理由・コメント").fill("その日は棚卸です")
    presses(theirs, "却下する")
    goes(mine, portal, "/my/checkouts/")
    says(mine, "その日は棚卸です")
    for context in contexts:
        context.close()


def there(context: BrowserContext, portal: Portal, name: str) -> Page:
    """A telephone on which this one is logged in."""
    page = context.new_page()
    page.goto(f"{portal.url}/login/?next=/my/")
    page.fill("#id_username", name)
    page.fill("#id_password", f"{name} has a password")
    page.click("main form button")
    expect(page).to_have_url(f"{portal.url}/my/", timeout=PATIENCE_MS)
    return page


def goes(page: Page, portal: Portal, path: str) -> None:
    """There, where nothing is wider than the telephone."""
    page.goto(portal.url + path)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


def opens(page: Page, portal: Portal, purpose: str) -> None:
    """The request with this purpose, from the inbox."""
    goes(page, portal, "/approvals/")
    page.get_by_role("row").filter(has_text=purpose).get_by_role("link").click()


def presses(page: Page, name: str) -> None:
    page.get_by_role("main").locator("button:visible").filter(has_text=name).last.click()


def says(page: Page, words: str) -> None:
    expect(page.locator("main")).to_contain_text(words, timeout=PATIENCE_MS)
