"""How the NAS was found: looked at by the clock and by the test button, and written down for people."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction

from clients import auditing, nudge
from mydoc.models import NasLook
from mydoc.nas import fileserver

KEPT = 200
EVERY = timedelta(minutes=9)


@dataclass(frozen=True)
class Step:
    """One step of a look, as a page shows it."""

    code: str
    good: bool
    words: str


def look(*, now: datetime, by_hand: bool = False) -> NasLook:
    """Tries it from end to end, and writes down what was found."""
    place = settings.NAS
    found = [{"code": one.code, "good": one.good} for one in fileserver.findings(place)]
    good = all(one["good"] for one in found)
    free = fileserver.room(place) if good and place else None
    with transaction.atomic():
        row = NasLook.objects.create(at=now, good=good, found=found, free_bytes=free)
        if by_hand or _is_news(row):
            auditing.record(f"naslook.{'good' if good else 'bad'}", row, after={"found": found})
        old = NasLook.objects.values_list("pk", flat=True)[KEPT:]
        NasLook.objects.filter(pk__in=list(old)).delete()
    nudge.pages("nas")
    return row


def sweep(*, now: datetime) -> int:
    """A look, unless there was one a moment ago, or there is no NAS; how many."""
    last = NasLook.objects.first()
    if settings.NAS is None or (last is not None and now - last.at < EVERY):
        return 0
    look(now=now)
    return 1


def trouble() -> NasLook | None:
    """What was found last, when that was not good."""
    last = NasLook.objects.first() if settings.NAS is not None else None
    return last if last is not None and not last.good else None


def steps(row: NasLook) -> list[Step]:
    """What was tried, in the reader's words."""
    return [_step(one, row) for one in row.found]


def _step(one: Mapping[str, Any], row: NasLook) -> Step:
    code, good = str(one["code"]), bool(one["good"])
    return Step(code, good, fileserver.words_of(code, settings.NAS, good=good, free=row.free_bytes or 0))


def _is_news(row: NasLook) -> bool:
    before = NasLook.objects.exclude(pk=row.pk).first()
    return before is None or before.good != row.good
