"""The server over real HTTP: what is signed, what is believed, and what a no is called."""

import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from msgspec.structs import replace
from websockets.sync.server import ServerConnection, serve

from tests.vrasnode.conftest import member_of
from tests.vrasnode.office import CLIENT_ID, Keys, Office, Published, issue
from vrasnode.chunks.manifest import MAX_MANIFEST_BYTES
from vrasnode.contact.identity import Identity
from vrasnode.contact.server import Server
from vrasnode.errors import Refused, Unreachable
from vrasnode.wire import codec
from vrasnode.wire.clients import Heartbeat, Installation, RenewRequest
from vrasnode.wire.signatures import content_digest, signature_base

BEAT = Heartbeat(agent_version="0.1.0", boot_id="b", uptime_s=1, desktop="running")


@pytest.fixture
def server(office: Office, identity: Identity) -> Server:
    return Server(office.url, identity=identity)


def test_what_a_pc_asks_is_signed_and_understood(server: Server, office: Office, old: Published) -> None:
    office.assign(old, serial=1)

    desired, revision = server.desired(None) or pytest.fail("nothing is desired")
    answer = server.heartbeat(BEAT)
    server.report("imaging", b"{}")

    assert set(desired.slices) == {"clients", "imaging"}
    assert server.desired(revision) is None
    assert answer.interval_s == 30
    assert office.reports == [("imaging", b"{}")]
    assert server.manifest(f"/m/{old.digest}") == old.encoded
    assert server.renew(RenewRequest(csr="x")).client_id == CLIENT_ID


def test_each_request_carries_another_nonce(office: Office, identity: Identity) -> None:
    nonces = iter(["a" * 32, "b" * 32])
    server = Server(office.url, identity=identity, nonce=lambda: next(nonces))

    server.heartbeat(BEAT)
    server.heartbeat(BEAT)

    assert next(nonces, None) is None


def test_a_wrong_clock_is_set_right_by_the_servers_and_only_for_signatures(
    office: Office, identity: Identity
) -> None:
    office.clock_offset_s = 3600.0
    server = Server(office.url, identity=identity)

    server.heartbeat(BEAT)
    server.heartbeat(BEAT)

    assert server.clock_offset_s == pytest.approx(3600, abs=30)
    assert len(office.beats) == 2
    assert len([path for path in office.asked if path.endswith("heartbeat")]) == 3


@pytest.mark.parametrize("days", [1, -1])
def test_a_clock_that_is_a_day_off_is_known_as_long_as_it_is_so(
    office: Office, identity: Identity, days: int
) -> None:
    ahead = [days * 86400.0]
    server = Server(office.url, identity=identity, clock=lambda: time.time() + ahead[0])

    server.heartbeat(BEAT)
    assert server.clock_offset_s == pytest.approx(-days * 86400, abs=30)

    ahead[0] = 2.0  # somebody has set it
    server.heartbeat(BEAT)
    assert server.clock_offset_s == pytest.approx(0, abs=30)


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, Refused), (403, Refused), (409, Refused), (429, Unreachable), (503, Unreachable)],
)
def test_a_no_is_told_apart_from_a_not_now(
    status: int, kind: type[Exception], server: Server, office: Office
) -> None:
    office.refuse["/node/v1/heartbeat"] = (status, "because")

    with pytest.raises(kind) as error:
        server.heartbeat(BEAT)

    assert error.value.code == "because"  # type: ignore[attr-defined]


def test_a_server_that_is_not_there_is_unreachable(identity: Identity) -> None:
    with pytest.raises(Unreachable) as unreachable:
        Server("http://127.0.0.1:9", identity=identity).heartbeat(BEAT)

    assert unreachable.value.code == "server_unreachable"


def test_an_answer_without_end_is_not_read_to_its_end(server: Server, office: Office) -> None:
    office.content["/m/long"] = bytes(MAX_MANIFEST_BYTES + 1)

    with pytest.raises(Refused) as refused:
        server.manifest("/m/long")

    assert refused.value.code == "answer_too_long"


@pytest.mark.parametrize("path", ["http://elsewhere/p", "//elsewhere/p", "p", "/p q", "/p\r\nX: y"])
def test_only_the_servers_own_paths_are_fetched(path: str, server: Server) -> None:
    with pytest.raises(Refused) as refused:
        server.manifest(path)

    assert refused.value.code == "bad_fetch_path"


def test_what_moved_or_may_no_longer_be_read_is_looked_for_again(server: Server, office: Office) -> None:
    office.refuse_ranges = (403, "permission_ended")

    with pytest.raises(Unreachable) as gone, server.open_range("/p/x", start=0, length=10):
        pass
    with pytest.raises(Unreachable) as missing:
        server.manifest("/m/none")

    assert gone.value.code == missing.value.code == "fetch_gone"


