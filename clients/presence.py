"""When was this PC last heard? Kept in the quick store; the database hears of it once a minute, in bulk."""

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import msgspec
from django.conf import settings

from clients import networks, nudge, quickstore
from clients.models import Client
from vrasnode.wire import clients as wire

HEARD = "vras:heard"
OUTSIDE = "vras:outside"  # the few of them that were last heard from outside the company's networks


class Heard(msgspec.Struct, frozen=True):
    """What the last heartbeat said."""

    at: float
    desktop: str
    version: str | None
    agent_version: str
    virtual_server: str = ""
    outside: bool = False  # it came from outside the company's networks
    clock_off_s: int = 0


@dataclass(frozen=True)
class Presence:
    """`present` is false after three missed heartbeats; `outside`: last heard from outside the company."""

    seen: datetime | None
    present: bool
    desktop: str = ""
    version: str | None = None
    virtual_server: str = ""
    outside: bool = False
    clock_off_s: int = 0  # our clock less the PC's, where that keeps logons from being proven


def hear(
    client_id: uuid.UUID, beat: wire.Heartbeat, *, now: datetime, address: str = ""
) -> wire.HeartbeatAnswer:
    """Notes a heartbeat and says when to call again, and whether to look: also when the PC came into the
    company's networks, or left them."""
    outside = bool(address) and not networks.inside(address)
    heard = Heard(
        at=now.timestamp(),
        desktop=beat.desktop,
        version=beat.version,
        agent_version=beat.agent_version,
        virtual_server=beat.virtual_server,
        outside=outside,
        clock_off_s=beat.clock_off_s,
    )
    store = quickstore.client()
    with store.pipeline(transaction=False) as pipe:
        pipe.hset(HEARD, str(client_id), msgspec.msgpack.encode(heard))
        pipe.get(nudge.look_name(client_id))
        (pipe.sadd if outside else pipe.srem)(OUTSIDE, str(client_id))
        _set, look, _place = pipe.execute()
    word = (look or b"0").decode() + (" outside" if outside else "")
    return wire.HeartbeatAnswer(interval_s=settings.HEARTBEAT_S, server_time=now.astimezone(UTC), look=word)


def of(clients: Iterable[Client], *, now: datetime) -> dict[uuid.UUID, Presence]:
    """The presence of each of these PCs."""
    rows = list(clients)
    if not rows:
        return {}
    kept = quickstore.client().hmget(HEARD, [str(client.pk) for client in rows])
    return {client.pk: _presence(client, raw, now=now) for client, raw in zip(rows, kept, strict=True)}


def locate(client: Client) -> None:
    """Keeps where a PC calls from, when that is elsewhere than before."""
    address = client.seen_from[:45]
    if address and address != client.address:
        Client.objects.filter(pk=client.pk).update(address=address)
        client.address = address


def outside() -> list[uuid.UUID]:
    """The PCs that were last heard from outside the company's networks."""
    return [uuid.UUID(text.decode()) for text in quickstore.client().smembers(OUTSIDE)]


def keep(*, now: datetime) -> int:
    """Writes what was heard lately to the rows: a restart of Redis loses a minute. Returns how many."""
    fresh = now - timedelta(minutes=5)
    rows = []
    for key, raw in quickstore.client().hscan_iter(HEARD, count=1000):
        heard = msgspec.msgpack.decode(raw, type=Heard)
        at = datetime.fromtimestamp(heard.at, UTC)
        if at >= fresh:
            rows.append(Client(pk=uuid.UUID(key.decode()), last_seen=at, running=heard.version or ""))
    for start in range(0, len(rows), 500):
        Client.objects.bulk_update(rows[start : start + 500], ["last_seen", "running"])
    return len(rows)


def _presence(client: Client, raw: bytes | None, *, now: datetime) -> Presence:
    if raw is None:
        return Presence(seen=client.last_seen, present=False, version=client.running or None)
    heard = msgspec.msgpack.decode(raw, type=Heard)
    at = datetime.fromtimestamp(heard.at, UTC)
    present = now - at <= timedelta(seconds=3 * settings.HEARTBEAT_S)
    return Presence(
        at,
        present,
        heard.desktop,
        heard.version,
        heard.virtual_server,
        heard.outside,
        heard.clock_off_s,
    )
