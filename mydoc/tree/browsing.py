"""User data of all PCs as one tree: list, search by name, download. Live from the PCs; of a volume that is
locked, or whose PC is off, as its last replica has it, and then with that time.

Everything that is shown is first written down: in the transaction of the look, for the owner and for the
audit log. Who may look at all is the doors' matter; what a guest may, the kernel that holds the data decides.
"""

import time
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from clients import auditing, nudge
from clients.errors import Refusal
from mydoc import bytepaths
from mydoc.models import Look, Volume
from mydoc.replicas import recalling
from mydoc.tree import asking
from vrasnode.wire import mydoc as wire

PAGE_ENTRIES = 100
FOUND_IN_EACH = 20  # of one volume, when many are searched
CLOSED = {"pc_off", "volume_locked", "volume_closed", "volume_gone"}  # when a replica is asked instead

ONE_LOOK = timedelta(minutes=30)  # within which the same folder, for the same reason, is one look


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
    as_of: datetime | None = None  # of the replica that says so; None: it is so now


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
    as_of: datetime | None = None  # of the replica that it comes from


def folder(volume: Volume, path: bytes, *, after: bytes, looker: Looker, now: datetime) -> Listed:
    """The next entries of a folder, by name. Raises Refusal, as everything here that asks a PC."""
    try:
        answer = _page(volume, wire.Act.LIST, after=after, looker=looker, now=now, path=path)
    except Refusal as refusal:
        kept = _instead(volume, refusal, looker)
        entries, more = recalling.folder(kept, path, after=after, limit=PAGE_ENTRIES)
        _note(volume, "list", path, looker=looker, now=now, once=True, as_of=kept.at)
        return Listed(entries, more, after=entries[-1].name if entries else b"", as_of=kept.at)
    _note(volume, "list", path, looker=looker, now=now, once=True)
    return _listed(answer)


def search(volume: Volume, words: str, *, after: bytes, looker: Looker, now: datetime) -> Listed:
    """The next entries of a volume whose names hold `words`, by path."""
    try:
        answer = _page(volume, wire.Act.SEARCH, after=after, looker=looker, now=now, words=words)
    except Refusal as refusal:
        kept = _instead(volume, refusal, looker)
        return _searched(kept, words, after=after, limit=PAGE_ENTRIES, looker=looker, now=now)
    _note(volume, "search", words.encode(), looker=looker, now=now, once=True)
    return _listed(answer)


def _page(
    volume: Volume, act: wire.Act, *, after: bytes, looker: Looker, now: datetime, **about: Any
) -> wire.Answer:
    """So many entries as a page shows."""
    length = PAGE_ENTRIES
    return asking.ask(volume, act, after=after, length=length, person=looker.person, now=now, **about)


def search_each(
    volumes: Sequence[Volume], words: str, *, lookers: Sequence[Looker], now: datetime
) -> list[Found]:
    """The first entries of each volume, all asked at once; those that cannot be asked say why, or come from
    their replicas as long as there is time."""
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
            found.append(_found_kept(volume, words, refusal, looker=looker, until=until, now=now))
    return found


def download(volume: Volume, path: bytes, *, looker: Looker, now: datetime) -> Download:
    """A file as it is now. Raises Refusal before the first byte when there is none."""
    piece = wire.MAX_PIECE_BYTES
    try:
        first = asking.ask(
            volume, wire.Act.READ, path=path, offset=0, length=piece, person=looker.person, now=now
        )
    except Refusal as refusal:
        return recall(_instead(volume, refusal, looker), path, looker=looker, now=now)
    if len(first.data) != min(piece, first.size_bytes):
        raise _changed()
    _note(volume, "download", path, looker=looker, now=now)
    pieces = _pieces(volume, path, first, looker=looker, now=now)
    return Download(bytepaths.saved_as(path), first.size_bytes, pieces)


def recall(kept: recalling.Kept, path: bytes, *, looker: Looker, now: datetime) -> Download:
    """A file as a replica has it; its name says of when. Raises Refusal before the first byte."""
    line = recalling.line_of(kept, path)
    pieces = recalling.read(kept, line)
    _note(kept.volume, "download", path, looker=looker, now=now, as_of=kept.at)
    name = bytepaths.saved_as(path, stamp=stamp_of(kept.at))
    return Download(name, line.size_bytes, pieces, as_of=kept.at)


def stamp_of(at: datetime) -> str:
    """A time as it may stand in a file's name."""
    return timezone.localtime(at).strftime("%Y-%m-%d %H%M")


def _instead(volume: Volume, refusal: Refusal, looker: Looker) -> recalling.Kept:
    """The replica that says it instead of a PC which cannot. A guest sees only what the PC's kernel
    permits."""
    kept = None if looker.person or refusal.code not in CLOSED else recalling.newest(volume)
    if kept is None:
        raise refusal
    return kept


def _searched(
    kept: recalling.Kept, words: str, *, after: bytes, limit: int, looker: Looker, now: datetime
) -> Listed:
    entries, more, last = recalling.search(kept, words, after=after, limit=limit)
    _note(kept.volume, "search", words.encode(), looker=looker, now=now, once=True, as_of=kept.at)
    return Listed(entries, more, after=last, as_of=kept.at)


def _found_kept(
    volume: Volume, words: str, refusal: Refusal, *, looker: Looker, until: float, now: datetime
) -> Found:
    try:
        kept = _instead(volume, refusal, looker)
        if time.monotonic() > until:
            raise Refusal("too_slow", _("There was no time left for this one. Search it by itself."))
        return Found(volume, _searched(kept, words, after=b"", limit=FOUND_IN_EACH, looker=looker, now=now))
    except Refusal as other:
        return Found(volume, None, other)


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
    as_of: datetime | None = None,
) -> None:
    """Writes down what somebody did with somebody's data. Call it inside the transaction of the act."""
    whom = f"→ {about['person']}: " if "person" in about else ""
    Look.objects.create(
        volume=volume,
        at=now,
        by=auditing.actor().name,
        act=act,
        path=path,
        reason=(whom + reason)[:200],
        as_of=as_of,
    )
    after = {"path": bytepaths.shown(path), **about, **({"as_of": as_of.isoformat()} if as_of else {})}
    auditing.record(f"volume.{VERBS[act]}", volume, after=after, reason=reason)
    nudge.pages(f"volume.{volume.pk}", f"my.{volume.owner_id}")


# What a look is called in the audit log. Of a search, the path is the words that were looked for.
VERBS = {
    "list": "listed",
    "search": "searched",
    "download": "downloaded",
    "share": "shared",
    "unshare": "unshared",
    "upload": "uploaded",
    "put_back": "put_back",
    "restore": "restored",
}


def _note(
    volume: Volume,
    act: str,
    path: bytes,
    *,
    looker: Looker,
    now: datetime,
    once: bool = False,
    as_of: datetime | None = None,
) -> None:
    """`once`: for one reason, the second page of a folder is no second look."""
    with transaction.atomic():
        same = Look.objects.filter(
            volume=volume,
            by=auditing.actor().name,
            act=act,
            path=path,
            reason=looker.reason[:200],
            as_of=as_of,
        )
        if once and same.filter(at__gte=looker.since).exists():
            return
        record(volume, act, path, reason=looker.reason, now=now, as_of=as_of)


def _listed(answer: wire.Answer) -> Listed:
    last = answer.entries[-1].name if answer.entries else b""
    after = answer.next or last
    return Listed(answer.entries, more=answer.more and bool(after), after=after)


def _changed() -> Refusal:
    return Refusal("file_changed", _("The file changed while it was being read. Download it again."))
