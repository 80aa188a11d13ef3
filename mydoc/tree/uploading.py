"""A file comes into a folder that its owner's administrators let somebody change: written down, then sent."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.utils.translation import gettext_lazy as _

from clients.errors import Refusal
from mydoc import bytepaths
from mydoc.models import FolderGrant, person_id
from mydoc.tree import browsing, writing
from mydoc.tree.writing import Written
from vrasnode.wire import mydoc as wire

PAGE_BYTES = 64 << 20  # in one form: it is held in memory, never on this server's disk
MOST_BYTES = 2 << 30


def upload(
    grant: FolderGrant,
    folder: bytes,
    name: str,
    pieces: Iterable[bytes],
    *,
    replace: bool,
    by: Any,
    now: datetime,
) -> Written:
    """The file is there, durably. The PC's kernel decides with the rights of `by`; here it is said beforehand
    what was never granted. The owner sees it. Raises Refusal: only_reading, bad_path, and what `writing`
    raises.
    """
    if grant.access != wire.Access.WRITE.value:
        raise Refusal(
            "only_reading", _("Only reading was shared with you here: nothing can be written."), status=403
        )
    path = bytepaths.joined(folder, name.encode("utf-8", "surrogateescape"))
    if not name or "/" in name or not bytepaths.within(path, bytes(grant.path)):
        raise Refusal("bad_path", _("No file can have this name."), status=400)
    written = writing.write(grant.volume, path, pieces, person=person_id(by), replace=replace, now=now)
    browsing.record(grant.volume, "upload", path, reason="", now=now)
    return written
