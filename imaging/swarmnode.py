"""The PCs' door while they share a version; raw, for each of them knocks several times a second."""

import re
from collections.abc import Awaitable, Callable
from typing import Any

from asgiref.sync import sync_to_async
from django.utils import timezone

from clients import auditing, problems
from clients.auditing import Actor
from clients.enrolment.node import JSON, read_body
from clients.errors import Refusal
from imaging import swarming
from vrasnode.errors import Refused
from vrasnode.wire import codec
from vrasnode.wire.swarm import MAX_PIECES, SwarmCall

PATH = re.compile(r"/node/v1/swarm/(?P<swarm>[0-9]{1,18}-[0-9a-z]{1,20})")
MAX_CALL = MAX_PIECES // 8 * 4 // 3 + (64 << 10)  # a bitmap in base64, and the rest


async def swarm(
    scope: dict[str, Any],
    receive: Callable[[], Awaitable[dict[str, Any]]],
    send: Callable[[dict[str, Any]], Awaitable[None]],
) -> None:
    """Raw ASGI: POST a SwarmCall, with the permission as a bearer token."""
    body = await read_body(receive, MAX_CALL)
    status, answer = await sync_to_async(_answer, thread_sensitive=False)(scope, body)
    kind = JSON if status == 200 else problems.MEDIA_TYPE
    headers = [(b"content-type", kind.encode()), (b"content-length", str(len(answer)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": answer})


def _answer(scope: dict[str, Any], body: bytes) -> tuple[int, bytes]:
    now = timezone.now()
    address = (scope.get("client") or ("",))[0]
    try:
        found = PATH.fullmatch(scope["path"])
        if found is None or scope["method"] != "POST":
            raise Refusal("not_found", "There is nothing here. A SwarmCall is POSTed.", status=404)
        bearer = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
        text = bearer.decode("latin-1").removeprefix("Bearer ")
        permission = swarming.permitted(found["swarm"], text, now=now)
        call = codec.decode(body, SwarmCall)
        with auditing.acting(Actor(name=str(permission.client), kind="pc", origin=f"node {address}")):
            return 200, codec.encode(swarming.answer(permission, call, address=address, now=now))
    except (Refusal, Refused) as refusal:
        return problems.status_of(refusal), problems.body(refusal)
