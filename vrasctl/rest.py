"""The server as this program sees it. The only module that speaks HTTP.

Calls that may be repeated are, with growing pauses, when the connection fails or the server is in trouble; a
call that is not is repeated only when it was surely not heard. No redirect is followed: the token goes to the
server that it is for and to no other.
"""

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import urllib3
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError

from vrasctl.outcome import NotLoggedIn, ServerRefused
from vrasnode.errors import Refused, Unreachable

Body = bytes | Iterable[bytes | memoryview]
Query = str | int | bool | None

CONNECT_S = 10.0  # also the longest that one piece of a body may take to leave
ANSWER_S = 120.0
PIECE_BYTES = 256 << 10
PAGE = 1000
QUICK_S = (0.2, 0.5, 1.0)
PATIENT_S = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0)  # a server that is started again answers within these
_TROUBLE = {500, 502, 503, 504}
_WHO_ARE_YOU = {"authentication_failed", "not_authenticated"}  # also the codes of a 403
_OCTETS = "application/octet-stream"


def server_url(text: str) -> str:
    """The server's address without a slash at its end. Raises Refused(bad_server)."""
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.username:
        raise Refused("bad_server", f"{text!r} is not the address of a server, such as https://vras.example.")
    return text.rstrip("/")


def is_plain_and_far(url: str) -> bool:
    """Whether passwords and tokens would travel unencrypted to another machine."""
    parts = urlsplit(url)
    return parts.scheme == "http" and parts.hostname not in ("127.0.0.1", "::1", "localhost")


def segment(name: object) -> str:
    """A name as one part of a path."""
    return quote(str(name), safe="")


