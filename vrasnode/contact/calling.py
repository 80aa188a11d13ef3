"""How this PC calls its server: one request after the other, over connections that are kept. The only
module that speaks HTTP.

Every request but the first two of an enrolment is signed by the PC's key (RFC 9421 manner, see
`wire.signatures`); where the installation says "mtls", the certificate is shown to the TLS front as well.
What the server is asked is in `server`, what its no means in `problems`.
"""

import base64
import secrets
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

import urllib3
from urllib3.exceptions import HTTPError, LocationParseError
from urllib3.util import Timeout
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException
from websockets.sync.client import connect

import vrasnode
from vrasnode import lowpriority
from vrasnode.contact.identity import Identity, checked_path, checked_url
from vrasnode.contact.marked import Pools
from vrasnode.contact.problems import gone, problem, refusal
from vrasnode.errors import Refused, Unreachable
from vrasnode.wire.codec import MAX_MESSAGE_BYTES
from vrasnode.wire.signatures import content_digest, signature_base, signature_input

CONNECT_S = 5.0
ANSWER_S = 15.0
NUDGE_POLL_S = 1.0
MAX_PROBLEM_BYTES = 64 << 10
JSON, SEALED = "application/json", "application/octet-stream"

# Only the first request of an enrolment goes to a server that TLS does not vouch for: the token's hash does.
urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)

# What lies in socket buffers when this process is killed has to be fetched again, so there is little of it.
_SMALL_BUFFER = (socket.SOL_SOCKET, socket.SO_RCVBUF, 128 << 10)


@dataclass(frozen=True, kw_only=True)
class Ask:
    """One request. `path` is behind the base address; an answer longer than `limit` bytes is refused. `dscp`:
    its packets are marked so (`lowpriority`)."""

    method: str
    path: str
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    limit: int = MAX_MESSAGE_BYTES
    signed: bool = True
    kind: str = JSON
    dscp: int = 0


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes


class Body:
    """The bytes of one range, read as they come."""

    def __init__(self, response: urllib3.BaseHTTPResponse, length: int) -> None:
        self._response = response
        self._left = length

    def read(self, count: int) -> bytes:
        """Exactly `count` bytes. Raises Unreachable(cut_off) when they do not come."""
        with _reachable():
            data = self._response.read(count)
        self._left -= len(data)
        if len(data) != count:
            raise Unreachable(
                "cut_off", f"The server broke off {self._left} bytes before the end of a range."
            )
        return data


