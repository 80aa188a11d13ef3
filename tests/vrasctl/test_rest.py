"""What is repeated towards a server in trouble, and what is never sent."""

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from vrasctl import rest
from vrasctl.outcome import Exit, NotLoggedIn, ServerRefused, exit_code
from vrasctl.rest import Rest
from vrasnode.errors import Refused, Unreachable

Reply = tuple[int, str]
PROBLEM = '{"code": "store_full", "detail": "Free some space."}'


class Scripted(ThreadingHTTPServer):
    """Answers with the given replies, one after the other, and notes what it was asked."""

    block_on_close = False  # connections that are kept open are the client's
    replies: list[Reply]
    asked: list[tuple[str, str, bytes]]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Scripted

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.asked.append((self.command, self.path, body))
        status, text = self.server.replies.pop(0)
        self.send_response(status)
        if status == 302:
            self.send_header("Location", text)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    do_GET = do_POST = do_PUT = do_DELETE = _answer  # noqa: N815

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        return


@pytest.fixture
def scripted() -> Iterator[Callable[..., Scripted]]:
    """Makes a server that gives these replies."""
    started: list[Scripted] = []

    def start(*replies: Reply) -> Scripted:
        server = Scripted(("127.0.0.1", 0), _Handler)
        server.replies, server.asked = list(replies), []
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        started.append(server)
        return server

    yield start
    for server in started:
        server.shutdown()
        server.server_close()


def _rest(server: Scripted, slept: list[float] | None = None) -> Rest:
    slept = slept if slept is not None else []
    return Rest(f"http://127.0.0.1:{server.server_port}", token="vras_x.secret", sleep=slept.append)


def test_a_question_is_asked_again_with_growing_pauses(scripted: Callable[..., Scripted]) -> None:
    server = scripted((503, "busy"), (502, ""), (200, '{"fine": true}'))
    slept: list[float] = []

    assert _rest(server, slept).get("/x") == {"fine": True}
    assert slept == list(rest.QUICK_S[:2])


def test_bytes_are_sent_from_their_start_at_each_try(scripted: Callable[..., Scripted]) -> None:
    server = scripted((500, ""), (201, "{}"))
    parts = [b"a" * 300_000, b"b"]

    _rest(server).put_bytes("/pack", lambda: map(memoryview, parts), length=300_001)

    assert [body for _, _, body in server.asked] == [b"".join(parts)] * 2


def test_an_act_that_was_heard_is_not_repeated(scripted: Callable[..., Scripted]) -> None:
    server = scripted((502, ""))

    with pytest.raises(Unreachable) as raised:
        _rest(server).post("/distributions", {})

    assert len(server.asked) == 1
    assert exit_code(raised.value) is Exit.UNREACHABLE


def test_the_servers_own_words_and_code_are_kept(scripted: Callable[..., Scripted]) -> None:
    server = scripted(
        (507, PROBLEM), (403, '{"code": "not_authenticated", "detail": "Who?"}'), (404, "<html>")
    )

    with pytest.raises(ServerRefused, match=r"Free some space. \[store_full\]") as full:
        _rest(server).get("/x")
    with pytest.raises(NotLoggedIn):
        _rest(server).get("/x")
    with pytest.raises(ServerRefused, match="address of the server itself"):
        _rest(server).get("/x")
    assert exit_code(full.value) is Exit.REFUSED


def test_a_redirect_does_not_take_the_token_along(scripted: Callable[..., Scripted]) -> None:
    other = scripted()
    server = scripted((302, f"http://127.0.0.1:{other.server_port}/"))

    with pytest.raises(ServerRefused):
        _rest(server).get("/x")

    assert other.asked == []


def test_what_is_gone_already_is_well_deleted(scripted: Callable[..., Scripted]) -> None:
    server = scripted((404, '{"code": "not_found", "detail": "Gone."}'))

    _rest(server).delete("/x")

    assert server.asked[0][:2] == ("DELETE", "/x")


@pytest.mark.parametrize(
    "text", ["vras.example", "ftp://vras.example", "http://", "https://me:pw@vras.example"]
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(Refused) as raised:
        rest.server_url(text)

    assert raised.value.code == "bad_server"


@pytest.mark.parametrize(
    ("url", "risky"),
    [("http://vras.example", True), ("https://vras.example", False), ("http://127.0.0.1:8000", False)],
)
def test_passwords_over_plain_http_are_a_risk_beyond_this_machine(url: str, risky: bool) -> None:
    assert rest.is_plain_and_far(url) is risky
