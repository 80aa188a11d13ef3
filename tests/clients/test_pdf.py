"""Reports on paper: what is set fetches nothing, and costs no more than its bounds."""

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from clients import pdf
from clients.errors import Refusal
from tests.papers import text_of

PAGE = '<link rel="stylesheet" href="static:css/paper.css"><h1>{{ title }}</h1>'


@pytest.fixture
def templates(settings: Any, tmp_path: Path) -> Path:
    """A folder of templates of this test."""
    settings.TEMPLATES = [{**settings.TEMPLATES[0], "DIRS": [tmp_path]}]
    return tmp_path


@pytest.fixture
def listener() -> Iterator[tuple[str, list[str]]]:
    """Somebody on the network, and what was asked of him."""
    asked: list[str] = []

    class Door(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, *_words: object) -> None: ...

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Door)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    server.server_close()


def test_a_template_becomes_a_pdf_in_both_languages(templates: Path) -> None:
    (templates / "a.html").write_text('{% load i18n %}<h1>{% translate "Reason" %} {{ title }}</h1>')

    texts = {code: text_of(pdf.made("a.html", {"title": "見積"}, language=code)) for code in ("en", "ja")}

    assert "Reason 見積" in texts["en"]
    assert "理由 見積" in texts["ja"]


def test_nothing_is_fetched_from_the_network_or_this_machine(
    templates: Path, listener: tuple[str, list[str]]
) -> None:
    address, asked = listener
    (templates / "secret.css").write_text("h1::after { content: 'taken' }")
    linked = [
        address,
        f"file://{templates}/secret.css",
        f"static:../../..{templates}/secret.css",
        "data:text/css,",
    ]
    links = "".join(f'<link rel="stylesheet" href="{one}"><img src="{one}/x.png">' for one in linked)
    (templates / "a.html").write_text(PAGE + links)

    text = text_of(pdf.made("a.html", {"title": "still there"}, language="en"))

    assert "still there" in text
    assert "taken" not in text
    assert asked == []


def test_what_takes_too_long_is_ended_and_said(templates: Path) -> None:
    (templates / "a.html").write_text("<table>" + "<tr><td>x" * 20_000)

    with pytest.raises(Refusal) as refused:
        pdf.made("a.html", {}, language="en", limit_s=0.2)

    assert refused.value.code == "pdf_too_slow"
    assert pdf._turns.acquire(blocking=False), "its turn was not given back"
    pdf._turns.release()


def test_more_at_once_than_the_server_bears_are_refused(templates: Path) -> None:
    (templates / "a.html").write_text(PAGE)
    for _turn in range(pdf.AT_ONCE):
        assert pdf._turns.acquire(blocking=False)
    try:
        with pytest.raises(Refusal) as refused:
            pdf.made("a.html", {}, language="en")
    finally:
        pdf._turns.release(pdf.AT_ONCE)

    assert (refused.value.code, refused.value.status) == ("pdf_busy", 503)
