"""Every door, knocked at by a stranger: none opens but those that must, and each is in docs/routes.md."""

import ast
import re
from collections.abc import Iterator
from typing import Any

import pytest
from asgiref.testing import ApplicationCommunicator
from django.test import Client as Browser
from django.urls import URLPattern, URLResolver, get_resolver

from clients.enrolment.signing import KeyStore
from config.asgi import application, sockets
from tests.lab.server import ROOT

# Doors that answer 2xx to anybody: a form, a sign of life, what a PC pins.
OPEN = {"/login/", "/admin/login/", "/healthz", "/node/v1/installation"}
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
SAMPLES = {
    "uuid:pk": "00000000-0000-4000-8000-000000000000",
    "slug:pk": "abc",
    "bytes:path": "-",
    "slug:app": "imaging",
    "str:digest": "0" * 64,
    "str:permission": "0.0.0",
    "str:app_label": "clients",
}
RAW_HTTP = (
    ("POST", "/node/v1/heartbeat", 401),
    ("GET", f"/packs/0.0.0/{'0' * 64}", 403),
    ("GET", "/packs/", 403),
    ("PUT", f"/api/v1/packs/{'0' * 64}/", 401),
    ("POST", "/api/v1/packs/", 404),
)


def routes(patterns: list[Any] | None = None, before: str = "/") -> Iterator[str]:
    """Every address of Django, as its pattern is written."""
    for item in get_resolver().url_patterns if patterns is None else patterns:
        route = before + str(item.pattern).removeprefix("^").removesuffix("$").replace("\\Z", "")
        if isinstance(item, URLResolver):
            yield from routes(item.url_patterns, route)
        elif isinstance(item, URLPattern):
            yield route


def example(route: str) -> str:
    """An address that the pattern takes."""
    route = re.sub(r"\(\?P<\w+>[^()]*\)|\(\?P<\w+>.*\)", "1", route)
    return re.sub(r"<([^>]+)>", lambda found: SAMPLES.get(found[1], "1"), route)


def plain(route: str) -> str:
    """A pattern as docs show it: `/pcs/<pk>/`."""
    return re.sub(r"<\w+:(\w+)>", r"<\1>", re.sub(r"\(\?P<(\w+)>[^()]*\)", r"<\1>", route))


def raw_paths() -> set[str]:
    """What `config.asgi` itself looks for."""
    tree = ast.parse((ROOT / "config" / "asgi.py").read_text())
    texts = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}
    paths = {text for text in texts if isinstance(text, str) and re.fullmatch(r"/[a-z0-9/-]+", text)}
    return paths | {f"/{route.pattern}" for route in sockets.routes}


def scope_of(method: str, path: str) -> dict[str, Any]:
    """A connection as an ASGI server hands it over."""
    return {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(b"content-length", b"2"), (b"host", b"testserver"), (b"origin", b"http://testserver")],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
        "scheme": "http",
        "http_version": "1.1",
    }


@pytest.mark.parametrize("method", METHODS)
def test_a_stranger_is_let_in_nowhere(installation: KeyStore, method: str) -> None:
    browser = Browser(raise_request_exception=False)
    answers = {
        path: browser.generic(method, path, b"{}", content_type="application/json").status_code
        for path in sorted({example(route) for route in routes()})
    }

    assert {path for path, status in answers.items() if status < 300} <= OPEN
    assert {path: status for path, status in answers.items() if status >= 500} == {}


@pytest.mark.parametrize(("method", "path", "status"), RAW_HTTP)
async def test_a_stranger_is_let_in_by_no_raw_door(
    redis_url: str, method: str, path: str, status: int
) -> None:
    door = ApplicationCommunicator(application, scope_of(method, path))
    await door.send_input({"type": "http.request", "body": b"{}"})

    answer = await door.receive_output(timeout=10)

    assert answer["status"] == status


@pytest.mark.parametrize("path", ["/node/v1/nudge", "/live/?topic=clients"])
async def test_a_stranger_gets_no_socket(redis_url: str, path: str) -> None:
    place, _mark, query = path.partition("?")
    door = ApplicationCommunicator(
        application, {**scope_of("GET", place), "type": "websocket", "query_string": query.encode()}
    )
    await door.send_input({"type": "websocket.connect"})

    assert (await door.receive_output(timeout=10))["type"] == "websocket.close"


def test_every_door_is_documented() -> None:
    text = (ROOT / "docs" / "routes.md").read_text()
    documented = set(re.findall(r"`(?:[A-Z, ]+ )?(/[^`\s]*)`", text))
    shown = {plain(route) for route in routes() if not route.startswith("/admin/")} | {"/admin/"}

    assert shown - documented == set()
    for path in raw_paths():
        assert any(door.startswith(path) for door in documented), path


def test_no_door_is_documented_that_is_not_there() -> None:
    text = (ROOT / "docs" / "routes.md").read_text()
    documented = set(re.findall(r"^\| `(/[^`\s]*)`", text, re.M))
    shown = {plain(route) for route in routes()} | {"/admin/"}

    assert {door for door in documented - shown if not door.startswith(tuple(raw_paths()))} == set()
