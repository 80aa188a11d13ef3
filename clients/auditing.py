"""The audit log: who did what to what, from where, and why; written in the transaction of the act.

A door says once who is acting (`acting`), so verbs need not carry it through.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from django.db import models


@dataclass(frozen=True)
class Actor:
    """Who acts: a user, a PC, or the system itself; and where the wish came from."""

    name: str = "system"
    kind: str = "system"  # "user", "pc" or "system"
    origin: str = ""  # the door and, where there is one, the address


SYSTEM = Actor()
_actor: ContextVar[Actor] = ContextVar("actor", default=SYSTEM)


@contextmanager
def acting(actor: Actor) -> Iterator[None]:
    """Everything recorded inside is done by `actor`."""
    token = _actor.set(actor)
    try:
        yield
    finally:
        _actor.reset(token)


def become(actor: Actor) -> None:
    """The acting one turned out to be `actor`; holds until the surrounding `acting` ends."""
    _actor.set(actor)


def actor() -> Actor:
    """Who is acting now."""
    return _actor.get()


def record(
    verb: str,
    what: models.Model,
    *,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
    reason: str = "",
) -> None:
    """Appends one event; call it inside the transaction of the act."""
    from clients.models import Event

    who = actor()
    Event.objects.create(
        actor=who.name,
        actor_kind=who.kind,
        origin=who.origin,
        verb=verb,
        object_type=str(what._meta.model_name),
        object_id=str(what.pk),
        object_name=str(what)[:200],
        before=dict(before or {}),
        after=dict(after or {}),
        reason=reason,
    )
