"""The numbers by which a logon is known to have happened at this PC.

A user's logon script asks the local page for one and shows it to the server with its Kerberos ticket. The
server names it to the PC, which opens a volume only for a number that it gave out itself, a short while ago
and not used before. So neither the server nor who pretends to be it opens anything without a logon here.
They lie in memory alone: after a restart of the agent, and of the PC, one logs on anew.
"""

import secrets
import threading
from collections.abc import Callable

GOOD_S = 120.0
MOST = 32  # that are good at once: a script that asks on and on drives out its own
NONCE_BYTES = 16


class Nonces:
    """What was given out. `clock` counts seconds, while the PC sleeps too; `draw` gives so many random bytes
    as hex. Safe to use from several threads."""

    def __init__(self, *, clock: Callable[[], float], draw: Callable[[int], str] = secrets.token_hex) -> None:
        self._clock = clock
        self._draw = draw
        self._lock = threading.Lock()
        self._given: dict[str, float] = {}  # oldest first

    def give(self) -> str:
        """A number that nobody had before, good once."""
        nonce = self._draw(NONCE_BYTES)
        with self._lock:
            while len(self._given) >= MOST:
                del self._given[next(iter(self._given))]
            self._given[nonce] = self._clock()
        return nonce

    def take(self, nonce: str) -> bool:
        """Whether this PC gave it out, not too long ago; from now on it is good for nothing."""
        with self._lock:
            given_at = self._given.pop(nonce, None)
        return given_at is not None and self._clock() < given_at + GOOD_S
