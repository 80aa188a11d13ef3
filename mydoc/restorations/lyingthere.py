"""What lies in an open volume, as whoever writes many files into it has to know."""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime

from clients.errors import Refusal
from mydoc import bytepaths
from mydoc.models import Volume
from mydoc.tree import asking
from vrasnode.wire import mydoc as wire
from vrasnode.wire.replication import ManifestLine

FOLDERS = 64  # whose entries are remembered
Folder = dict[bytes, wire.Entry]


@contextmanager
def _gone_is_nothing() -> Iterator[None]:
    """What is not there any more is as if it never was."""
    try:
        yield
    except Refusal as refusal:
        if refusal.code != "no_such_name":
            raise


class There:
    """What lies there, folder by folder: the PC is asked once for each, and not for what is in none.

    `alive` is called before each question. What somebody else does meanwhile is not seen: nothing is
    overwritten for that, and `forget` has a folder looked at anew.
    """

    def __init__(self, target: Volume, *, clock: Callable[[], datetime], alive: Callable[[], None]) -> None:
        self._target = target
        self._clock = clock
        self._alive = alive
        self._folders: OrderedDict[bytes, Folder] = OrderedDict()

    def entry(self, path: bytes) -> wire.Entry | None:
        return self._folder(bytepaths.parent(path)).get(bytepaths.last(path))

    def has(self, path: bytes, line: ManifestLine) -> None:
        """It lies there now, and so do the folders on its way."""
        entry = wire.Entry(name=bytepaths.last(path), kind=wire.EntryKind.FILE, size_bytes=line.size_bytes)
        self._folder(bytepaths.parent(path))[entry.name] = entry
        while path := bytepaths.parent(path):
            known = self._folders.get(bytepaths.parent(path))
            if known is not None and bytepaths.last(path) not in known:
                known[bytepaths.last(path)] = wire.Entry(
                    name=bytepaths.last(path), kind=wire.EntryKind.FOLDER
                )

    def forget(self, path: bytes) -> None:
        """Somebody else changes its folder, too: nothing of what was seen on the way there counts."""
        while path:
            path = bytepaths.parent(path)
            self._folders.pop(path, None)

    def _folder(self, path: bytes) -> Folder:
        if path in self._folders:
            self._folders.move_to_end(path)
            return self._folders[path]
        found: Folder = {}
        if not path or bytepaths.last(path) in self._folder(bytepaths.parent(path)):
            with _gone_is_nothing():
                found = {entry.name: entry for entry in self._listed(path)}
        self._folders[path] = found
        while len(self._folders) > FOLDERS:
            self._folders.popitem(last=False)
        return found

    def _listed(self, path: bytes) -> Iterator[wire.Entry]:
        after = b""
        while True:
            self._alive()
            about = {"path": path, "after": after, "length": wire.MAX_ENTRIES}
            answer = asking.ask(self._target, wire.Act.LIST, now=self._clock(), **about)
            yield from answer.entries
            after = answer.next or (answer.entries[-1].name if answer.entries else b"")
            if not answer.more or not after:
                return
