"""The PC's own page in a real browser, by nothing but a keyboard, as narrow as a telephone."""

import pytest

from tests.browser.keyboard import Keyboard
from tests.browser.portal import chromium
from tests.vrasnode.checkout.cast import PIN, LeasePc
from tests.vrasnode.checkout.test_page import GATEWAY, Browser, browser
from vrasnode.localpage.part import LOCAL_NAME
from vrasnode.wire.checkout import LeaseState
from vrasnode.wire.mydoc import VolumeState

__all__ = ["browser"]
pytestmark = pytest.mark.slow


def test_a_pin_is_chosen_entered_and_the_key_returned_by_keyboard(pc: LeasePc, browser: Browser) -> None:
    browser.shown._visitors.add("127.0.0.1")  # this browser has no machine of its own
    volume = pc.opened().volume
    lease = pc.lend(volume)
    with chromium(f"--host-resolver-rules=MAP {LOCAL_NAME} {GATEWAY.ip}:{browser.shown.port}") as chrome:
        page = chrome.new_page(viewport={"width": 390, "height": 800}, locale="en")
        keys = Keyboard(page, body="body")
        page.goto(f"http://{LOCAL_NAME}/")

        keys.fill("New PIN", PIN)
        keys.fill("The same PIN again", "12")
        keys.press("Enter")
        keys.says("The two PINs are not the same")
        keys.fill("New PIN", PIN)
        keys.fill("The same PIN again", PIN)
        keys.press("Enter")
        keys.says("The PIN is set")
        pc.leave()
        page.goto(f"http://{LOCAL_NAME}/")
        keys.fill("PIN", PIN)
        keys.press("Enter")
        keys.says("The PIN is right")
        pc.until_state(VolumeState.OPEN, volume)
        page.goto(f"http://{LOCAL_NAME}/")
        keys.on(page.get_by_role("checkbox"), "Space")
        keys.press("Enter")
        keys.says("is returned")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390

    pc.until(lambda: pc.lease(lease).state is LeaseState.ENDED)
    assert pc.is_dead(volume)
