"""A volume that is open, watched: whether the virtual server still has it, how full it is, who may read it.

Nothing here waits: what was asked is looked at the next time.
"""

import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any

from vrasnode.errors import VrasError
from vrasnode.machines.controlchannel import Answer
from vrasnode.mydoc.guestnames import bytes_of, text_of
from vrasnode.mydoc.housing import Housing
from vrasnode.mydoc.naming import serial_of, uid_of
from vrasnode.wire import codec
from vrasnode.wire.mydoc import Access, Grant, VolumeWish

log = logging.getLogger("vrasnode.mydoc")

LOOK_S = 5.0
NOTE_S, MUCH_BYTES = 300.0, 16 << 20
GRANTS_AGAIN_S = 1800.0  # what was moved out of a folder keeps its readers until then
FAILED_AGAIN_S = 60.0
WORDS = 400


class OpenVolume:
    """`program` is the run of the virtual server in which it was shared; `wake` is called when there is
    something new to see."""

    def __init__(
        self,
        volume: str,
        *,
        program: str,
        housing: Housing,
        wake: Callable[[], None],
        clock: Callable[[], float],
    ) -> None:
        self._volume = volume
        self._program = program
        self._housing = housing
        self._wake = wake
        self._clock = clock
        self._look_at = self._note_at = clock()
        self._asked: dict[str, Future[Answer]] = {}
        self._applying: tuple[VolumeWish, Future[Answer]] | None = None
        self._apply_at = clock()
        self._applied = ""  # what the newest walk was for
        self.lost = ""  # why it has to be opened again; "": it has not
        self.size_bytes = self.used_bytes = 0
        self.read_only = False  # after an error: the control base's disk was full, for example
        self.grants_revision = 0
        self.grants_failed = ""

    def step(self, wish: VolumeWish) -> None:
        """Takes what has come, asks what is due."""
        self._take()
        if self._clock() >= self._look_at and not self._asked:
            self._look_at = self._clock() + LOOK_S
            serial = serial_of(self._volume)
            self._asked = {"ping": self._begin("ping"), "usage": self._begin("volume_usage", serial=serial)}
        self._step_grants(wish)

    def _take(self) -> None:
        if not self._asked or not all(asked.done() for asked in self._asked.values()):
            return  # a guest that hangs is the virtual server's matter, and ends there
        asked, self._asked = self._asked, {}
        try:
            program, usage = str(asked["ping"].result()["session"]), asked["usage"].result()
        except VrasError as error:
            self.lost = error.words
        else:
            self.read_only = usage.get("read_only") is True
            self._note(_number(usage, "size_bytes"), _number(usage, "used_bytes"))
            if program != self._program:
                self.lost = "The virtual server was started anew."

    def _note(self, size_bytes: int, used_bytes: int) -> None:
        """What is used changes all the time, and is worth telling when it did by much, or now and then."""
        much = abs(used_bytes - self.used_bytes) >= max(MUCH_BYTES, size_bytes // 100)
        if much or size_bytes != self.size_bytes or self._clock() >= self._note_at:
            self._note_at = self._clock() + NOTE_S
            self.size_bytes, self.used_bytes = size_bytes, used_bytes

    def _step_grants(self, wish: VolumeWish) -> None:
        if self._applying is not None:
            wished, asked = self._applying
            if asked.done():
                self._applying = None
                self._hear(wished, asked)
            return
        wanted = _digest(wish)
        if wanted == self._applied and self._clock() < self._apply_at:
            return
        self._applied, self._apply_at = wanted, self._clock() + GRANTS_AGAIN_S
        asked_for = [
            {"path": text_of(one.path), "uid": uid_of(one.person), "access": one.access.value}
            for one in wish.grants
        ]
        asked = self._begin("grants_apply", serial=serial_of(self._volume), grants=asked_for)
        self._applying = wish, asked

    def _hear(self, wish: VolumeWish, asked: "Future[Answer]") -> None:
        try:
            trouble = _trouble(asked.result(), wish.grants)
        except VrasError as error:
            trouble = error.words
        if trouble:
            self._apply_at = self._clock() + FAILED_AGAIN_S
            if trouble != self.grants_failed:
                log.warning("%s: rights of others are not as they should be: %s", self._volume, trouble)
        else:
            self.grants_revision = wish.grants_revision
        self.grants_failed = trouble

    def _begin(self, op: str, **args: Any) -> "Future[Answer]":
        asked = self._housing.begin(op, **args)
        asked.add_done_callback(lambda _: self._wake())
        return asked


def _trouble(answer: Answer, grants: Sequence[Grant]) -> str:
    """Why not every grant holds as it was read back; "" when all do."""
    failed, applied = answer.get("failed"), answer.get("applied")
    if not isinstance(failed, Mapping) or not isinstance(applied, Sequence):
        return "The virtual server's answer is none."
    if failed:
        return "; ".join(f"/{_shown(path)}: {words}" for path, words in failed.items())[:WORDS]
    read = {_as_read(one) for one in applied}
    missing = [one for one in grants if not read & _that_give(one)]
    return f"{len(missing)} of {len(grants)} do not read back." if missing else ""


def _that_give(grant: Grant) -> set[tuple[object, object, object]]:
    """What may read back for it: who may write in a folder around it may here, too."""
    enough = {grant.access, Access.WRITE}
    return {(text_of(grant.path), uid_of(grant.person), access.value) for access in enough}


def _shown(path: object) -> str:
    try:
        return bytes_of(path).decode(errors="replace")
    except ValueError:
        return "?"


def _as_read(one: object) -> tuple[object, object, object]:
    if not isinstance(one, Mapping):
        return None, None, None
    return one.get("path"), one.get("uid"), one.get("access")


def _digest(wish: VolumeWish) -> str:
    return hashlib.sha256(codec.encode([wish.grants_revision, wish.grants])).hexdigest()


def _number(answer: Answer, name: str) -> int:
    found = answer.get(name)
    return found if isinstance(found, int) and found >= 0 else 0
