"""Older versions come back: to their owner, beside what is there now. Nothing is overwritten, whatever
happens."""

from collections.abc import Generator
from datetime import datetime

from django.utils.translation import gettext_lazy as _

from clients.errors import Refusal
from mydoc import bytepaths
from mydoc.models import Volume
from mydoc.replicas import recalling
from mydoc.replicas.recalling import Kept
from mydoc.tree import browsing, writing
from mydoc.tree.writing import Written
from vrasnode.wire.replication import ManifestLine

MOST_BYTES = 2 << 30  # by the portal, while somebody waits for it
TRIES = 9  # names beside each other


def put_back(volume: Volume, kept: Kept, path: bytes, *, now: datetime) -> Written:
    """A file as a replica has it, into the open volume, beside the present one: its name says of when. A
    folder that is gone is made again. Raises Refusal: too_large, name_taken, and what `recalling` and
    `writing` raise.
    """
    line = recalling.line_of(kept, path)
    if line.size_bytes > MOST_BYTES:
        words = _("This file is too large to be put back from here: download it, or ask your IT department.")
        raise Refusal("too_large", words, status=413)
    written = _beside(volume, kept, path, now=now)
    browsing.record(volume, "put_back", written.path, reason="", now=now, as_of=kept.at)
    return written


def _beside(volume: Volume, kept: Kept, path: bytes, *, now: datetime) -> Written:
    line, taken = recalling.line_of(kept, path), None
    for number in range(1, TRIES + 1):
        name = name_beside(path, browsing.stamp_of(kept.at) + (f" {number}" if number > 1 else ""))
        pieces = _lazily(kept, line)  # the PC is asked first: it may say no
        try:
            return writing.write(
                volume, name, pieces, folders=True, mtime_ns=line.mtime_ns, sha256=line.sha256, now=now
            )
        except Refusal as refusal:
            if refusal.code != "name_taken":
                raise
            taken = refusal
        finally:
            pieces.close()
    raise taken or recalling.no_such_name()


def _lazily(kept: Kept, line: ManifestLine) -> Generator[bytes, None, None]:
    yield from recalling.read(kept, line)


def name_beside(path: bytes, stamp: str) -> bytes:
    """The path of a file with a time in its name."""
    name = bytepaths.last(path).decode("utf-8", "surrogateescape")
    stamped = bytepaths.stamped(name, stamp).encode("utf-8", "surrogateescape")
    return bytepaths.joined(bytepaths.parent(path), stamped)