def test_a_range_that_breaks_off_is_said_and_the_next_one_works(
    server: Server, office: Office, old: Published
) -> None:
    pack_id = next(iter(old.packs))
    office.fault = lambda path, data: data[:100]

    with server.open_range(f"/p/{pack_id}", start=8, length=1000) as body:
        assert body.read(50) == bytes(old.packs[pack_id][8:58])
        with pytest.raises(Unreachable):
            body.read(100)

    office.fault = None
    with server.open_range(f"/p/{pack_id}", start=8, length=1000) as body:
        assert body.read(1000) == bytes(old.packs[pack_id][8:1008])


@contextmanager
def tls_office(keys: Keys, certified_by: Keys, directory: Path, *, identity: str) -> Iterator[Office]:
    """An office behind TLS that asks PCs for a certificate."""
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = issue(key.public_key(), "office", by=certified_by, host="127.0.0.1")
    chain = directory / "office.pem"
    chain.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        + certificate.public_bytes(Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain)
    context.load_verify_locations(cadata=keys.ca_certificate.public_bytes(Encoding.PEM).decode())
    context.verify_mode = ssl.CERT_OPTIONAL
    own = Keys()
    own.__dict__.update(keys.__dict__)
    own.installation = codec.encode(replace(codec.decode(keys.installation, Installation), identity=identity))
    with Office(keys=own).open(tls=context) as office:
        yield office


def test_behind_tls_the_pinned_authority_is_believed_and_the_certificate_is_shown(
    keys: Keys, tmp_path: Path
) -> None:
    with tls_office(keys, keys, tmp_path, identity="mtls") as office:
        assert Server(office.url).installation() == office.keys.installation
        identity = member_of(office, tmp_path / "identity")

        Server(office.url, identity=identity).heartbeat(BEAT)

        assert office.shown == [CLIENT_ID]


def test_a_certificate_that_was_renewed_is_shown_from_then_on(keys: Keys, tmp_path: Path) -> None:
    with tls_office(keys, keys, tmp_path, identity="mtls") as office:
        office.certificate_begin = datetime.now(UTC) - timedelta(days=40)
        identity = member_of(office, tmp_path / "identity")
        server = Server(office.url, identity=identity)

        identity.take(server.renew(RenewRequest(csr=identity.certificate_request())))
        assert office.shown == []  # an expired one would end the connection
        server.heartbeat(BEAT)

        assert office.shown == [CLIENT_ID]


def test_another_authoritys_server_gets_no_token(keys: Keys, tmp_path: Path) -> None:
    with tls_office(keys, Keys(), tmp_path, identity="signature") as office:
        with pytest.raises(Unreachable):
            member_of(office, tmp_path / "identity")

        assert office.enrolled == []
        assert not [asked for asked in office.asked if "enrol" in asked]


@contextmanager
def nudging(handler: Callable[[ServerConnection], None], *, status: int | None = None) -> Iterator[str]:
    """A server of which only the socket works."""

    def refuse(connection: ServerConnection, request: Any) -> Any:
        return connection.respond(status, "{}") if status else None

    with serve(handler, "127.0.0.1", 0, process_request=refuse) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.socket.getsockname()[1]}"
        finally:
            server.shutdown()
            thread.join()


def test_the_socket_is_opened_with_a_signature_and_says_when_to_look(identity: Identity) -> None:
    heard, stop, seen = threading.Semaphore(0), threading.Event(), []

    def speak(connection: ServerConnection) -> None:
        assert connection.request is not None
        seen.append(connection.request.headers)
        connection.send("look")
        connection.send("something else")
        connection.send("look")
        stop.wait()

    with nudging(speak) as url:
        server = Server(url, identity=identity)

        def listen() -> None:
            with suppress(Unreachable):  # whoever sees the stop first ends it
                server.listen(heard.release, stop=stop)

        listening = threading.Thread(target=listen)
        listening.start()
        for _ in range(3):  # once for the connection, twice for the words
            assert heard.acquire(timeout=10)
        stop.set()
        listening.join(10)

    assert not heard.acquire(blocking=False)
    headers = seen[0]
    base = signature_base("GET", "/node/v1/nudge", content_digest(b""), headers["Signature-Input"])
    assert f'keyid="{CLIENT_ID}"' in base.decode()


def test_a_socket_that_the_server_ends_or_refuses_is_said(identity: Identity) -> None:
    with nudging(lambda connection: None) as url, pytest.raises(Unreachable):
        Server(url, identity=identity).listen(lambda: None, stop=threading.Event())
    with nudging(lambda connection: None, status=403) as url, pytest.raises(Refused):
        Server(url, identity=identity).listen(lambda: None, stop=threading.Event())
