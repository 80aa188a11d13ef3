"""The page `http://vras.internal/`: how the control base, which has no screen, talks to its user.

It lies on the network inside the PC, which this part keeps up, and answers the client VM alone. What it says
comes from `get_state`, its words from `words.page`; other parts give it doors of theirs (`localdoors`).
"""

import html
import json
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import IPv4Interface
from typing import Any, Protocol

import vrasnode
from vrasnode.copies import door as copiesdoor
from vrasnode.copies.door import CopyLine
from vrasnode.devicepolicy.planning import Planned
from vrasnode.domainxml import INTERNAL, INTERNAL_BRIDGE, LOCAL_NAME, Neighbour, network_xml
from vrasnode.errors import HostBroken
from vrasnode.localdoors import Doors, Reply
from vrasnode.wire.network import NetworkReport, WifiState
from vrasnode.words import known_codes, say
from vrasnode.words.documents import clock_details

log = logging.getLogger("vrasnode.network")

# From the shared address space (RFC 6598), which no company may use inside: so it is in nobody's way.
GATEWAY = IPv4Interface("100.127.255.241/28")
VIRTUAL_SERVER, CLIENT_VM = GATEWAY.ip + 1, GATEWAY.ip + 2
PORT = 80
AGAIN_S = 30.0
REQUEST_S = 10.0  # for one request to come
MAX_BODY_BYTES = 4 << 10
HEADER = "X-OpenVRAS"  # on every POST
NO_DOORS: Doors = {}
FORM = "application/x-www-form-urlencoded"
POLICY = "default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
LANGUAGES = ("en", "ja")
INSIDE = frozenset({"board", "usb_hub", "usb_controller"})  # devices that no user has ever seen

STYLE = """
:root{color-scheme:light dark;font:16px/1.5 system-ui,sans-serif}
body{max-width:46rem;margin:0 auto;padding:1rem}
table{border-collapse:collapse;width:100%}
th,td{text-align:start;vertical-align:top;padding:.35rem .75rem .35rem 0;border-bottom:1px solid #8886}
th{font-weight:600}
.acts{display:flex;flex-wrap:wrap;gap:.5rem;margin:.75rem 0}
button{font:inherit;padding:.35rem .75rem}
[role=alert],[role=status]{border-inline-start:.25rem solid;padding:.25rem .75rem;font-weight:600}
@media(max-width:30rem){
tr{display:block;padding:.5rem 0;border-bottom:1px solid #8886}
td,th{display:block;border:0;padding:0}
}
"""


@dataclass(frozen=True)
class DeviceLine:
    """One device, for people: `fate` and `code` are said in words of their language."""

    name: str
    fate: str
    code: str
    present: bool
    details: Mapping[str, str]


@dataclass(frozen=True)
class VolumeLine:
    """One user's documents, for people; `code` says what is wrong with them, `words` in English."""

    owner: str
    state: str
    code: str = ""
    words: str = ""


@dataclass(frozen=True)
class LocalState:
    """What the user may know of the PC. `contact` is an ISO 8601 time, "" when the server never answered."""

    name: str
    contact: str
    reachable: bool
    client_vm: str
    virtual_server: str
    agent_version: str
    devices: tuple[DeviceLine, ...]
    volumes: tuple[VolumeLine, ...] = ()
    copies: tuple[CopyLine, ...] = ()
    hold_s: int | None = None  # how long the PC waits at most before it switches itself off
    unencrypted: bool = False  # user data is allowed though the state directory is not encrypted
    wifi: str = ""  # a WifiState; "" where there is no card
    wifi_ssid: str = ""
    wifi_code: str = ""  # why it is not connected
    clock_off_s: int = 0  # the server's clock less this PC's, where that keeps logons from being proven


def state_of(
    name: str,
    *,
    contact: datetime | None,
    reachable: bool,
    client_vm: str,
    virtual_server: str,
    devices: Sequence[tuple[Planned, bool]],
    volumes: Sequence[VolumeLine] = (),
    copies: Sequence[CopyLine] = (),
    hold_s: int | None = None,
    unencrypted: bool = False,
    wifi: NetworkReport | None = None,
    clock_off_s: int = 0,
) -> LocalState:
    """The state from what the parts say of themselves."""
    return LocalState(
        name=name,
        contact=contact.isoformat(timespec="seconds") if contact else "",
        reachable=reachable,
        client_vm=client_vm,
        virtual_server=virtual_server,
        agent_version=vrasnode.__version__,
        devices=tuple(
            DeviceLine(one.name or one.key, one.fate, one.code, present, one.details)
            for one, present in devices
            if one.code not in INSIDE
        ),
        volumes=tuple(volumes),
        copies=tuple(copies),
        hold_s=hold_s,
        unencrypted=unencrypted,
        wifi=wifi.wifi.value if wifi and wifi.wifi is not WifiState.NONE else "",
        wifi_ssid=wifi.ssid if wifi else "",
        wifi_code=wifi.code if wifi else "",
        clock_off_s=clock_off_s,
    )


