"""The desired state of a PC, gathered from the apps. A slice that cannot be built holds back no other."""

import logging
from collections.abc import Callable
from datetime import datetime

from django.conf import settings

from clients.enrolment import enrolling, signing
from clients.models import Client
from vrasnode.wire import clients as wire
from vrasnode.wire import codec

log = logging.getLogger("openvras.nodeslice")

Provider = Callable[[Client, datetime], codec.Message]
Hearer = Callable[[Client, bytes, datetime], None]
_providers: dict[str, Provider] = {}
_hearers: dict[str, Hearer] = {}


def register(app: str, *, provide: Provider, hear: Hearer) -> None:
    """An app says what a PC should be (`provide`) and hears what it is (`hear`)."""
    _providers[app] = provide
    _hearers[app] = hear


def desired(client: Client, *, now: datetime) -> wire.Desired:
    """All slices of this PC."""
    slices = {}
    for app, provide in {"clients": _own, **_providers}.items():
        try:
            slices[app] = codec.encode(provide(client, now))
        except Exception:  # a broken slice must not hold back the others; it is logged with its stack
            log.exception("%s: the %s slice cannot be built", client, app)
    return wire.Desired(slices=slices)


def hear(client: Client, app: str, body: bytes, *, now: datetime) -> bool:
    """Gives a PC's report to its app; False when no app of that name listens."""
    hearer = _hearers.get(app)
    if hearer is None:
        return False
    hearer(client, body, now)
    return True


def _own(client: Client, now: datetime) -> wire.ClientSlice:
    return wire.ClientSlice(
        name=client.name,
        group=client.group.name if client.group else None,
        poll_s=settings.POLL_S,
        keyring=signing.store().statements(),
    )


def _hear_own(client: Client, body: bytes, now: datetime) -> None:
    enrolling.describe(client, codec.decode(body, wire.FactsReport).facts)


_hearers["clients"] = _hear_own
