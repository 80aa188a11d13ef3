"""Whoever has lost a PC says so on a phone."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.portal import Portal, log_in

pytestmark = pytest.mark.slow
PC = "pc-design-01"
_FOUND = f"""
from django.utils import timezone
from clients.models import Client
from mydoc.losses import losing
for client in Client.objects.filter(name="{PC}", state="lost"):
    losing.find_again(client, reason="there", now=timezone.now())
"""


@pytest.fixture
def phone(browser: Browser, portal: Portal) -> Iterator[Page]:
    """A narrow page on which somebody is logged in who has a PC; it is found again afterwards."""
    context = browser.new_context(locale="ja", viewport={"width": 390, "height": 800})
    yield log_in(context, portal)
    context.close()
    portal.shell(_FOUND)


def test_a_pc_is_declared_lost_on_a_phone_after_its_name_was_typed(phone: Page, portal: Portal) -> None:
    phone.goto(portal.addresses()["my"])
    phone.locator("a[href$='/lost/']").first.click()
    expect(phone.locator("main")).to_contain_text(PC)
    assert phone.evaluate("document.documentElement.scrollWidth") <= 390

    phone.locator("#id_reason").fill("タクシーに置き忘れた")
    phone.locator("#id_seen_at").fill("2026-11-26T18:30")
    phone.locator("#id_confirm").fill("pc")
    phone.locator("main form[method=post] button").click()
    expect(phone.locator("main [role=alert]")).to_contain_text(PC)

    phone.locator("#id_confirm").fill(PC)
    phone.locator("main form[method=post] button").click()

    expect(phone).to_have_url(portal.addresses()["my"])
    expect(phone.locator("a[href$='/lost/']")).to_have_count(0)
    expect(phone.locator(".state-danger").first).to_be_visible()