class Networks(Protocol):
    """The hypervisor, as far as the network inside the PC needs it."""

    def ensure_network(self, network_xml: str) -> bool: ...


class LocalPage:
    """The part. `macs` are the addresses of the machines' cards; `gateway` and `port` are where it listens;
    `get_section` gives what another part has to show, for a query and a language, as HTML."""

    name = "network"

    def __init__(
        self,
        *,
        networks: Networks,
        macs: Mapping[str, str],
        get_state: Callable[[], LocalState],
        clock: Callable[[], float],
        gateway: IPv4Interface = GATEWAY,
        port: int = PORT,
        doors: Doors = NO_DOORS,
        get_section: Callable[[str, str], str] = lambda query, language: "",
    ) -> None:
        self._networks = networks
        self._get_section = get_section
        self._doors = doors
        self._xml = network_xml(
            INTERNAL,
            bridge=INTERNAL_BRIDGE,
            gateway=gateway,
            neighbours=[
                Neighbour("virtual-server", macs["virtual-server"], gateway.ip + 1),
                Neighbour("client-vm", macs["client-vm"], gateway.ip + 2),
            ],
        )
        self._get_state = get_state
        self._clock = clock
        self._place = str(gateway.ip), port
        self._visitors = {str(gateway.ip + 2)}
        self._server: ThreadingHTTPServer | None = None
        self._look_at = clock()

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._server.server_address[1] if self._server else self._place[1]

    def step(self) -> bool:
        """Keeps network and page up; never more to do at once."""
        if self._clock() < self._look_at:
            return False
        self._look_at = self._clock() + AGAIN_S
        self._networks.ensure_network(self._xml)
        if self._server is None:
            self._server = self._open()
        return False

    def close(self) -> None:
        """The page goes with the agent; the network stays, for machines hang on it."""
        if self._server:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def _open(self) -> ThreadingHTTPServer:
        handler = type("LocalRequest", (_Request,), {"page": self})
        try:
            server = ThreadingHTTPServer(self._place, handler)
        except OSError as error:
            words = f"The local page cannot listen at {self._place[0]}:{self._place[1]}: {error}."
            raise HostBroken("local_page_failed", words) from error
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, name="local-page", daemon=True).start()
        log.info("the local page is at http://%s/ (%s)", LOCAL_NAME, self._place[0])
        return server

    def admits(self, visitor: str, host: str) -> bool:
        """Whether to answer: only this PC's client VM, and only when it asked for us by our own name, so that
        no web page of elsewhere reads it through the user's browser (DNS rebinding)."""
        return visitor in self._visitors and host.partition(":")[0] in (LOCAL_NAME, self._place[0])

    def answer(self, method: str, target: str, language: str, form: str = "") -> Reply:
        """What is said to this request. `form` is what a form on our page holds: its door gets that."""
        path, _, query = target.partition("?")
        if door := self._doors.get((method, path)):
            return door(form or query, language)
        if method != "GET":
            return 405, "text/plain; charset=utf-8", b""
        if path == "/":
            shown = page(self._get_state(), language, self._get_section(query, language))
            return 200, "text/html; charset=utf-8", shown.encode()
        if path == "/state.json":
            return 200, "application/json", json.dumps(_plain(self._get_state())).encode()
        if path == "/style.css":
            return 200, "text/css", STYLE.encode()
        return 404, "text/plain; charset=utf-8", say("page_not_found", language).encode()


