"""Folders to choose from in a request: what one's own data has now; while its PC is off or it is locked, as
its last replica had it. The look is written down, as every look is."""

from dataclasses import dataclass, field
from datetime import datetime

from clients.errors import Refusal
from mydoc import bytepaths
from mydoc.models import Volume
from mydoc.tree import browsing
from mydoc.tree.browsing import ONE_LOOK, Looker
from vrasnode.wire import mydoc as wire

MOST_PAGES = 5  # of a folder, files among them


@dataclass(frozen=True)
class Choice:
    """The folders in one folder. `refusal`: why they cannot be told; then they are typed."""

    path: bytes = b""
    folders: list[bytes] = field(default_factory=list)  # paths
    more: bool = False
    as_of: datetime | None = None
    refusal: Refusal | None = None

    @property
    def up(self) -> bytes | None:
        """The folder that it lies in; None at the top."""
        return bytepaths.parent(self.path) if self.path else None


def folders_in(volume: Volume, path: bytes, *, now: datetime) -> Choice:
    """Call it for the owner alone, and outside of any transaction: the PC is asked."""
    looker = Looker(reason="", since=now - ONE_LOOK)
    found, after, as_of, more = [], b"", None, True
    try:
        for _page in range(MOST_PAGES):
            listed = browsing.folder(volume, path, after=after, looker=looker, now=now)
            found += [one for one in listed.entries if one.kind is wire.EntryKind.FOLDER]
            after, as_of, more = listed.after, listed.as_of, listed.more
            if not more:
                break
    except Refusal as refusal:
        return Choice(path, refusal=refusal)
    return Choice(path, [bytepaths.joined(path, one.name) for one in found], more, as_of)
