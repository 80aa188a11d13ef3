"""Nudges: "look again", to a PC, open pages, the workers. They carry no facts: losing one costs seconds.

Sent after the transaction, so that who looks sees what changed.
"""

import logging
import uuid
from collections.abc import Callable

import redis
from asgiref.sync import async_to_sync
from celery import current_app
from channels.layers import get_channel_layer
from django.db import transaction
from kombu.exceptions import OperationalError

from clients import quickstore
from clients.models import Client

log = logging.getLogger("openvras.nudge")


def look_name(client_id: uuid.UUID) -> str:
    return f"vras:look:{client_id}"


def node_topic(client_id: object) -> str:
    return f"node.{client_id}"


def page_topic(topic: str) -> str:
    return f"page.{topic}"


def node(client: Client) -> None:
    """This PC should look at its desired state."""
    nodes([client])


def nodes(clients: list[Client]) -> None:
    """These PCs should look at their desired state."""
    ids = [client.pk for client in clients]

    def send() -> None:
        with quickstore.client().pipeline(transaction=False) as pipe:
            for client_id in ids:
                pipe.incr(look_name(client_id))
            pipe.execute()
        _send([(node_topic(client_id), {"type": "look"}) for client_id in ids])

    _after(send)


def pages(*topics: str) -> None:
    """Open pages about these topics should fetch their moving parts again."""
    _after(lambda: _send([(page_topic(topic), {"type": "changed", "topic": topic}) for topic in topics]))


def worker(task: str) -> None:
    """A sweep should come sooner than the clock would bring it."""
    _after(lambda: current_app.send_task(task))


def _send(messages: list[tuple[str, dict[str, str]]]) -> None:
    layer = get_channel_layer()

    async def all_of_them() -> None:
        for group, message in messages:
            await layer.group_send(group, message)

    async_to_sync(all_of_them)()


def _after(send: Callable[[], object]) -> None:
    def quietly() -> None:
        try:
            send()
        except (redis.RedisError, OperationalError, OSError) as error:
            log.warning("nudge lost, the clock will do it: %s", error)

    transaction.on_commit(quietly)
