"""What time it is by the server: asked with a number that nobody knows beforehand, believed if signed."""

import logging
import secrets
from collections.abc import Callable
from concurrent.futures import Future
from datetime import datetime
from typing import Protocol

from vrasnode.aside import aside
from vrasnode.clock import Clock
from vrasnode.errors import Refused, VrasError
from vrasnode.wire import codec
from vrasnode.wire.checkout import NONCE_BYTES, ServerTime, TimeRequest
from vrasnode.wire.signatures import Keyring, Role, Signed

log = logging.getLogger("vrasnode.checkout")

ASK_S, ASK_AGAIN_S = 600.0, 15.0
FRESH_S = 30.0  # a later answer proves too little: it may have been held back
HEARD_S = 90.0  # since the server was heard: it is worth asking


class Server(Protocol):
    """The server's door for the time."""

    def server_time(self, request: TimeRequest) -> Signed: ...


class Asking:
    """`heard_at`: when the server was heard last, in seconds since the start; `wake` is called when it has
    answered. It never waits."""

    def __init__(
        self,
        server: Server,
        *,
        client_id: str,
        clock: Clock,
        heard_at: Callable[[], float],
        wake: Callable[[], None],
    ) -> None:
        self._server = server
        self._client_id = client_id
        self._clock = clock
        self._heard_at = heard_at
        self._wake = wake
        self._asked: tuple[bytes, float, Future[Signed]] | None = None
        self._asked_at, self._answered = float("-inf"), False

    def ask(self, *, trouble: str = "") -> None:
        """If it is time to, and of any use; `trouble`: why no clock here is believed without the answer."""
        now = self._clock.since_start()
        due = self._asked_at + (ASK_AGAIN_S if trouble or not self._answered else ASK_S)
        if self._asked is not None or now < due or now > self._heard_at() + HEARD_S:
            return
        self._asked_at, self._answered = now, False
        request = TimeRequest(nonce=secrets.token_bytes(NONCE_BYTES), trouble=trouble)
        asked = aside(lambda: self._server.server_time(request), name="server-time", done=self._wake)
        self._asked = request.nonce, now, asked

    def take(self, keyring: Keyring) -> datetime | None:
        """What the server has answered; None: nothing, or nothing that is believed."""
        if self._asked is None or not self._asked[2].done():
            return None
        (nonce, asked_at, asked), self._asked = self._asked, None
        try:
            signed = asked.result()
            claimed = codec.decode(signed.payload, ServerTime)
            said = keyring.open(signed, Role.LEASE, ServerTime, at=claimed.time)
            if str(said.client) != self._client_id or said.nonce != nonce:
                raise Refused("bad_time", "The server's time is the answer to another question.")
            if self._clock.since_start() > asked_at + FRESH_S:
                raise Refused("bad_time", "The server's time came too late to be believed.")
        except VrasError as error:
            log.info("the server's time is not known: %s", error)
            return None
        self._answered = True
        return said.time