class _Request(BaseHTTPRequestHandler):
    page: LocalPage
    timeout = REQUEST_S
    server_version = "OpenVRAS"
    sys_version = ""

    def do_GET(self) -> None:
        self._serve("")

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        body = self.rfile.read(min(int(length), MAX_BODY_BYTES) if length.isdecimal() else 0)
        self._serve(body.decode(errors="replace") if self._kind == FORM else "")  # nothing else counts

    def _serve(self, form: str) -> None:
        language = language_of(self.headers.get("Accept-Language", ""))
        if not self.page.admits(self.client_address[0], self.headers.get("Host", "")):
            status, kind, body = 403, "text/plain", b""
        elif self.command == "POST" and not self._is_meant():
            status, kind, body = 403, "application/json", _not_meant(language)
        else:
            status, kind, body = self.page.answer(self.command, self.path, language, form)
        self.send_response(status)
        if status == HTTPStatus.SEE_OTHER:
            self.send_header("Location", body.decode())
            body = b""
        else:
            self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Security-Policy", POLICY)
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        self.wfile.write(body)

    def _is_meant(self) -> bool:
        """Whether no web page can be behind it: a browser sends neither this header nor this media type for a
        page of elsewhere without asking us first (CORS), and we never answer that. A form it would send, but
        never with our own page as its origin, and never with none (RFC 6454 §7)."""
        if HEADER in self.headers or self._kind == "application/json":
            return True
        own = self.headers.get("Origin", "") == f"http://{self.headers.get('Host', '')}"
        return self._kind == FORM and own

    @property
    def _kind(self) -> str:
        return self.headers.get("Content-Type", "").partition(";")[0].strip().lower()

    def log_message(self, *_words: object) -> None:
        """A user who reads the page is no news."""


def _not_meant(language: str) -> bytes:
    problem = {"code": "header_missing", "words": say("header_missing", language, {"header": HEADER})}
    return json.dumps(problem, ensure_ascii=False).encode()


def language_of(accepted: str) -> str:
    """The first language of an Accept-Language header (RFC 9110 §12.5.4) that we speak."""
    for item in accepted.split(","):
        tag = item.split(";")[0].strip().lower().partition("-")[0]
        if tag in LANGUAGES:
            return tag
    return LANGUAGES[0]


def page(state: LocalState, language: str, section: str = "") -> str:
    """The whole page; `section` is HTML."""

    def words(code: str, **details: str) -> str:
        return html.escape(say(code, language, details))

    contact = words("page_reachable" if state.reachable else "page_unreachable", time=state.contact or "–")
    rows = "".join(
        f"<tr><th scope=row>{html.escape(line.name)}</th><td>{words(f'fate.{line.fate}')}</td>"
        f"<td>{words(line.code, **line.details)}</td></tr>"
        for line in state.devices
    )
    documents = "".join(
        f"<tr><th scope=row>{html.escape(line.owner)}</th><td>{words(f'volume_{line.state}')}"
        f"{' – ' + _trouble(line, language) if line.code else ''}</td></tr>"
        for line in state.volumes
    )
    if state.unencrypted:
        warning = words("severity.warning"), words("unencrypted_allowed")
        documents += "<tr><th scope=row>{}</th><td>{}</td></tr>".format(*warning)
    if state.clock_off_s:
        warning = words("severity.warning"), words("clock_off", **clock_details(state.clock_off_s))
        documents += "<tr><th scope=row>{}</th><td>{}</td></tr>".format(*warning)
    if documents:
        documents = f"<h2>{words('page_documents')}</h2><table>{documents}</table>"
    copies = copiesdoor.part(state.copies, language)
    devices = f"<table>{rows}</table>" if rows else f"<p>{words('page_no_devices')}</p>"
    why = f" {words(state.wifi_code)}" if state.wifi_code else ""
    wifi = [("page_wifi", words(f"wifi_{state.wifi}", ssid=state.wifi_ssid) + why)] if state.wifi else []
    facts = "".join(
        f"<tr><th scope=row>{words(label)}</th><td>{value}</td></tr>"
        for label, value in (
            ("page_server", contact),
            *wifi,
            ("page_client_vm", words(f"machine_{state.client_vm}")),
            ("page_virtual_server", words(f"machine_{state.virtual_server}")),
            ("page_agent", html.escape(state.agent_version)),
        )
    )
    return (
        f'<!doctype html><html lang="{language}"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f'<title>{html.escape(state.name)}</title><link rel="stylesheet" href="/style.css">'
        f"<main><h1>{html.escape(state.name)}</h1><table>{facts}</table>"
        f"{documents}{copies}{section}<h2>{words('page_devices')}</h2>{devices}</main></html>"
    )


def _trouble(line: VolumeLine, language: str) -> str:
    return html.escape(say(line.code, language) if line.code in known_codes() else line.words)


def _plain(state: LocalState) -> dict[str, Any]:
    return {
        **vars(state),
        "devices": [{**vars(line), "details": dict(line.details)} for line in state.devices],
        "volumes": [vars(line) for line in state.volumes],
        "copies": [vars(line) for line in state.copies],
    }
