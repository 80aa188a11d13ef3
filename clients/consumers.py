"""Live sockets. They say "look again" and carry no facts."""

import re
from typing import Any

from asgiref.sync import sync_to_async
from channels.generic.websocket import AsyncJsonWebsocketConsumer, AsyncWebsocketConsumer
from django.utils import timezone

from clients import nudge
from clients.enrolment import identity, node
from clients.errors import Refusal
from clients.people import roles

TOPIC = re.compile(r"[a-z]+(\.[0-9a-f-]{1,36})?")
MAX_TOPICS = 8


class NodeConsumer(AsyncWebsocketConsumer):  # type: ignore[misc]
    """A PC's one socket: /node/v1/nudge. It says "look"."""

    topic = ""

    async def connect(self) -> None:
        try:
            client_id = await sync_to_async(identity.who, thread_sensitive=False)(
                node.seen({**self.scope, "method": "GET"}, b""), now=timezone.now()
            )
        except Refusal:
            await self.close()
            return
        self.topic = nudge.node_topic(client_id)
        await self.channel_layer.group_add(self.topic, self.channel_name)
        await self.accept()
        # Whatever happened between the PC's last look and now.
        await self.send("look")

    async def disconnect(self, code: int) -> None:
        if self.topic:
            await self.channel_layer.group_discard(self.topic, self.channel_name)

    async def look(self, message: dict[str, Any]) -> None:
        await self.send("look")


class PageConsumer(AsyncJsonWebsocketConsumer):  # type: ignore[misc]
    """An open page: /live/?topic=…&topic=…. It is told which topic changed and fetches that part again.

    Who may not look at the installation hears of their own page alone.
    """

    topics: tuple[str, ...] = ()

    async def connect(self) -> None:
        user = self.scope["user"]
        asked = re.findall(r"topic=([^&]+)", self.scope["query_string"].decode("latin-1"))
        if not await sync_to_async(_may_hear)(user, asked):
            await self.close()
            return
        self.topics = tuple(asked[:MAX_TOPICS])
        for topic in self.topics:
            await self.channel_layer.group_add(nudge.page_topic(topic), self.channel_name)
        await self.accept()
        for topic in self.topics:
            await self.send_json({"changed": topic})

    async def disconnect(self, code: int) -> None:
        for topic in self.topics:
            await self.channel_layer.group_discard(nudge.page_topic(topic), self.channel_name)

    async def changed(self, message: dict[str, Any]) -> None:
        await self.send_json({"changed": message["topic"]})


def _may_hear(user: Any, topics: list[str]) -> bool:
    if not all(TOPIC.fullmatch(topic) for topic in topics):
        return False
    return roles.may_look(user) or (set(topics) == {f"my.{user.pk}"} and bool(roles.role_of(user)))
