"""Tells the client VM where its user's documents are, or that they are gone, until it knows. Never waits."""

import logging
from collections.abc import Callable, Mapping
from concurrent.futures import Future

from vrasnode.aside import aside
from vrasnode.errors import VrasError
from vrasnode.mydoc.housing import Housing
from vrasnode.mydoc.unlocking import Shared

log = logging.getLogger("vrasnode.mydoc")

AGAIN_S = 5.0
OFTEN_S, SELDOM_S = 900.0, 300.0  # a client VM that is off for the night is not asked every few seconds


class Telling:
    """`server` is the virtual server's address inside the PC; `wake` is called when there was an answer."""

    def __init__(
        self, housing: Housing, *, server: str, wake: Callable[[], None], clock: Callable[[], float]
    ) -> None:
        self._housing = housing
        self._server = server
        self._wake = wake
        self._clock = clock
        self.shared: Shared | None = None  # until the client VM knows
        self._telling: Future[None] | None = None
        self._tell_at = self._close_at = float("-inf")
        self._late: Future[None] | None = None  # was to tell what is not so any more
        self._closed: Mapping[str, object] | None = None  # until the client VM knows
        self._closing: tuple[Mapping[str, object], Future[None]] | None = None
        self._often_until = float("-inf")
        self._why_not = ""

    def begin(self, shared: Shared) -> None:
        """Who is told of an opening sees for themselves to what is left of the one before."""
        self.shared, self._tell_at, self._closed = shared, float("-inf"), None

    def step(self, owner: str) -> bool:
        """Whether the client VM knows since now. Raises what it said instead; it is told again."""
        knows = False
        if self._telling is not None and self._telling.done():
            telling, self._telling = self._telling, None
            try:
                telling.result()
            except VrasError:
                self._tell_at = self._clock() + AGAIN_S
                raise
            self.shared, knows = None, True
        free = self._telling is None and self._closing is None  # no end may come after a beginning
        if self.shared is not None and free and self._clock() >= self._tell_at:
            self._telling = self._say(
                {
                    "server": self._server,
                    "share": self.shared.share,
                    "user": self.shared.user,
                    "password": self.shared.password,
                    "owner": owner,
                }
            )
        return knows

    def say_closed(self, owner: str) -> None:
        """The documents are gone; of all users where `owner` is not known. It is said until it was heard, or
        until they are opened again: a client VM may be too busy to listen."""
        self._closed = {"close": True, **({"owner": owner} if owner else {})}
        self._close_at, self._often_until, self._why_not = float("-inf"), self._clock() + OFTEN_S, ""
        self.step_closed()

    def step_closed(self) -> None:
        """Takes what it said to that, and says it again when it is time."""
        if self._closing is not None:
            said, closing = self._closing
            if not closing.done():
                return
            self._closing = None
            late = self._late is not None and not self._late.done()  # that may bring them back
            error = closing.exception()
            if error is not None or late:
                often = self._clock() < self._often_until
                self._close_at = self._clock() + (AGAIN_S if often else SELDOM_S)
                if error is not None and str(error) != self._why_not:
                    self._why_not = str(error)
                    log.info("the client VM is not told yet that documents are gone: %s", error)
            elif said is self._closed:
                self._closed = None
        if self._closed is not None and self._clock() >= self._close_at:
            self._closing = self._closed, self._say(self._closed)

    def stop(self) -> None:
        """What was to be told is not so any more."""
        self._late = self._telling or self._late
        self.shared = self._telling = None

    def _say(self, message: Mapping[str, object]) -> "Future[None]":
        return aside(lambda: self._housing.tell(message), name="client-vm", done=self._wake)
