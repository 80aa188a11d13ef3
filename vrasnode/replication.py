"""Replicas of user data: copies volumes that are open when the server says so, and says how far it has come.

The part never waits: one run at a time, in a thread of its own, the copying itself inside the virtual server.
What it needs comes from the server sealed for this run, goes to the virtual server, and is written nowhere. A
volume that is locked meanwhile cuts its run off; the server asks for another.
"""

import hashlib
import logging
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from datetime import datetime
from functools import partial
from typing import Any, Protocol

import msgspec
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from vrasnode import sealing
from vrasnode.aside import aside
from vrasnode.controlchannel import Answer
from vrasnode.errors import Refused, VrasError
from vrasnode.guestnames import bytes_of
from vrasnode.housing import Housing
from vrasnode.outbox import Outbox
from vrasnode.volumenames import is_volume, serial_of
from vrasnode.wire import codec
from vrasnode.wire.replication import (
    MAX_MANIFEST_BYTES,
    ReplicationKey,
    ReplicationKeyAnswer,
    ReplicationKeyRequest,
    ReplicationReport,
    ReplicationSlice,
    ReplicationWish,
    RunReport,
    RunState,
)

log = logging.getLogger("vrasnode.replication")

SLICE = "replication"
NOTHING = ReplicationSlice(volumes=[])
GUEST_S = 20.0
LOOK_S = 2.0
TELL_S = 10.0  # between words of a run that is under way
AGAIN_S = 60.0  # when the server gives no key now
PIECE_BYTES = 512 << 10
PATIENCE = 5  # looks at a virtual server that does not answer
COUNTED = ("files", "total_bytes", "done_bytes", "sent_bytes", "unreadable")
STATES = {"done": RunState.DONE, "cut_off": RunState.CUT_OFF, "failed": RunState.FAILED}


class Server(Protocol):
    """The server's doors for replicas."""

    def replication_key(self, request: ReplicationKeyRequest) -> ReplicationKeyAnswer: ...
    def hand_in_manifest(self, run: str, packed: bytes) -> None: ...


