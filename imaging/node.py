"""The PC's doors to images: manifest, frame map; and, raw for their size, packs in and out.

In production nginx serves the packs (deploy/nginx.conf); this serves them where there is no nginx.
"""

import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from asgiref.sync import sync_to_async
from django.http import FileResponse, Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET

from clients import auditing, problems
from clients.auditing import Actor
from clients.enrolment.node import node_door
from clients.errors import Refusal
from clients.models import ApiToken, Client
from clients.people import roles
from clients.tokens import issuing
from imaging import arriving, desktops
from imaging.store import store
from vrasnode.errors import Refused

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

PACK = re.compile(r"/packs/(?P<permission>[0-9a-f.]+)/(?P<pack>[0-9a-f]{64})")
UPLOAD = re.compile(r"/api/v1/packs/(?P<pack>[0-9a-f]{64})/")
RANGE = re.compile(r"bytes=(\d{1,12})-(\d{1,12})")
PIECE = 1 << 20


@node_door()
@require_GET
def manifest(request: HttpRequest, client: Client, digest: str) -> HttpResponseBase:
    return _file(client, digest, store().manifest_path(digest))


@node_door()
@require_GET
def frames(request: HttpRequest, client: Client, digest: str) -> HttpResponseBase:
    return _file(client, digest, store().frames_path(digest))


@node_door()
@require_GET
def deltas(request: HttpRequest, client: Client, digest: str, base: str) -> HttpResponseBase:
    return _file(client, digest, store().deltas_path(digest, base))


def _file(client: Client, digest: str, path: Path) -> FileResponse:
    if not desktops.may_read(client, digest):
        raise Refusal("not_assigned", _("This version is not assigned to this PC."), status=403)
    try:
        return FileResponse(path.open("rb"), content_type="application/octet-stream")
    except FileNotFoundError as error:
        raise Http404 from error


def may_read_packs(request: HttpRequest, permission: str) -> HttpResponse:
    """Asked by nginx once per transfer (auth_request)."""
    return HttpResponse(status=204 if desktops.permits(permission, now=timezone.now()) else 403)


async def packs(scope: Scope, receive: Receive, send: Send) -> None:
    """Raw ASGI: GET /packs/<permission>/<pack>, whole or one range."""
    found = PACK.fullmatch(scope["path"])
    permits = sync_to_async(desktops.permits, thread_sensitive=False)
    if found is None or not await permits(found["permission"], now=timezone.now()):
        await _answer(send, 403, b"")
        return
    try:
        file = store().pack_path(found["pack"]).open("rb")
    except FileNotFoundError:
        await _answer(send, 404, b"")
        return
    with file:
        size = file.seek(0, 2)
        window = _window(dict(scope["headers"]).get(b"range"), size)
        if window is None:
            await _answer(send, 416, b"", (b"content-range", f"bytes */{size}".encode()))
            return
        start, end = window
        file.seek(start)
        await send(_start(206, end - start, (b"content-range", f"bytes {start}-{end - 1}/{size}".encode())))
        while start < end:
            piece = file.read(min(PIECE, end - start))
            start += len(piece)
            await send({"type": "http.response.body", "body": piece, "more_body": start < end})


async def upload(scope: Scope, receive: Receive, send: Send) -> None:
    """Raw ASGI: PUT /api/v1/packs/<id>/ with a publisher's token; 201 when new, 200 when it was here."""
    found = UPLOAD.fullmatch(scope["path"])
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    try:
        if found is None or scope["method"] != "PUT":
            raise Refusal("not_found", _("There is nothing here. A pack is PUT under its id."), status=404)
        token = await sync_to_async(_publisher, thread_sensitive=False)(headers.get("authorization", ""))
        length = int(headers.get("content-length") or 0)
        with auditing.acting(Actor(name=token.user.get_username(), kind="user", origin="rest")):
            new = await arriving.take_pack(found["pack"], length=length, receive=receive)
        await _answer(send, 201 if new else 200, b"{}")
    except (Refusal, Refused) as refusal:
        await _answer(send, problems.status_of(refusal), problems.body(refusal), (b"connection", b"close"))


def _publisher(authorization: str) -> ApiToken:
    token = issuing.bearer(authorization.removeprefix("Bearer ").strip(), now=timezone.now())
    if token is None or token.scope != ApiToken.Scope.WRITE or not roles.may_change(token.user):
        raise Refusal("not_authenticated", _("Log in with a token that may write."), status=401)
    return token


def _window(header: bytes | None, size: int) -> tuple[int, int] | None:
    if header is None:
        return 0, size
    found = RANGE.fullmatch(header.decode("latin-1"))
    if found is None:
        return None
    start, end = int(found[1]), min(int(found[2]) + 1, size)
    return (start, end) if start < end else None


def _start(status: int, length: int, *more: tuple[bytes, bytes]) -> dict[str, Any]:
    kind = b"application/octet-stream" if status < 300 else problems.MEDIA_TYPE.encode()
    headers = [
        (b"content-type", kind),
        (b"content-length", str(length).encode()),
        (b"accept-ranges", b"bytes"),
        *more,
    ]
    return {"type": "http.response.start", "status": status, "headers": headers}


async def _answer(send: Send, status: int, body: bytes, *more: tuple[bytes, bytes]) -> None:
    await send(_start(status, len(body), *more))
    await send({"type": "http.response.body", "body": body})
