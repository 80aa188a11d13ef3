"""Brings a file into an open volume, through its PC: an upload of somebody's, an older version put back.

The pieces are sealed to a key that the PC made for this one file, so that the quick store they wait in holds
nothing of it; the file has its name only when the PC has all of it, and then at once. Who may write what, the
kernel that holds the data decides; doors decide who may ask. Nothing here is kept on this server's disk.
"""

import hashlib
import secrets
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from clients.errors import Refusal
from mydoc import bytepaths
from mydoc.models import Volume
from mydoc.tree import asking
from vrasnode import sealing
from vrasnode.wire import mydoc as wire

PIECE_BYTES = wire.MAX_WRITE_BYTES


@dataclass(frozen=True)
class Written:
    """What lies there now."""

    path: bytes
    size_bytes: int
    sha256: str


def write(
    volume: Volume,
    path: bytes,
    pieces: Iterable[bytes],
    *,
    person: str = "",
    replace: bool = False,
    folders: bool = False,
    mtime_ns: int = 0,
    sha256: str = "",
    now: datetime,
) -> Written:
    """The file is there, durably, when this returns; after anything else nothing has changed there.

    `person`: whose rights hold, an administrator's if empty. `sha256`: what it has to be. Raises Refusal: as
    `asking.ask`, not_writable, name_taken, disk_full, not_whole, bad_path.
    """
    try:
        bytepaths.checked(path)
    except ValueError as error:
        raise Refusal("bad_path", _("No file can have this name."), status=400) from error
    if not path:
        raise Refusal("bad_path", _("No file can have this name."), status=400)
    about = {"path": path, "person": person, "upload": secrets.token_hex(16)}
    key = asking.ask(volume, wire.Act.WRITE, folders=folders, now=now, **about).data
    try:
        offset, digest = _send(volume, _even(pieces), key, about)
        if sha256 and digest != sha256:
            raise Refusal(
                "not_whole", _("The file did not arrive whole, so nothing was changed. Send it again.")
            )
        last = {"last": True, "size_bytes": offset, "sha256": digest, "mtime_ns": mtime_ns}
        asking.ask(volume, wire.Act.WRITE, replace=replace, now=timezone.now(), **about, **last)
    except BaseException:
        with suppress(Refusal):
            asking.ask(volume, wire.Act.WRITE, drop=True, now=timezone.now(), **about)
        raise
    return Written(path, offset, digest)


def _send(volume: Volume, pieces: Iterator[bytes], key: bytes, about: dict[str, Any]) -> tuple[int, str]:
    """How much that was, and its hash."""
    offset, digest = 0, hashlib.sha256()
    purpose = sealing.write_purpose(about["upload"])
    for piece in pieces:
        digest.update(piece)
        try:
            sealed = sealing.seal(piece, key, purpose=purpose)
        except ValueError as error:
            raise Refusal("bad_answer", _("The PC's answer cannot be read.")) from error
        asking.ask(volume, wire.Act.WRITE, offset=offset, data=sealed, now=timezone.now(), **about)
        offset += len(piece)
    return offset, digest.hexdigest()


def _even(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes, in pieces that a PC takes."""
    waiting = bytearray()
    for piece in pieces:
        waiting += piece
        while len(waiting) >= PIECE_BYTES:
            yield bytes(waiting[:PIECE_BYTES])
            del waiting[:PIECE_BYTES]
    if waiting:
        yield bytes(waiting)
