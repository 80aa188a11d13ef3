"""Behind the real nginx: who a PC is, what a stranger can pretend, and whose hands the bytes go through."""

import base64
import json
import secrets
import ssl
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import urllib3

from tests.deploy.front import SECRET, Front
from tests.lab.libvirtd import comes
from tests.lab.server import ROOT, Server
from vrasnode.chunks.packs import Pack, PackBuilder
from vrasnode.contact.identity import Identity
from vrasnode.contact.server import Server as ServerAsSeenByPc
from vrasnode.errors import Refused
from vrasnode.wire import signatures
from vrasnode.wire.clients import ClientState, Heartbeat, RenewRequest

pytestmark = pytest.mark.slow
DESIRED = "/node/v1/desired"
_EMPLOYEE = """
from django.contrib.auth.models import Group, User
user = User.objects.create_user("sato", password="correct horse battery")
user.groups.add(Group.objects.get_or_create(name="employee")[0])
"""


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    directory = tmp_path_factory.mktemp("front")
    secret = directory / "front-secret"
    secret.write_text(SECRET)
    settings = {
        "OPENVRAS_IDENTITY": "mtls",
        "OPENVRAS_FRONT_SECRET_FILE": str(secret),
        "OPENVRAS_COMPANY_NETWORKS": "127.0.0.2/32",
    }
    (directory / "server").mkdir()
    with (
        Server(directory / "server", settings=settings) as server,
        Front(directory / "nginx", server).running() as front,
    ):
        yield front


@pytest.fixture(scope="module")
def token(front: Front) -> str:
    return front.server.new_token()


@pytest.fixture(scope="module")
def member(front: Front, token: str, tmp_path_factory: pytest.TempPathFactory) -> Identity:
    """A PC that joined through the front."""
    return join(front, token, tmp_path_factory.mktemp("pc"), "pc-1", approved=True)


