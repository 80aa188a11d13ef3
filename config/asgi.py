"""Every door that is knocked at over HTTP or a socket.

What is frequent (heartbeats) or large (packs) is raw ASGI and passes no middleware; all else is Django.
"""

import os
from collections.abc import Awaitable, Callable
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

from django.core.asgi import get_asgi_application

django = get_asgi_application()

from channels.auth import AuthMiddlewareStack
from channels.routing import URLRouter
from channels.security.websocket import AllowedHostsOriginValidator
from django.urls import path

from clients.consumers import NodeConsumer, PageConsumer
from clients.enrolment import front
from clients.enrolment import node as registry
from imaging import node as images
from imaging import swarmnode

sockets = URLRouter(
    [
        path("node/v1/nudge", NodeConsumer.as_asgi()),
        path("live/", AllowedHostsOriginValidator(AuthMiddlewareStack(PageConsumer.as_asgi()))),
    ]
)


async def application(
    scope: dict[str, Any], receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]
) -> None:
    """Sends each connection to its door."""
    scope = front.with_address(scope)
    if scope["type"] == "websocket":
        await sockets(scope, receive, send)
    elif scope["type"] == "http" and scope["path"] == "/node/v1/heartbeat" and scope["method"] == "POST":
        await registry.heartbeat(scope, receive, send)
    elif scope["type"] == "http" and scope["path"].startswith("/packs/") and scope["method"] == "GET":
        await images.packs(scope, receive, send)
    elif scope["type"] == "http" and scope["path"].startswith("/api/v1/packs/"):
        await images.upload(scope, receive, send)
    elif scope["type"] == "http" and scope["path"].startswith("/node/v1/swarm/"):
        await swarmnode.swarm(scope, receive, send)
    elif scope["type"] == "http":
        await django(scope, receive, send)
