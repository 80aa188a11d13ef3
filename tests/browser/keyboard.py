"""Whoever has no mouse: goes by Tab, and sees at each stop where they are."""

import time
from dataclasses import dataclass

from playwright.sync_api import Locator, Page, expect

MOST_STOPS = 60  # of the Tab key, on the longest page
PATIENCE_MS = 30_000
# What has the focus is there for the eye, and shows that it has it; else its text.
HIDDEN = """() => {
  const one = document.activeElement;
  if (!one || one === document.body || one === document.documentElement) return "";
  if (!one.matches(":focus")) return "";  // a button inside of a date or a time: the browser shows it
  const look = getComputedStyle(one), box = one.getBoundingClientRect();
  const ring = (look.outlineStyle !== "none" && look.outlineWidth !== "0px") || look.boxShadow !== "none";
  return ring && box.width > 1 && box.height > 1 && box.right <= innerWidth ? "" : one.outerHTML;
}"""


@dataclass
class Keyboard:
    """At one page. `pressed` counts the keys; `body` is where the page speaks."""

    page: Page
    pressed: int = 0
    body: str = "main"

    def press(self, key: str) -> None:
        self.pressed += 1
        self.page.keyboard.press(key)

    def to(self, target: Locator) -> None:
        """Goes there by Tab."""
        for _ in range(MOST_STOPS):
            if target.evaluate("(one) => one === document.activeElement"):
                return
            self.press("Tab")
            self._sees()
        raise AssertionError(f"{target} is never reached")

    def _sees(self) -> None:
        deadline = time.monotonic() + PATIENCE_MS / 1000
        while hidden := self.page.evaluate(HIDDEN):  # what fades in needs a moment
            assert time.monotonic() < deadline, hidden
            self.page.wait_for_timeout(50)

    def on(self, target: Locator, key: str = "Enter") -> None:
        self.to(target)
        self.press(key)

    def fill(self, label: str, text: str) -> None:
        self.to(self.page.get_by_label(label, exact=True))
        self.pressed += len(text)
        self.page.keyboard.type(text)

    def button(self, name: str) -> Locator:
        return self.page.get_by_role("button", name=name)

    def link(self, name: str) -> Locator:
        return self.page.get_by_role("link", name=name)

    def says(self, words: str) -> None:
        expect(self.page.locator(self.body)).to_contain_text(words, timeout=PATIENCE_MS)
