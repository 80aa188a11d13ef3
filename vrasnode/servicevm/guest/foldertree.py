"""What can be seen of a volume: folders page by page, names by a part of them, files piece by piece.

Names and paths are bytes; on the control port they are base64. Nothing here follows a link, and each look
is done in a process of its own with the rights of who looks (`workers`).
"""

import heapq
import os
import stat
import unicodedata
from base64 import b64encode
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from vrasnode.servicevm.guest import paths
from vrasnode.servicevm.guest.answering import Ops, Refusal
from vrasnode.servicevm.guest.filewriting import BEGUN
from vrasnode.servicevm.guest.paths import Parts
from vrasnode.servicevm.guest.workers import Workers

MAX_ENTRIES = 1000
MAX_PIECE_BYTES = 512 << 10
MAX_ANSWER_BYTES = 640 << 10  # of entries; the host takes lines of 1 MiB
MAX_LOOKED_AT = 20_000  # names in one search, when there is something to show already
ENTRY_BYTES = 120  # of an entry, beside its names

Shown = Mapping[str, Any]


def add_to(ops: Ops, *, workers: Workers, data: Path) -> None:
    """Adds `folder_list`, `folder_search` and `file_read`."""

    def folder_list(
        serial: str, *, path: str = "", after: str = "", limit: int = MAX_ENTRIES, uid: int = 0
    ) -> Shown:
        parts, name, most = paths.parts_of(path), paths.bytes_of(after), _limit(limit, MAX_ENTRIES)
        return workers.run(serial, lambda: list_folder(data / serial, parts, after=name, limit=most), uid=uid)

    def folder_search(
        serial: str, *, words: str, path: str = "", after: str = "", limit: int = MAX_ENTRIES, uid: int = 0
    ) -> Shown:
        parts, last, most = paths.parts_of(path), paths.parts_of(after), _limit(limit, MAX_ENTRIES)
        if not isinstance(words, str) or not folded(words):
            raise Refusal("bad_args", "There is nothing to search for.")
        return workers.run(
            serial, lambda: search(data / serial, parts, words, after=last, limit=most), uid=uid
        )

    def file_read(serial: str, *, path: str, offset: int = 0, length: int = 0, uid: int = 0) -> Shown:
        parts, most = paths.parts_of(path), _limit(length, MAX_PIECE_BYTES)
        start = _limit(offset, (1 << 63) - 1, least=0)
        return workers.run(serial, lambda: read_file(data / serial, parts, start, most), uid=uid)

    ops.add("folder_list", folder_list)
    ops.add("folder_search", folder_search)
    ops.add("file_read", file_read)


def list_folder(root: Path, parts: Parts, *, after: bytes, limit: int) -> Shown:
    """The next entries of a folder by name; while there is `more`, `next` says after which name to go on."""
    page, last = _Page(limit), after
    with paths.folder(root, parts) as here:
        listed = (name for name in paths.names_in(here) if name > after and not name.startswith(BEGUN))
        names = heapq.nsmallest(limit + 1, listed)
        for name in names:
            if page.full:
                break
            page.add(name, name, here)
            last = name
    return page.shown(more=bool(names) and (last != names[-1] or len(names) > limit), last=last)


def search(
    root: Path, parts: Parts, words: str, *, after: Parts, limit: int, most: int = MAX_LOOKED_AT
) -> Shown:
    """The next entries below a folder in whose name `words` are, by their paths from the volume's root.

    Case and the ways to write a letter (half width, composed or not) make no difference. After `most` names
    it stops with what it has found, if anything: `next` says after which path to go on while there is `more`;
    to go on after the last that was found comes to the same.
    """
    wanted, page, looked_at = folded(words), _Page(limit), 0
    last = after
    if after[: len(parts)] != parts:
        after = ()
    with paths.folder(root, parts) as top:
        walk = paths.Walk(top, after=after[len(parts) :])
        for here, name, _is_folder in walk:
            if name.startswith(BEGUN):
                continue
            if page.full or (looked_at >= most and not page.empty):
                return page.shown(more=True, last=b"/".join(last))
            looked_at += 1
            last = (*parts, *walk.trail, name)
            if wanted in folded(os.fsdecode(name)):
                page.add(b"/".join(last), name, here)
    return page.shown(more=False, last=b"")


def read_file(root: Path, parts: Parts, offset: int, length: int) -> Shown:
    """A piece of a file, empty behind its end, and how long the file is."""
    with paths.file(root, parts) as descriptor:
        size = os.fstat(descriptor).st_size
        data = bytearray()
        while len(data) < length and (piece := os.pread(descriptor, length - len(data), offset + len(data))):
            data += piece
    return {"data": b64encode(data).decode(), "size_bytes": size}


def folded(text: str) -> str:
    """The same for all ways to write it (Unicode's compatibility caseless matching, but for a few Greek
    letters with iota)."""
    if text.isascii():
        return text.lower()
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


class _Page:
    """Entries of one answer, as many as were asked for and fit in."""

    def __init__(self, limit: int) -> None:
        self._left, self._room = limit, MAX_ANSWER_BYTES
        self._entries: list[Shown] = []

    @property
    def full(self) -> bool:
        return not self._left or self._room <= 0

    @property
    def empty(self) -> bool:
        return not self._entries

    def shown(self, *, more: bool, last: bytes) -> Shown:
        return {"entries": self._entries, "more": more, **({"next": paths.text_of(last)} if more else {})}

    def add(self, shown: bytes, name: bytes, here: int) -> None:
        """What has vanished meanwhile is left out."""
        try:
            entry = _entry(shown, name, here)
        except FileNotFoundError:
            return
        self._entries.append(entry)
        self._left -= 1
        self._room -= ENTRY_BYTES + len(entry["name"]) + len(entry.get("target", ""))


def _entry(shown: bytes, name: bytes, here: int) -> Mapping[str, Any]:
    found = os.stat(name, dir_fd=here, follow_symlinks=False)
    kind = _kind(found.st_mode)
    entry = {"name": paths.text_of(shown), "kind": kind, "changed": int(found.st_mtime)}
    if kind == "file":
        entry["size_bytes"] = found.st_size
    if kind == "link":
        entry["target"] = paths.text_of(os.readlink(name, dir_fd=here))
    return entry


def _kind(mode: int) -> str:
    """As the contract's EntryKind."""
    kinds: Iterable[tuple[str, bool]] = (
        ("folder", stat.S_ISDIR(mode)),
        ("file", stat.S_ISREG(mode)),
        ("link", stat.S_ISLNK(mode)),
    )
    return next((kind for kind, so in kinds if so), "other")


def _limit(value: object, most: int, *, least: int = 1) -> int:
    """Raises Refusal(bad_args)."""
    if not isinstance(value, int) or value < least:
        raise Refusal("bad_args", f"{value!r} is too small, or no number.")
    return min(value, most)