class Caller:
    """Whoever calls one server. Safe to use from several threads.

    `clock` is Unix time in seconds; `clock_offset_s` is what has to be added to it to get the server's, known
    once the server refused a request for its time. `nonce` gives 128 random bits as hex.
    """

    def __init__(
        self,
        url: str,
        *,
        identity: Identity | None = None,
        clock: Callable[[], float] = time.time,
        nonce: Callable[[], str] = lambda: secrets.token_hex(16),
        answer_s: float = ANSWER_S,
    ) -> None:
        """Raises Refused(bad_server). Connects only when asked something."""
        self.url = checked_url(url)
        self.clock_offset_s = 0.0
        self._identity = identity
        self._clock = clock
        self._nonce = nonce
        self._timeout = Timeout(connect=CONNECT_S, read=answer_s)
        self._lock = threading.Lock()
        self._pools: dict[int, urllib3.PoolManager] = {}
        self._context: ssl.SSLContext | None = None
        self._pool_certificate: object = None

    def call(self, ask: Ask) -> Answer:
        """The server's yes. Its no is raised: Refused, or Unreachable where it may be another one later."""
        answer = self._once(ask)
        if ask.signed and answer.status == 401 and problem(answer.body).code == "clock_skew":
            self._take_time(answer.headers)
            answer = self._once(ask)
        if answer.status >= 300 and answer.status != 304:
            raise refusal(answer.status, answer.body)
        return answer

    def post(self, path: str, body: bytes, *, signed: bool = True, kind: str = JSON) -> bytes:
        """The body of the answer."""
        return self.call(Ask(method="POST", path=path, body=body, signed=signed, kind=kind)).body

    def content(self, path: str, *, limit: int) -> bytes:
        """A file that is there for this PC. Raises Unreachable(fetch_gone) when it is no longer there."""
        try:
            return self.call(Ask(method="GET", path=checked_path(path), limit=limit)).body
        except Refused as error:
            raise gone(error) from error

    @contextmanager
    def open_range(self, path: str, *, start: int, length: int, dscp: int = 0) -> Iterator[Body]:
        """A range of a file that needs no signature. Raises Unreachable(fetch_gone) when the permission in
        the path has ended or the file has moved, and Refused(no_ranges) when the server would send all of it:
        an update never becomes a full download."""
        headers = {"Range": f"bytes={start}-{start + length - 1}"}
        ask = Ask(method="GET", path=checked_path(path), headers=headers, signed=False, dscp=dscp)
        with _reachable():
            response = self._send(ask)
        try:
            if response.status != 206:
                if response.status == 200:
                    raise Refused("no_ranges", "The server does not serve parts of packs. Check its front.")
                raise gone(refusal(response.status, _read(response, MAX_PROBLEM_BYTES)))
            if not response.headers.get("Content-Range", "").startswith(
                f"bytes {start}-{start + length - 1}/"
            ):
                raise Unreachable("cut_off", "The server answered with another range than asked for.")
            yield Body(response, length)
            response.release_conn()
        finally:
            if response.connection is not None:  # not read to its end: nobody else can use it
                response.close()

    def listen(self, heard: Callable[[], None], *, stop: threading.Event) -> None:
        """Holds the nudge socket until `stop`; calls `heard` whenever it is time to look, and once at first,
        for what happened before is not repeated. Raises Unreachable or Refused when it ends otherwise."""
        url = "ws" + self.url.removeprefix("http") + "/node/v1/nudge"
        headers = self._signature("GET", self._target("/node/v1/nudge"), b"")
        context = self._tls() if url.startswith("wss") else None
        try:
            with connect(
                url,
                additional_headers=headers,
                ssl=context,
                compression=None,
                proxy=None,
                user_agent_header=_agent_name(),
                max_size=1 << 10,
                open_timeout=CONNECT_S,
                close_timeout=1,
            ) as nudges:
                heard()
                while not stop.is_set():
                    try:
                        word = nudges.recv(timeout=NUDGE_POLL_S)
                    except TimeoutError:
                        continue
                    if word == "look":
                        heard()
        except InvalidStatus as error:
            raise refusal(error.response.status_code, bytes(error.response.body or b"")) from error
        except (WebSocketException, ConnectionClosed, OSError) as error:
            raise Unreachable("no_socket", f"The server's nudge socket ended: {error}.") from error

    def close(self) -> None:
        """Lets go of all connections."""
        with self._lock:
            self._clear()

    def _once(self, ask: Ask) -> Answer:
        with _reachable():
            response = self._send(ask)
            return Answer(response.status, response.headers, _read(response, ask.limit))

    def _send(self, ask: Ask) -> urllib3.BaseHTTPResponse:
        headers = {"Accept-Encoding": "identity", "User-Agent": _agent_name(), **ask.headers}
        if ask.body:
            headers["Content-Type"] = ask.kind
        if ask.signed:
            headers |= self._signature(ask.method, self._target(ask.path), ask.body)
        return self._connections(ask.dscp).request(
            ask.method,
            self.url + ask.path,
            body=ask.body or None,
            headers=headers,
            preload_content=False,
            decode_content=False,
            redirect=False,
            retries=False,
        )

    def _target(self, path: str) -> str:
        return urlsplit(self.url).path + path

    def _signature(self, method: str, target: str, body: bytes) -> dict[str, str]:
        if self._identity is None:
            raise Refused("not_enrolled", "This PC is not enrolled. Run `vrasnode enroll` with a token.")
        digest = content_digest(body)
        params = signature_input(
            created=int(self._clock() + self.clock_offset_s),
            nonce=self._nonce(),
            key_id=self._identity.client_id,
        )
        signature = self._identity.sign(signature_base(method, target, digest, params))
        return {
            "Content-Digest": digest,
            "Signature-Input": params,
            "Signature": f"vras=:{base64.b64encode(signature).decode()}:",
        }

    def _take_time(self, headers: Mapping[str, str]) -> None:
        try:
            server_time = parsedate_to_datetime(headers.get("Date", ""))
        except ValueError:
            return
        self.clock_offset_s = server_time.timestamp() - self._clock()

    def _connections(self, dscp: int) -> urllib3.PoolManager:
        """The pool of what is marked so; made anew when the certificate was renewed, for TLS shows it when it
        connects."""
        certificate = self._identity.certificate if self._identity else None
        with self._lock:
            if self._pool_certificate is not certificate:
                self._clear()
                self._pool_certificate = certificate
            if self._context is None and self.url.startswith("https"):
                self._context = self._tls()  # 50 ms and 0.9 MB, which hundreds of PCs in one process feel
            if dscp not in self._pools:
                plain = [*urllib3.connection.HTTPConnection.default_socket_options, _SMALL_BUFFER]
                self._pools[dscp] = Pools(
                    maxsize=16,
                    timeout=self._timeout,
                    ssl_context=self._context,
                    socket_options=plain + (lowpriority.before_connecting(dscp) if dscp else []),
                )
            return self._pools[dscp]

    def _clear(self) -> None:
        for pool in self._pools.values():
            pool.clear()
        self._pools, self._context = {}, None

    def _tls(self) -> ssl.SSLContext:
        """Trusts the system's authorities and the pinned one; before pinning, nothing is believed anyway."""
        context = ssl.create_default_context()
        installation = self._identity.installation if self._identity else None
        if self._identity is None or installation is None:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            return context
        if installation.ca_certificate:
            context.load_verify_locations(cadata=installation.ca_certificate)
        now = datetime.fromtimestamp(self._clock() + self.clock_offset_s, UTC)
        if installation.identity == "mtls" and self._identity.presentable(now):
            context.load_cert_chain(*self._identity.certificate_files)
        return context


@contextmanager
def _reachable() -> Iterator[None]:
    try:
        yield
    except LocationParseError as error:
        raise Refused("bad_server", f"The server's address cannot be used: {error}.") from error
    except (HTTPError, OSError) as error:
        raise Unreachable("server_unreachable", f"The server does not answer: {error}.") from error


def _read(response: urllib3.BaseHTTPResponse, limit: int) -> bytes:
    """The whole body. Raises Refused(answer_too_long)."""
    try:
        with _reachable():
            body = response.read(limit + 1)
        if len(body) > limit:
            raise Refused("answer_too_long", f"The server's answer is longer than {limit} bytes.")
        response.release_conn()
    finally:
        if response.connection is not None:
            response.close()
    return body


def _agent_name() -> str:
    return f"vrasnode/{vrasnode.__version__}"
