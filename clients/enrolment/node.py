"""The PC's doors: enrolment, desired state, reports; and, raw for its frequency, the heartbeat.

Bodies are wire messages (msgspec), not forms: CSRF tokens and sessions mean nothing here.
"""

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any

from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET, require_POST

from clients import auditing, presence, problems
from clients.auditing import Actor
from clients.enrolment import enrolling, identity, nodeslice, signing
from clients.enrolment.identity import NodeRequest
from clients.errors import Refusal
from clients.models import Client
from vrasnode.errors import Refused
from vrasnode.wire import clients as wire
from vrasnode.wire import codec

MAX_BODY = 64 << 10
MAX_FACTS = 512 << 10  # some 300 bytes a device; most PCs have fewer than a hundred
JSON = "application/json"


def node_door(
    *, pending: bool = False, lost: bool = False, limit: int = MAX_BODY
) -> Callable[[Callable[..., HttpResponseBase]], Callable[..., HttpResponseBase]]:
    """Opens a Django view to a PC that proves who it is; refusals become problem details."""

    def wrap(view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
        @csrf_exempt
        @login_not_required
        @wraps(view)
        def door(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            now = timezone.now()
            try:
                client_id = identity.who(_seen(request, limit), now=now, pending=pending, lost=lost)
                client = Client.objects.select_related("group").get(pk=client_id)
                identity.check(client, lost=lost)
                client.seen_from = request.META.get("REMOTE_ADDR", "")
                presence.locate(client)
                client.called_at = f"{request.scheme}://{request.get_host()}"
                with auditing.acting(Actor(name=client.name, kind="pc", origin=_origin(request))):
                    return view(request, client, *args, **kwargs)
            except (Refusal, Refused) as refusal:
                return problems.response(refusal)

        return door

    return wrap


@require_GET
@login_not_required
def installation(request: HttpRequest) -> HttpResponse:
    """What a PC pins. No credentials: the enrolment token says what its hash must be."""
    try:
        return HttpResponse(signing.store().installation, content_type=JSON)
    except Refusal as refusal:
        return problems.response(refusal)


@csrf_exempt
@login_not_required
@require_POST
def enrol(request: HttpRequest) -> HttpResponse:
    """A PC with a token asks to join."""
    try:
        wish = codec.decode(_body(request, MAX_FACTS), wire.EnrolRequest)
        with auditing.acting(Actor(name=wish.name[:64], kind="pc", origin=_origin(request))):
            client = enrolling.enrol(wish, now=timezone.now())
    except (Refusal, Refused) as refusal:
        return problems.response(refusal)
    return HttpResponse(codec.encode(enrolling.answer(client)), content_type=JSON)


@node_door(pending=True)
@require_GET
def certificate(request: HttpRequest, client: Client) -> HttpResponse:
    return HttpResponse(codec.encode(enrolling.answer(client)), content_type=JSON)


@node_door()
@require_POST
def renew(request: HttpRequest, client: Client) -> HttpResponse:
    wish = codec.decode(_body(request), wire.RenewRequest)
    enrolling.renew(client, wish.csr, now=timezone.now())
    return HttpResponse(codec.encode(enrolling.answer(client)), content_type=JSON)


@node_door()
@require_GET
def desired(request: HttpRequest, client: Client) -> HttpResponse:
    """What this PC should be; 304 when it knows."""
    state = nodeslice.desired(client, now=timezone.now())
    etag = f'"{codec.revision(state)}"'
    if request.headers.get("If-None-Match") == etag:
        return HttpResponse(status=304, headers={"ETag": etag})
    return HttpResponse(codec.encode(state), content_type=JSON, headers={"ETag": etag})


@node_door(limit=MAX_FACTS)
@require_POST
def report(request: HttpRequest, client: Client, app: str) -> HttpResponse:
    """What this PC says it is."""
    known = nodeslice.hear(client, app, _body(request, MAX_FACTS), now=timezone.now())
    return HttpResponse(status=204 if known else 404)


async def heartbeat(
    scope: dict[str, Any], receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Any]
) -> None:
    """Raw ASGI: no middleware, no session, no database in the steady state."""
    body = await read_body(receive)
    address = (scope.get("client") or ("",))[0]
    status, answer = await sync_to_async(_hear, thread_sensitive=False)(seen(scope, body), address)
    kind = JSON if status == 200 else problems.MEDIA_TYPE
    headers = [(b"content-type", kind.encode()), (b"content-length", str(len(answer)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": answer})


async def read_body(receive: Callable[[], Awaitable[Any]], limit: int = MAX_BODY) -> bytes:
    """The whole body of a raw ASGI request, up to `limit` bytes; more is dropped and fails its digest."""
    body = bytearray()
    while True:
        message = await receive()
        if len(body) <= limit:
            body += message.get("body", b"")
        if not message.get("more_body"):
            return bytes(body)


def seen(scope: dict[str, Any], body: bytes) -> NodeRequest:
    """A raw ASGI request as identity sees it."""
    query = scope.get("query_string", b"")
    target = scope.get("raw_path", scope["path"].encode()) + (b"?" + query if query else b"")
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    return NodeRequest(scope.get("method", "GET"), target.decode("latin-1"), headers, body)


def _hear(request: NodeRequest, address: str) -> tuple[int, bytes]:
    now = timezone.now()
    try:
        client_id = identity.who(request, now=now)
        beat = codec.decode(request.body, wire.Heartbeat)
        return 200, codec.encode(presence.hear(client_id, beat, now=now, address=address))
    except (Refusal, Refused) as refusal:
        return problems.status_of(refusal), problems.body(refusal)


def _seen(request: HttpRequest, limit: int) -> NodeRequest:
    headers = {name.lower(): value for name, value in request.headers.items()}
    return NodeRequest(str(request.method), request.get_full_path(), headers, _body(request, limit))


def _body(request: HttpRequest, limit: int = MAX_BODY) -> bytes:
    length = int(request.headers.get("Content-Length") or 0)
    if length > limit:
        raise Refusal("too_long", f"A message to this door has at most {limit} bytes.", status=413)
    if length <= settings.DATA_UPLOAD_MAX_MEMORY_SIZE:
        return request.body
    if not hasattr(request, "_body"):  # what Django would refuse for its length, this door takes
        request._body = request.read(length)
    return request._body


def _origin(request: HttpRequest) -> str:
    return f"node {request.META.get('REMOTE_ADDR', '')}"