class Replication:
    """The part. `is_open` says of a volume whether it is; `wake` wakes the agent, from any thread; `clock`
    counts seconds and never goes back."""

    name = SLICE

    def __init__(
        self,
        *,
        server: Server,
        housing: Housing,
        is_open: Callable[[str], bool],
        get_slice: Callable[[str], bytes | None],
        outbox: Outbox,
        wake: Callable[[], None],
        now: Callable[[], datetime],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._server = server
        self._housing = housing
        self._is_open = is_open
        self._get_slice = get_slice
        self._outbox = outbox
        self._wake = wake
        self._clock = clock
        self._now = now
        self._slice: bytes | None = None
        self._said = NOTHING
        self._ended: set[str] = set()
        self._not_before = clock()
        self._tell_at = clock()
        self._progress: RunReport | None = None
        self._job: Future[RunReport | None] | None = None
        self._stop = threading.Event()

    @property
    def progress(self) -> RunReport | None:
        """Of the run that is under way. From any thread."""
        return self._progress

    def step(self) -> bool:
        """Raises Refused(bad_message) for a slice that cannot be read: what it said before holds."""
        data = self._get_slice(SLICE)
        if data is not None and data is not self._slice:
            self._slice = data
            self._said = codec.decode(data, ReplicationSlice)
            self._ended &= {wish.run for wish in self._said.volumes}
        if self._job is not None:
            self._look_at(self._job)
        elif self._clock() >= self._not_before:
            self._begin()
        return False

    def close(self) -> None:
        """What is under way in the virtual server goes on; whoever comes next finds it."""
        self._stop.set()

    def _begin(self) -> None:
        wish = next((one for one in self._said.volumes if self._is_due(one)), None)
        if wish is not None:
            copy = partial(self._copy, wish, self._said)
            self._job = aside(copy, name="replication", done=self._wake)

    def _is_due(self, wish: ReplicationWish) -> bool:
        if not wish.run or wish.run in self._ended or not is_volume(wish.volume):
            return False
        return self._is_open(wish.volume) and (wish.not_before is None or wish.not_before <= self._now())

    def _look_at(self, job: "Future[RunReport | None]") -> None:
        if not job.done():
            if self._progress is not None and self._clock() >= self._tell_at:
                self._tell_at = self._clock() + TELL_S
                self._tell(self._progress, keep=False)
            return
        self._job = self._progress = None
        ended = job.result()
        if ended is None:
            self._not_before = self._clock() + AGAIN_S
            return
        self._ended.add(ended.run)
        self._tell(ended, keep=True)

    def _tell(self, run: RunReport, *, keep: bool) -> None:
        self._outbox.put(SLICE, run.run, ReplicationReport(runs=[run]), keep=keep)

    def _copy(self, wish: ReplicationWish, said: ReplicationSlice) -> RunReport | None:
        """How it ended; None when it could not begin, or goes on without us."""
        try:
            key = self._key(wish)
        except VrasError as error:
            log.info("no key to copy %s: %s", wish.volume, error)
            return None
        about = RunReport(volume=wish.volume, run=wish.run, state=RunState.RUNNING, occasion=wish.occasion)
        self._progress = about
        try:
            self._housing.call(
                "replica_begin",
                timeout_s=GUEST_S,
                serial=serial_of(wish.volume),
                run=wish.run,
                repository=f"{said.gateway}/{key.repository}",
                user=key.user,
                password=key.password,
                repository_password=key.repository_password,
                slice_bytes=wish.slice_bytes,
                authority=said.authority,
            )
            found = self._wait(wish, about)
            if found is None:
                return None
            if found.get("state") == "done":
                self._hand_in(wish.run, str(found.get("manifest", "")))
        except VrasError as error:
            log.warning("%s is not copied: %s", wish.volume, error)
            state = RunState.FAILED if self._is_open(wish.volume) else RunState.CUT_OFF
            return _with(about, {}, state=state, code=error.code, words=error.words[:300])
        state = STATES.get(str(found.get("state")), RunState.FAILED)
        return _with(
            about,
            found,
            state=state,
            snapshot=_text(found, "snapshot"),
            manifest=_text(found, "manifest"),
            code=_text(found, "code"),
            words=_text(found, "words"),
            finished=self._now(),
        )

    def _key(self, wish: ReplicationWish) -> ReplicationKey:
        private = X25519PrivateKey.generate()
        answer = self._server.replication_key(
            ReplicationKeyRequest(
                volume=wish.volume,
                reply_key=private.public_key().public_bytes_raw(),
                occasion=wish.occasion,
                run=wish.run,
            )
        )
        purpose = sealing.replication_purpose(wish.volume)
        return codec.decode(sealing.open_sealed(answer.sealed, private, purpose=purpose), ReplicationKey)

    def _wait(self, wish: ReplicationWish, about: RunReport) -> Answer | None:
        """Its last word; None when this process ends before. A virtual server that is silent for a moment is
        asked again."""
        silent = 0
        while not self._stop.wait(LOOK_S):
            try:
                found = self._housing.call("replica_status", timeout_s=GUEST_S, run=wish.run)
            except Refused:
                raise
            except VrasError:
                silent += 1
                if silent >= PATIENCE:
                    raise
                continue
            silent = 0
            if found.get("state") != "running":
                return found
            self._progress = _with(about, found, state=RunState.RUNNING)
            self._wake()
        return None

    def _hand_in(self, run: str, digest: str) -> None:
        data = bytearray()
        while True:
            found = self._housing.call(
                "replica_manifest", timeout_s=GUEST_S, run=run, offset=len(data), length=PIECE_BYTES
            )
            try:
                piece = bytes_of(found.get("data"))
            except ValueError as error:
                raise Refused("guest_failed", "The virtual server's answer cannot be read.") from error
            data += piece
            if not piece:
                break
            if len(data) > MAX_MANIFEST_BYTES:
                raise Refused("manifest_too_long", "There are more files than one manifest holds.")
        if hashlib.sha256(data).hexdigest() != digest:
            raise Refused("manifest_torn", "The manifest is not what the virtual server wrote.")
        self._server.hand_in_manifest(run, bytes(data))


def _with(about: RunReport, found: Mapping[str, Any], **more: Any) -> RunReport:
    changed: dict[str, Any] = {name: _number(found, name) for name in COUNTED}
    return msgspec.structs.replace(about, **changed, **more)


def _number(found: Mapping[str, Any], name: str) -> int:
    value = found.get(name)
    return value if isinstance(value, int) and value >= 0 else 0


def _text(found: Mapping[str, Any], name: str) -> str:
    value = found.get(name)
    return value[:300] if isinstance(value, str) else ""
