"""Makes the pictures of the pages: `python -m tests.browser.pictures [DIRECTORY [PAGE …]]`; by default all of
them, into docs/pictures."""

import base64
import sys
import tempfile
from collections.abc import Collection
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser, FloatRect

from tests.browser.portal import Portal, begin_draft, chromium, give_reason, log_in

WIDTHS = (1280, 390)
LANGUAGES = ("ja", "en")
MAX_HEIGHT = 1600
DARK = ("home", "distribution", "folder", "my")
_ENCODE = """async (url) => {
  const image = new Image();
  image.src = url;
  await image.decode();
  const canvas = document.createElement("canvas");
  canvas.width = image.width;
  canvas.height = image.height;
  canvas.getContext("2d").drawImage(image, 0, 0);
  return canvas.toDataURL("image/webp", 0.8);
}"""


def main(target: Path, only: Collection[str] = ()) -> None:
    """Every page (or these only) in both languages and widths, light; some of them dark too."""
    target.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix="openvras-pictures-") as scratch,
        chromium() as browser,
        Portal(Path(scratch)) as portal,
    ):
        pages = {name: at for name, at in portal.addresses().items() if not only or name in only}
        for width in WIDTHS:
            for language in LANGUAGES:
                _take(browser, portal, pages, target=target, width=width, language=language)
            dark = {name: pages[name] for name in DARK if name in pages}
            _take(browser, portal, dark, target=target, width=width, language="ja", scheme="dark")


def _take(
    browser: Browser,
    portal: Portal,
    pages: dict[str, str],
    *,
    target: Path,
    width: int,
    language: str,
    scheme: Literal["light", "dark"] = "light",
) -> None:
    context = browser.new_context(
        viewport={"width": width, "height": 800}, color_scheme=scheme, locale=language
    )
    context.add_cookies([{"name": "django_language", "value": language, "url": portal.url}])
    page = log_in(context, portal)
    begin_draft(page, portal)
    give_reason(page, portal)
    for name, address in pages.items():
        page.goto(address)
        suffix = "-dark" if scheme == "dark" else ""
        path = target / f"{name}-{language}-{width}{suffix}.webp"
        height: int = page.evaluate("document.documentElement.scrollHeight")
        clip = FloatRect(x=0, y=0, width=width, height=min(height, MAX_HEIGHT))
        path.write_bytes(_as_webp(browser, page.screenshot(full_page=True, clip=clip)))
    context.close()


def _as_webp(browser: Browser, picture: bytes) -> bytes:
    """A screenshot at a fifth of its bytes, by the browser's own encoder."""
    page = browser.new_page()
    try:
        url: str = page.evaluate(_ENCODE, "data:image/png;base64," + base64.b64encode(picture).decode())
    finally:
        page.close()
    return base64.b64decode(url.partition(",")[2])


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "docs/pictures"), sys.argv[2:])