class Rest:
    """One server, asked with one token. Safe to use from several threads.

    `pauses_s`: how long to wait before each repetition of a call that may be repeated.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        ca_file: str | None = None,
        pauses_s: Sequence[float] = QUICK_S,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.url = server_url(url)
        self.pauses_s = pauses_s
        self._headers = {"Accept": "application/json", "User-Agent": "vrasctl"}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"
        self._sleep = sleep
        timeout = urllib3.Timeout(connect=CONNECT_S, read=ANSWER_S)
        self._pool = urllib3.PoolManager(ca_certs=ca_file, timeout=timeout, retries=False, maxsize=4)

    def get(self, path: str, **query: Query) -> Any:
        """The JSON at `path`."""
        return json.loads(self._repeatable("GET", _with_query(path, query)).data)

    def get_bytes(self, path: str) -> bytes:
        """The bytes at `path`."""
        return self._repeatable("GET", path, headers={"Accept": "*/*"}).data

    def every(self, path: str, **query: Query) -> Iterator[dict[str, Any]]:
        """All rows of a list, page by page."""
        offset = 0
        while True:
            page = self.get(path, **query, limit=PAGE, offset=offset)
            yield from page["results"]
            offset += len(page["results"])
            if not page["results"] or offset >= page["count"]:
                return

    def find(self, path: str, **query: Query) -> dict[str, Any] | None:
        """The first row of a list, or None."""
        return next(iter(self.get(path, **query, limit=1)["results"]), None)

    def post(self, path: str, body: object = None) -> Any:
        """Acts; the JSON of the answer. Repeated only when the server did not hear it."""
        return _json(self._send("POST", path, json=body))

    def patch(self, path: str, body: object) -> Any:
        return _json(self._repeatable("PATCH", path, json=body))

    def put(self, path: str, body: object, *, match: str) -> Any:
        """Replaces what is there if it is what `match` (an ETag, or *) names; the JSON of the answer.
        Repeated only when the server did not hear it: what was heard is another one by then."""
        return _json(self._send("PUT", path, json=body, headers={"If-Match": match}))

    def delete(self, path: str) -> None:
        """Deletes what is there; that it is gone already is well."""
        try:
            self._repeatable("DELETE", path)
        except ServerRefused as error:
            if error.status != 404:
                raise

    def post_bytes(self, path: str, data: bytes, **query: Query) -> tuple[int, Any]:
        """Acts on bytes; status and JSON of the answer."""
        answer = self._send("POST", _with_query(path, query), body=data, headers={"Content-Type": _OCTETS})
        return answer.status, _json(answer)

    def post_text(self, path: str, text: str) -> Any:
        """A question in plain text; the JSON of the answer."""
        headers = {"Content-Type": "text/plain; charset=utf-8"}
        return _json(self._repeatable("POST", path, body=text.encode, headers=headers))

    def ask_bytes(self, path: str, data: bytes) -> bytes:
        """A question in bytes, answered in bytes; may be asked again."""
        headers = {"Content-Type": _OCTETS, "Accept": "*/*"}
        return self._repeatable("POST", path, body=lambda: data, headers=headers).data

    def put_bytes(self, path: str, parts: Callable[[], Iterable[memoryview]], *, length: int) -> Any:
        """Stores bytes under a name of their own; `parts` gives them from the start, once per try."""
        headers = {"Content-Type": _OCTETS, "Content-Length": str(length)}
        return _json(self._repeatable("PUT", path, body=lambda: _pieces(parts()), headers=headers))

    def _send(self, method: str, path: str, **call: Any) -> urllib3.BaseHTTPResponse:
        for pause in (*self.pauses_s, None):
            try:
                return self._once(method, path, **call)
            except Unreachable as error:
                if pause is None or not isinstance(error.__cause__, NewConnectionError | ConnectTimeoutError):
                    raise
            self._sleep(pause)
        raise AssertionError

    def _repeatable(
        self, method: str, path: str, *, body: Callable[[], Body] | None = None, **call: Any
    ) -> urllib3.BaseHTTPResponse:
        for pause in (*self.pauses_s, None):
            try:
                return self._once(method, path, body=body() if body else None, **call)
            except (Unreachable, ServerRefused) as error:
                again = isinstance(error, Unreachable) or error.status in _TROUBLE
                if pause is None or not again:
                    raise
            self._sleep(pause)
        raise AssertionError

    def _once(
        self, method: str, path: str, *, headers: Mapping[str, str] | None = None, **call: Any
    ) -> urllib3.BaseHTTPResponse:
        call = {name: value for name, value in call.items() if value is not None}
        try:
            answer = self._pool.request(
                method, self.url + path, headers={**self._headers, **(headers or {})}, redirect=False, **call
            )
        except HTTPError as error:
            raise Unreachable("unreachable", f"{self.url} cannot be reached: {_reason(error)}.") from error
        if not 200 <= answer.status < 300:
            raise _refusal(answer, self.url)
        return answer


def _with_query(path: str, query: Mapping[str, Query]) -> str:
    given = {name: value for name, value in query.items() if value is not None}
    return f"{path}?{urlencode(given)}" if given else path


def _pieces(parts: Iterable[memoryview]) -> Iterator[memoryview]:
    """Small pieces: the time-out of a socket is for each of them, so a slow line is no error."""
    for part in parts:
        for start in range(0, len(part), PIECE_BYTES):
            yield part[start : start + PIECE_BYTES]


def _json(answer: urllib3.BaseHTTPResponse) -> Any:
    return json.loads(answer.data) if answer.data else None


def _refusal(answer: urllib3.BaseHTTPResponse, url: str) -> Refused | Unreachable:
    try:
        problem = json.loads(answer.data)
        code, words = str(problem["code"]), str(problem["detail"])
    except (ValueError, KeyError, TypeError):
        if answer.status >= 500:
            return Unreachable("server_error", f"{url} is in trouble (HTTP {answer.status}). See its log.")
        return ServerRefused(
            "not_a_vras_server",
            f"{url} answered HTTP {answer.status} without a reason. Is it the address of the server itself?",
            status=answer.status,
        )
    if answer.status == 401 or code in _WHO_ARE_YOU:
        return NotLoggedIn(code, words)
    return ServerRefused(code, words, status=answer.status)


def _reason(error: BaseException) -> str:
    """The system's own words, without addresses of Python objects."""
    cause: BaseException = error
    while cause.__cause__ or cause.__context__:
        cause = cause.__cause__ or cause.__context__ or cause
    return (cause.strerror or str(cause)) if isinstance(cause, OSError) else str(cause).split(": ", 1)[-1]
