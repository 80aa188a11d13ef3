"""Brings small files into an open volume by the handful, through its PC: three questions for each would take
far longer than the files do.

They are sealed as the pieces of a file are (`writing`), to a key that the PC makes for as long as they come.
A PC that is too old for that says so at the first question; then each file goes its own way.
"""

import secrets
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

from clients.errors import Refusal
from mydoc.models import Volume
from mydoc.tree import asking
from vrasnode import sealing
from vrasnode.wire import codec
from vrasnode.wire import mydoc as wire

MOST_FILES, MOST_BYTES = wire.MAX_BROUGHT, wire.MAX_WRITE_BYTES
SMALL_BYTES = MOST_BYTES  # what is larger comes in pieces anyway
TOO_OLD = {"bad_path", "unknown_op", "bad_args", "guest_failed"}  # as PCs from before say it


class Bundles:
    """The way into one volume. `possible` becomes false when its PC cannot do it."""

    def __init__(self, volume: Volume) -> None:
        self.possible = True
        self._volume = volume
        self._upload = ""
        self._key = b""

    def write(self, files: Sequence[wire.Brought], *, now: datetime) -> list[str] | None:
        """What became of each: "" when it is there, durably, else a code; None: not possible, and nothing was
        written. Raises Refusal as `asking.ask`; what was written by then is seen by its hash later."""
        try:
            return self._written(files, now)
        except Refusal as refusal:
            if refusal.code not in TOO_OLD:
                raise
            self.possible = False
            return None

    def end(self, *, now: datetime) -> None:
        """No more come: the PC forgets the key."""
        if self._key:
            self._key = b""
            with suppress(Refusal):
                self._ask(drop=True, now=now)

    def _written(self, files: Sequence[wire.Brought], now: datetime) -> list[str]:
        fresh = not self._key
        if fresh:
            self._begin(now)
        data = codec.encode(wire.Handful(files=list(files)))
        try:
            sealed = sealing.seal(data, self._key, purpose=sealing.write_purpose(self._upload))
        except ValueError as error:
            raise Refusal("bad_answer", "") from error
        try:
            outcomes = self._ask(data=sealed, now=now).outcomes
        except Refusal as refusal:
            if refusal.code != "no_such_upload" or fresh:
                raise
            self._key = b""  # its agent began anew
            return self._written(files, now)
        if len(outcomes) != len(files):
            raise Refusal("bad_answer", "")
        return outcomes

    def _begin(self, now: datetime) -> None:
        self._upload = secrets.token_hex(16)
        self._key = self._ask(now=now).data

    def _ask(self, *, now: datetime, **about: Any) -> wire.Answer:
        return asking.ask(self._volume, wire.Act.WRITE, many=True, upload=self._upload, now=now, **about)
