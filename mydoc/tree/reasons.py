"""Why an administrator looks into somebody's data: asked once for a session and volume, kept half an hour.

It lies in the session, for it is nobody else's; each look that it explains is a row of its own (browsing).
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from mydoc.models import Volume
from mydoc.tree.browsing import Looker

KEPT = timedelta(minutes=30)
MAX_REASON = 200
_KEY = "mydoc-reasons"


@dataclass(frozen=True)
class Reason:
    """What somebody wrote, and when."""

    words: str
    given: datetime

    def looker(self) -> Looker:
        return Looker(reason=self.words, since=self.given)


def of(session: Any, volume: Volume, *, now: datetime) -> Reason | None:
    """The reason that still holds for this volume."""
    return _kept(session, now=now).get(str(volume.pk))


def last(session: Any, *, now: datetime) -> str:
    """What was written last, for whatever volume: people often look into several for one reason."""
    kept = sorted(_kept(session, now=now).values(), key=lambda reason: reason.given)
    return kept[-1].words if kept else ""


def give(session: Any, volumes: list[Volume], words: str, *, now: datetime) -> None:
    """From now on these volumes are looked into for this reason."""
    kept = _kept(session, now=now) | {str(volume.pk): Reason(words[:MAX_REASON], now) for volume in volumes}
    session[_KEY] = {pk: [reason.words, reason.given.isoformat()] for pk, reason in kept.items()}


def _kept(session: Any, *, now: datetime) -> dict[str, Reason]:
    stored = {
        pk: Reason(words, datetime.fromisoformat(given))
        for pk, (words, given) in session.get(_KEY, {}).items()
    }
    return {pk: reason for pk, reason in stored.items() if now - reason.given < KEPT}
