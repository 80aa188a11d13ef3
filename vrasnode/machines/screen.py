"""The control base's own screen: where its user reads why the desktop looks otherwise, or is not there.

While a display is passed through nobody sees it; when the start with it failed it is all there is. Not for
logs, and nothing here is worth stopping for: a PC without such a screen goes on.
"""

import logging
import os
from pathlib import Path

log = logging.getLogger("vrasnode.screen")

CONSOLE = Path("/dev/tty1")
READ_BYTES = 256
_CLEAR = "\x1bc"


class Screen:
    """Shows one message at a time. `language` of the words is the caller's business."""

    def __init__(self, console: Path = CONSOLE) -> None:
        self._console = console
        self._shown = ""

    def pressed(self) -> bool:
        """Whether somebody pressed Enter there since the last time; never waits."""
        try:
            console = os.open(self._console, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            return b"\n" in os.read(console, READ_BYTES)
        except OSError:  # nothing was typed, or nobody may read there
            return False
        finally:
            os.close(console)

    def show(self, words: str) -> None:
        """Puts `words` on an empty screen; nothing when they are there already. "" clears it."""
        if words == self._shown:
            return
        self._shown = words
        try:
            with self._console.open("r+b", buffering=0) as console:  # never creates it
                console.write(f"{_CLEAR}{words}\n".encode())
        except OSError as error:
            log.info("cannot be written to: %s", error)
