"""The audit log: who did what to what, from where, and why; written in the transaction of the act.

A door says once who is acting (`acting`), so verbs need not carry it through.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from django.db import models
from django.utils.translation import gettext_lazy as _

from clients.errors import Refusal


@dataclass(frozen=True)
class Actor:
    """Who acts: a user, a PC, or the system itself; and where the wish came from."""

    name: str = "system"
    kind: str = "system"  # "user", "pc" or "system"
    origin: str = ""  # the door and, where there is one, the address


SYSTEM = Actor()
_actor: ContextVar[Actor] = ContextVar("actor", default=SYSTEM)


class Event(models.Model):
    """One line of the audit log. Appended, never changed."""

    at = models.DateTimeField(_("time"), auto_now_add=True, db_index=True)
    actor = models.CharField(_("who"), max_length=150)
    actor_kind = models.CharField(max_length=10)
    origin = models.CharField(_("from where"), max_length=200, blank=True)
    verb = models.CharField(_("act"), max_length=60)
    object_type = models.CharField(_("kind"), max_length=40)
    object_id = models.CharField(max_length=64)
    object_name = models.CharField(_("on what"), max_length=200)
    before = models.JSONField(_("before"), default=dict)
    after = models.JSONField(_("after"), default=dict)
    reason = models.CharField(_("reason"), max_length=500, blank=True)

    class Meta:
        ordering = ["-id"]
        verbose_name = _("event")
        verbose_name_plural = _("audit log")
        indexes = [models.Index(fields=["object_type", "object_id"], name="event_object")]

    def __str__(self) -> str:
        return f"{self.verb} {self.object_name}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        if self.pk is not None:
            raise Refusal("event_is_final", _("The audit log is only appended to."))
        super().save(*args, **kwargs)


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
