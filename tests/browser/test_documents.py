"""User data in a real browser: an administrator looks, the owner sees it, a guest opens what is shared."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.browser.documents import FILES, SALES
from tests.browser.portal import Portal, give_reason, log_in

pytestmark = pytest.mark.slow
PHONE = {"width": 390, "height": 800}
MINE = ("volumes", "volume", "reason", "folder", "folder-find", "find-in-each", "share", "my", "my-shared")
MINE += ("restore", "restored")
# What a screen reader needs, asked of the browser's own tree.
UNNAMED = """() => [...document.querySelectorAll("a, button, input:not([type=hidden]), select, progress")]
  .filter((one) => one.checkVisibility())
  .filter((one) => !(one.labels?.length || one.ariaLabel || one.textContent.trim()))
  .map((one) => one.outerHTML)"""


@pytest.fixture(scope="module")
def office(browser: Browser, portal: Portal) -> Iterator[Page]:
    """A page on which the administrator is logged in and has said why they look."""
    context = browser.new_context(locale="en", viewport={"width": 1280, "height": 800})
    page = log_in(context, portal)
    give_reason(page, portal, "search for a lost quotation")
    yield page
    context.close()


@pytest.fixture
def employee(browser: Browser, portal: Portal) -> Iterator[Callable[..., Page]]:
    """`employee("sato")`: a page on which they are logged in, on a telephone."""
    contexts: list[BrowserContext] = []

    def make(name: str, *, javascript: bool = True) -> Page:
        context = browser.new_context(locale="en", viewport=PHONE, java_script_enabled=javascript)  # type: ignore[arg-type]  # two numbers
        contexts.append(context)
        page = context.new_page()
        page.goto(f"{portal.url}/login/")
        page.fill("#id_username", name)
        page.fill("#id_password", f"{name} has a password")
        page.click("main form button")
        return page

    yield make
    for context in contexts:
        context.close()


def test_an_administrator_walks_the_tree_to_a_file_and_saves_it(
    office: Page, portal: Portal, tmp_path: Path
) -> None:
    office.goto(portal.addresses()["folder"])
    expect(office.get_by_text("search for a lost quotation")).to_be_visible()
    expect(office.get_by_text("invoice\\u202excod.exe")).to_be_visible()

    office.get_by_role("link", name=SALES, exact=True).click()
    with office.expect_download() as saving:
        office.get_by_role("link", name="見積 2026.xlsx").click()
    saving.value.save_as(tmp_path / "saved")

    assert saving.value.suggested_filename == "見積 2026.xlsx"
    assert (tmp_path / "saved").read_bytes() == FILES["営業/見積 2026.xlsx".encode()]


def test_an_owner_sees_on_the_open_page_that_somebody_looks(
    office: Page, portal: Portal, employee: Callable[..., Page]
) -> None:
    mine = employee("sato")
    expect(mine.locator("html")).to_have_attribute("data-live", "on", timeout=30_000)
    mine.evaluate("window.loadedOnce = true")

    office.goto(f"{portal.addresses()['folder-find']}&name=menu".replace("name=%E8%A6%8B%E7%A9%8D&", ""))
    expect(office.get_by_role("link", name="caf\\xe9 menu.txt")).to_be_visible()

    expect(mine.get_by_role("row").filter(has_text="menu")).to_contain_text("searched for a name")
    assert mine.evaluate("window.loadedOnce") is True


def test_an_employee_opens_what_is_shared_without_javascript_and_a_third_does_not(
    portal: Portal, employee: Callable[..., Page], tmp_path: Path
) -> None:
    guest, third = employee("kato", javascript=False), employee("mori", javascript=False)

    guest.get_by_role("link", name=SALES).click()
    shared = guest.url
    with guest.expect_download() as saving:
        guest.get_by_role("link", name="地図.png").click()
    saving.value.save_as(tmp_path / "map")

    assert (tmp_path / "map").read_bytes() == FILES["営業/🗾 地図.png".encode()]
    refused = third.goto(shared)
    assert refused is not None
    assert refused.status == 403
    assert guest.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


def test_a_folder_is_shared_by_keyboard_and_stays_pending_until_the_pc_has_done_it(
    office: Page, portal: Portal
) -> None:
    office.goto(portal.addresses()["share"])
    office.get_by_label("With whom").fill("ito")
    office.get_by_label("Reason").fill("cover")

    office.get_by_label("Reason").press("Enter")

    expect(office.get_by_role("status")).to_contain_text("It is done once the PC has applied it.")
    expect(office.locator("#live")).to_contain_text("pending")
    expect(office.get_by_role("row").filter(has_text="ito")).to_be_visible()


def test_every_page_has_its_landmarks_and_a_name_for_each_control(office: Page, portal: Portal) -> None:
    office.context.add_cookies([{"name": "django_language", "value": "ja", "url": portal.url}])
    addresses = portal.addresses()
    for name in MINE:
        office.goto(addresses[name])
        assert office.get_by_role("heading", level=1).count() == 1, name
        assert office.get_by_role("main").count() == 1, name
        assert office.evaluate(UNNAMED) == [], name
