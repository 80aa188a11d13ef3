"""Tells the client VM where its user's documents are, until it knows. It never waits."""

from collections.abc import Callable, Mapping
from concurrent.futures import Future

from vrasnode.aside import aside
from vrasnode.errors import VrasError
from vrasnode.housing import Housing
from vrasnode.unlocking import Shared

AGAIN_S = 5.0


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
        self._tell_at = float("-inf")

    def begin(self, shared: Shared) -> None:
        self.shared, self._tell_at = shared, float("-inf")

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
        if self.shared is not None and self._telling is None and self._clock() >= self._tell_at:
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
        """The documents are gone; of all users where `owner` is not known."""
        self._say({"close": True, **({"owner": owner} if owner else {})})

    def stop(self) -> None:
        """What was to be told is not so any more."""
        self.shared = self._telling = None

    def _say(self, message: Mapping[str, object]) -> "Future[None]":
        return aside(lambda: self._housing.tell(message), name="client-vm", done=self._wake)
