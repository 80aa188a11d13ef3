"""User data of all PCs as one tree, live from the PCs: list, search by name, download.

Everything that is shown is first written down: in the transaction of the look, for the owner and for the
audit log. Who may look at all is the doors' matter; what a guest may, the kernel that holds the data decides.
"""

import time
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType

from django.db import transaction
from django.utils.translation import gettext_lazy as _

from clients import auditing, nudge
from clients.errors import Refusal
from mydoc import asking, bytepaths
from mydoc.models import Look, Volume
from vrasnode.wire import mydoc as wire

PAGE_ENTRIES = 100
FOUND_IN_EACH = 20  # of one volume, when many are searched


@dataclass(frozen=True)
class Looker:
    """Why somebody looks, since when; `person`: whose rights hold, an administrator's if empty."""

    reason: str
    since: datetime
    person: str = ""


@dataclass(frozen=True)
class Listed:
    """One page of a folder, or of what was found."""

    entries: list[wire.Entry]
    more: bool
    after: bytes = b""  # where the next page begins


@dataclass(frozen=True)
class Found:
    """What one of many volumes gave, or why it gave nothing."""

    volume: Volume
    listed: Listed | None
    refusal: Refusal | None = None


@dataclass(frozen=True)
class Download:
    """A file on its way: its bytes in pieces. They end with a Refusal when it changes meanwhile."""

    name: str
    size_bytes: int
    pieces: Generator[bytes, None, None]


def folder(volume: Volume, path: bytes, *, after: bytes, looker: Looker, now: datetime) -> Listed:
    """The next entries of a folder, by name. Raises Refusal, as everything here that asks a PC."""
    answer = asking.ask(
        volume,
        wire.Act.LIST,
        path=path,
        after=after,
        length=PAGE_ENTRIES,
        person=looker.person,
        now=now,
    )
    _note(volume, "list", path, looker=looker, now=now, once=True)
    return _listed(answer)


def search(volume: Volume, words: str, *, after: bytes, looker: Looker, now: datetime) -> Listed:
    """The next entries of a volume whose names hold `words`, by path."""
    answer = asking.ask(
        volume,
        wire.Act.SEARCH,
        words=words,
        after=after,
        length=PAGE_ENTRIES,
        person=looker.person,
        now=now,
    )
    _note(volume, "search", words.encode(), looker=looker, now=now, once=True)
    return _listed(answer)


def search_each(
    volumes: Sequence[Volume], words: str, *, lookers: Sequence[Looker], now: datetime
) -> list[Found]:
    """The first entries of each volume, all asked at once; those that cannot be asked say why."""
    begun: list[asking.Asked | Refusal] = []
    for volume, looker in zip(volumes, lookers, strict=True):
        try:
            begun.append(
                asking.begin(
                    volume,
                    wire.Act.SEARCH,
                    words=words,
                    length=FOUND_IN_EACH,
                    person=looker.person,
                    now=now,
                )
            )
        except Refusal as refusal:
            begun.append(refusal)
    until = time.monotonic() + asking.ANSWER_S
    found = []
    for volume, looker, asked in zip(volumes, lookers, begun, strict=True):
        try:
            if isinstance(asked, Refusal):
                raise asked
            answer = asked.answer(until=until)
            _note(volume, "search", words.encode(), looker=looker, now=now, once=True)
            found.append(Found(volume, _listed(answer)))
        except Refusal as refusal:
            found.append(Found(volume, None, refusal))
    return found


def download(volume: Volume, path: bytes, *, looker: Looker, now: datetime) -> Download:
    """A file as it is now. Raises Refusal before the first byte when there is none."""
    piece = wire.MAX_PIECE_BYTES
    first = asking.ask(
        volume, wire.Act.READ, path=path, offset=0, length=piece, person=looker.person, now=now
    )
    if len(first.data) != min(piece, first.size_bytes):
        raise _changed()
    _note(volume, "download", path, looker=looker, now=now)
    pieces = _pieces(volume, path, first, looker=looker, now=now)
    return Download(bytepaths.saved_as(path), first.size_bytes, pieces)


def _pieces(
    volume: Volume, path: bytes, first: wire.Answer, *, looker: Looker, now: datetime
) -> Generator[bytes, None, None]:
    """The next piece is asked for before this one is handed on: the PC works while the browser reads."""
    size, answer, offset = first.size_bytes, first, 0
    ahead: asking.Asked | None = None
    try:
        while True:
            if answer.size_bytes != size or len(answer.data) != min(wire.MAX_PIECE_BYTES, size - offset):
                raise _changed()
            offset += len(answer.data)
            if offset < size:
                ahead = asking.begin(
                    volume,
                    wire.Act.READ,
                    path=path,
                    offset=offset,
                    length=min(wire.MAX_PIECE_BYTES, size - offset),
                    person=looker.person,
                    now=now,
                )
            yield answer.data
            if ahead is None:
                return
            answer, ahead = ahead.answer(), None
    finally:
        if ahead is not None:
            ahead.forget()


def record(
    volume: Volume,
    act: str,
    path: bytes,
    *,
    reason: str,
    now: datetime,
    about: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Writes down what somebody did with somebody's data. Call it inside the transaction of the act."""
    whom = f"→ {about['person']}: " if "person" in about else ""
    Look.objects.create(
        volume=volume, at=now, by=auditing.actor().name, act=act, path=path, reason=(whom + reason)[:200]
    )
    after = {"path": bytepaths.shown(path), **about}
    auditing.record(f"volume.{VERBS[act]}", volume, after=after, reason=reason)
    nudge.pages(f"volume.{volume.pk}", f"my.{volume.owner_id}")


# What a look is called in the audit log. Of a search, the path is the words that were looked for.
VERBS = {
    "list": "listed",
    "search": "searched",
    "download": "downloaded",
    "share": "shared",
    "unshare": "unshared",
}


def _note(
    volume: Volume, act: str, path: bytes, *, looker: Looker, now: datetime, once: bool = False
) -> None:
    """`once`: for one reason, the second page of a folder is no second look."""
    with transaction.atomic():
        same = Look.objects.filter(
            volume=volume, by=auditing.actor().name, act=act, path=path, reason=looker.reason[:200]
        )
        if once and same.filter(at__gte=looker.since).exists():
            return
        record(volume, act, path, reason=looker.reason, now=now)


def _listed(answer: wire.Answer) -> Listed:
    last = answer.entries[-1].name if answer.entries else b""
    after = answer.next or last
    return Listed(answer.entries, more=answer.more and bool(after), after=after)


def _changed() -> Refusal:
    return Refusal("file_changed", _("The file changed while it was being read. Download it again."))
