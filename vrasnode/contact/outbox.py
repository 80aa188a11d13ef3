"""Reports on their way to the server: the last one about each thing, kept until the server has it."""

import logging
from collections.abc import Callable
from pathlib import Path

from vrasnode.errors import Refused
from vrasnode.host import disk
from vrasnode.wire import codec
from vrasnode.wire.codec import Message

log = logging.getLogger("vrasnode.outbox")


class Letter(Message, frozen=True):
    """A report to an app's door. A later one about the same thing replaces it."""

    app: str
    about: str
    body: bytes


class Outbox:
    """Letters in the order in which their things first came up."""

    def __init__(self, path: Path) -> None:
        """Reads what an earlier process could not send."""
        self._path = path
        self._letters: dict[tuple[str, str], Letter] = {}
        self._kept: set[tuple[str, str]] = set()
        data = disk.read_file(path)
        for letter in _read(data) if data else []:
            self._letters[letter.app, letter.about] = letter
        self._kept = set(self._letters)

    def __len__(self) -> int:
        return len(self._letters)

    def put(self, app: str, about: str, message: Message, *, keep: bool) -> None:
        """To be sent soon. `keep`: also after a kill; for what happens often and is soon untrue, it need not.

        Raises HostBroken when the disk does not take it; it is sent all the same if this process lives.
        """
        letter = Letter(app=app, about=about, body=codec.encode(message))
        self._letters[app, about] = letter
        if keep:
            self._kept.add((app, about))
            self._write()

    def send(self, deliver: Callable[[str, bytes], None]) -> None:
        """Gives every letter to `deliver`. One that the server does not want is dropped and logged;
        Unreachable and a refusal of this PC itself are passed on, and everything not sent stays."""
        for key, letter in list(self._letters.items()):
            try:
                deliver(letter.app, letter.body)
            except Refused as error:
                if error.code in NOT_WELCOME:
                    raise
                log.warning("a report about %s %s is not wanted: %s", letter.app, letter.about, error)
            if self._letters.get(key) is letter:
                del self._letters[key]
            if key in self._kept:
                self._kept.discard(key)
                self._write()

    def _write(self) -> None:
        letters = [self._letters[key] for key in self._letters if key in self._kept]
        disk.write_file(self._path, codec.encode(letters))


NOT_WELCOME = frozenset({"revoked", "lost", "unknown_client", "pending"})


def _read(data: bytes) -> list[Letter]:
    try:
        return codec.decode(data, list[Letter])
    except Refused as error:
        log.warning("unsent reports of an earlier run are lost: %s", error.words)
        return []
