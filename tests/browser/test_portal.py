"""The portal in a real browser: live pages, the strict policy, narrow screens."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect

from tests.browser.portal import Portal, give_reason, log_in

pytestmark = pytest.mark.slow


@pytest.fixture
def page(browser: Browser, portal: Portal) -> Iterator[Page]:
    """A page on which the administrator is logged in."""
    context = browser.new_context(locale="en", viewport={"width": 1280, "height": 800})
    yield log_in(context, portal)
    context.close()


def test_a_distribution_page_follows_a_pc_without_being_loaded_again(page: Page, portal: Portal) -> None:
    page.goto(portal.addresses()["distribution"])
    expect(page.locator("html")).to_have_attribute("data-live", "on", timeout=30_000)
    page.evaluate("window.loadedOnce = true")
    row = page.get_by_role("row").filter(has_text="pc-sales-03")

    portal.act("fetch", "pc-sales-03", 87)
    expect(row).to_contain_text("382.8 MB")

    portal.act("boot", "pc-sales-03")
    expect(row).to_contain_text("booted")
    assert page.evaluate("window.loadedOnce") is True


def test_a_page_finds_its_way_back_after_the_server_was_away(page: Page, portal: Portal) -> None:
    page.goto(portal.addresses()["distribution"])
    expect(page.locator("html")).to_have_attribute("data-live", "on", timeout=30_000)

    portal.web.kill()
    expect(page.locator("html")).to_have_attribute("data-live", "off", timeout=30_000)
    portal.act("fetch", "pc-sales-05", 50)
    portal.start_web()

    row = page.get_by_role("row").filter(has_text="pc-sales-05")
    expect(row).to_contain_text("fetching", timeout=30_000)


def test_rows_that_somebody_is_choosing_are_not_taken_away(page: Page, portal: Portal) -> None:
    page.goto(f"{portal.url}/pcs/?q=new")
    expect(page.locator("html")).to_have_attribute("data-live", "on", timeout=30_000)
    box = page.get_by_role("checkbox", name="pc-new-01")
    box.check()

    portal.act("enrol_more", "pc-new-03")
    with page.expect_response(lambda answer: "/pcs/" in answer.url) as fetched:
        # Still chosen: the part is fetched again only when nothing is.
        assert box.is_checked()
        box.uncheck()

    assert fetched.value.ok
    expect(page.get_by_role("link", name="pc-new-03")).to_be_visible()


def test_no_page_breaks_the_policy_or_says_an_error(page: Page, portal: Portal) -> None:
    said: list[str] = []

    def hear(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            said.append(f"{page.url}: {message.text}")

    give_reason(page, portal)
    page.on("console", hear)
    page.on("pageerror", lambda error: said.append(f"{page.url}: {error}"))
    for address in portal.addresses().values():
        page.goto(address)
        page.wait_for_load_state("networkidle")

    assert said == []


@pytest.mark.parametrize("language", ["ja", "en"])
def test_no_page_scrolls_sideways_on_a_telephone(page: Page, portal: Portal, language: str) -> None:
    give_reason(page, portal)
    page.set_viewport_size({"width": 390, "height": 800})
    page.context.add_cookies([{"name": "django_language", "value": language, "url": portal.url}])

    for name, address in portal.addresses().items():
        page.goto(address)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, name


def test_the_menu_opens_on_a_telephone_by_keyboard(page: Page, portal: Portal) -> None:
    page.set_viewport_size({"width": 390, "height": 800})
    page.goto(portal.url)
    link = page.get_by_role("link", name="Audit log")
    expect(link).to_be_hidden()

    page.get_by_role("button", name="Menu").focus()
    page.keyboard.press("Enter")

    expect(link).to_be_visible()


def test_dark_follows_the_system_until_one_chooses(browser: Browser, portal: Portal) -> None:
    context = browser.new_context(color_scheme="dark", locale="en")
    page = log_in(context, portal)
    theme = "document.documentElement.dataset.bsTheme"
    assert page.evaluate(theme) == "dark"

    page.get_by_role("button", name="Dark or light").click()
    page.reload()
    assert page.evaluate(theme) == "light"
    context.close()


def test_the_pages_work_without_javascript(browser: Browser, portal: Portal) -> None:
    context = browser.new_context(java_script_enabled=False, locale="en")
    page = log_in(context, portal)

    page.goto(portal.addresses()["rollback"])
    page.get_by_role("button", name="Roll back").click()

    expect(page.get_by_role("heading", level=1)).to_contain_text("office-desktop@1")
    context.close()


def test_a_pcs_page_follows_a_stick_that_is_plugged(page: Page, portal: Portal) -> None:
    page.goto(portal.addresses()["pc"])
    expect(page.locator("html")).to_have_attribute("data-live", "on", timeout=30_000)
    row = page.get_by_role("row").filter(has=page.get_by_text("serial number AAAA0002"))
    expect(row).not_to_contain_text("present")

    portal.act("plug", "pc-sales-04")

    expect(row).to_contain_text("present")


def test_a_policy_is_changed_and_saved_without_javascript(browser: Browser, portal: Portal) -> None:
    context = browser.new_context(java_script_enabled=False, locale="en")
    page = log_in(context, portal)
    page.goto(portal.addresses()["policy-pc"])

    page.get_by_role("link", name="New rule").click()
    page.get_by_label("Verdict").select_option("pass")
    page.get_by_label("Bus").select_option("usb")
    page.get_by_label("Vendor and product").fill("0930:6545")
    page.get_by_label("Serial number", exact=True).fill("AAAA0002")
    page.get_by_role("button", name="Take over").click()
    page.get_by_role("button", name="Rule 2 (new) up").click()
    page.get_by_role("link", name="See what would change, then save").click()
    row = page.get_by_role("row").filter(has_text="1-2")
    expect(row).to_contain_text("read-only")
    expect(row).to_contain_text("passed through")
    page.get_by_role("button", name="Save").click()

    expect(page.get_by_role("status")).to_contain_text("Saved. The PCs are told.")
    expect(page.locator("#rule-1")).to_contain_text("AAAA0002")
    context.close()