def join(front: Front, token: str, state: Path, name: str, *, approved: bool) -> Identity:
    made = front.server.rest("POST", "/api/v1/enrolment-tokens/", {"approved": approved}, token=token)
    command = [sys.executable, "-m", "vrasnode", "enroll", "--server", front.url, "--token-file", "-"]
    done = subprocess.run(
        [*command, "--state", str(state), "--name", name],
        input=made["token"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return Identity(state / "identity")


def client_id(front: Front, token: str, name: str) -> str:
    return str(front.server.rest("GET", f"/api/v1/clients/?name={name}", token=token)["results"][0]["id"])


def ask(
    front: Front,
    path: str,
    *,
    method: str = "GET",
    shows: Identity | None = None,
    headers: dict[str, str] | None = None,
    body: bytes | None = None,
    source: str = "127.0.0.1",
) -> urllib3.BaseHTTPResponse:
    """One request as anybody can send it; `shows` presents that PC's certificate in TLS."""
    context = ssl.create_default_context(cafile=str(front.keys / "ca.pem"))
    if shows:
        context.load_cert_chain(*shows.certificate_files)
    with urllib3.PoolManager(ssl_context=context, source_address=(source, 0)) as pool:
        return pool.request(method, front.url + path, headers=headers, body=body, retries=False, timeout=30)


def code(answer: urllib3.BaseHTTPResponse) -> Any:
    return answer.json()["code"]


def make_pack(name: str) -> Pack:
    builder = PackBuilder()
    builder.add(name.encode().ljust(32, b"."), name.encode() * 1000)
    return builder.finish()


def send_pack(front: Front, token: str, pack: Pack) -> urllib3.BaseHTTPResponse:
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/octet-stream"}
    path = f"/api/v1/packs/{pack.pack_id}/"
    return ask(front, path, method="PUT", headers=headers, body=b"".join(pack.parts))


def permission(front: Front, client: str, *, hours_ago: int = 0) -> str:
    return front.server.shell(
        "import uuid, datetime\nfrom django.utils import timezone\nfrom imaging import desktops\n"
        f"now = timezone.now() - datetime.timedelta(hours={hours_ago})\n"
        f"print(desktops.permission(uuid.UUID({client!r}), now=now))"
    ).strip()


def test_a_pc_is_known_by_its_certificate(front: Front, member: Identity) -> None:
    server = ServerAsSeenByPc(front.url, identity=member)
    beat = Heartbeat(agent_version="0.1.0", boot_id="b", uptime_s=1, desktop="absent")

    assert ask(front, DESIRED, shows=member).status == 200
    assert server.desired(None) is not None
    assert server.heartbeat(beat).interval_s > 0


def test_a_signature_alone_does_not_do_behind_the_front(front: Front, member: Identity) -> None:
    digest = signatures.content_digest(b"")
    params = signatures.signature_input(
        created=int(time.time()), nonce=secrets.token_hex(16), key_id=member.client_id
    )
    signature = member.sign(signatures.signature_base("GET", DESIRED, digest, params))
    headers = {"Content-Digest": digest, "Signature-Input": params}
    headers["Signature"] = f"vras=:{base64.b64encode(signature).decode()}:"

    answer = ask(front, DESIRED, headers=headers)

    assert (answer.status, code(answer)) == (401, "no_certificate")


@pytest.mark.parametrize("secret", ["a guess", SECRET])
def test_headers_of_the_front_count_for_nothing_from_outside(
    front: Front, member: Identity, secret: str
) -> None:
    certificate = quote(member.certificate_files[0].read_text())
    forged = {"X-Client-Verify": "SUCCESS", "X-Client-Cert": certificate, "X-Front-Secret": secret}

    answer = ask(front, DESIRED, headers=forged)

    assert (answer.status, code(answer)) == (401, "no_certificate")


def test_a_pc_cannot_show_its_own_certificate_and_claim_anothers(
    front: Front, token: str, member: Identity, tmp_path: Path
) -> None:
    other = join(front, token, tmp_path / "pc", "pc-other", approved=True)
    forged = {"X-Client-Cert": quote(member.certificate_files[0].read_text())}
    front.server.rest(
        "POST",
        f"/api/v1/clients/{client_id(front, token, 'pc-other')}/revoke/",
        {"reason": "test"},
        token=token,
    )

    assert code(ask(front, DESIRED, shows=other, headers=forged)) == "revoked"


def test_a_waiting_pc_gets_its_certificate_and_renews_it_without_showing_one(
    front: Front, token: str, tmp_path: Path
) -> None:
    identity = join(front, token, tmp_path / "pc", "pc-waits", approved=False)
    server = ServerAsSeenByPc(front.url, identity=identity)
    assert server.certificate()[0].state is ClientState.PENDING

    pc = client_id(front, token, "pc-waits")
    front.server.rest("POST", f"/api/v1/clients/{pc}/approve/", token=token)
    first, _again = server.certificate()
    # The certificate is not kept yet, as if it had expired: the key behind it is what counts here.
    second = server.renew(RenewRequest(csr=identity.certificate_request()))

    assert first.state is ClientState.APPROVED
    assert second.certificate not in (None, first.certificate)


def test_a_revoked_pc_is_refused_at_its_next_contact(front: Front, token: str, tmp_path: Path) -> None:
    identity = join(front, token, tmp_path / "pc", "pc-gone", approved=True)
    server = ServerAsSeenByPc(front.url, identity=identity)
    assert server.desired(None) is not None

    pc = client_id(front, token, "pc-gone")
    front.server.rest("POST", f"/api/v1/clients/{pc}/revoke/", {"reason": "sold"}, token=token)

    with pytest.raises(Refused) as refusal:
        server.desired(None)
    assert refusal.value.code == "revoked"
    assert ask(front, DESIRED, shows=identity).status == 403


def test_the_nudge_socket_passes_the_front(front: Front, member: Identity) -> None:
    heard = threading.Event()

    ServerAsSeenByPc(front.url, identity=member).listen(heard.set, stop=heard)

    assert heard.is_set()


def test_a_pack_goes_in_through_the_front_and_out_of_nginx_alone(
    front: Front, token: str, member: Identity
) -> None:
    pack = make_pack("one")
    whole = b"".join(pack.parts)
    path = f"/packs/{permission(front, member.client_id)}/{pack.pack_id}"

    assert send_pack(front, token, pack).status == 201
    first = ask(front, path, headers={"Range": "bytes=8-99"})
    front.server.web.kill()
    try:
        second = ask(front, path, headers={"Range": "bytes=100-199"})
    finally:
        front.server.start_web()

    assert (first.status, first.data) == (206, whole[8:100])
    assert (second.status, second.data) == (206, whole[100:200])
    assert second.headers["Content-Range"] == f"bytes 100-199/{len(whole)}"


def test_without_a_living_permission_there_is_no_pack(front: Front, token: str, member: Identity) -> None:
    pack = make_pack("two")
    send_pack(front, token, pack)
    good = permission(front, member.client_id)
    ended = permission(front, member.client_id, hours_ago=3)
    forged = good[:-1] + ("0" if good[-1] != "0" else "1")

    assert ask(front, f"/packs/{good}/{pack.pack_id}").status == 200
    for wrong in (ended, forged, "0.0.0"):
        assert ask(front, f"/packs/{wrong}/{pack.pack_id}").status == 403
    assert ask(front, f"/packs/{good}/{'0' * 64}").status == 404
    assert ask(front, f"/packs/{good}/../../keys/ca.key").status in (400, 403, 404)


def test_the_audit_log_knows_the_caller_and_not_the_front(front: Front, token: str) -> None:
    headers = {
        "Authorization": f"Bearer {token}",
        "Content-Type": "application/json",
        "X-Forwarded-For": "10.9.8.7",
    }
    ask(front, "/api/v1/groups/", method="POST", headers=headers, body=b'{"name":"g"}', source="127.0.0.2")

    event = front.server.rest("GET", "/api/v1/events/?verb=group.created", token=token)["results"][0]

    assert "127.0.0.2" in event["origin"]


def test_user_data_knows_who_is_on_the_lan_whatever_a_caller_says(front: Front) -> None:
    front.server.shell(_EMPLOYEE)
    headers = {
        "Authorization": f"Basic {base64.b64encode(b'sato:correct horse battery').decode()}",
        "X-Forwarded-For": "127.0.0.2",
    }
    body = json.dumps({"nonce": "a" * 32, "client": str(uuid.uuid4())}).encode()

    def log_on(source: str) -> str:
        answer = ask(front, "/mydoc/logon", method="POST", headers=headers, body=body, source=source)
        return str(json.loads(answer.data)["code"])

    assert log_on("127.0.0.3") == "not_on_the_lan"
    assert log_on("127.0.0.2") == "unknown_client"


def test_a_ticket_of_somebody_in_many_groups_passes(front: Front) -> None:
    headers = {"Authorization": f"Negotiate {'A' * (64 << 10)}"}

    answer = ask(front, "/mydoc/logon", method="POST", headers=headers, body=b"{}")

    assert answer.status == 401, answer.data[:200]
    assert code(answer) == "not_authenticated"


def test_nothing_secret_is_in_the_fronts_log(front: Front, member: Identity) -> None:
    ask(front, f"/packs/{permission(front, member.client_id)}/{'1' * 64}")
    asked = f"/packs/-/{'1' * 64}"

    assert comes(lambda: asked in front.nginx.log.read_text())  # nginx writes it after it has answered
    log = front.nginx.log.read_text()
    assert SECRET not in log
    assert member.client_id.replace("-", "") not in log
