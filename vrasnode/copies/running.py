"""One run of a replica: the key asked for, the virtual server set to work, its manifest handed in.

It waits, so it lives in a thread of its own. A locked volume is opened for it read-only, by whoever opens
volumes (`Reader`), and locked again when it is over, however it went. Not here: when a run is due.
"""

import hashlib
import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

import msgspec
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from vrasnode import sealing
from vrasnode.errors import Refused, Unreachable, VrasError
from vrasnode.machines.controlchannel import Answer
from vrasnode.mydoc.guestnames import bytes_of
from vrasnode.mydoc.housing import Housing
from vrasnode.mydoc.naming import serial_of
from vrasnode.wire import codec
from vrasnode.wire.replication import (
    MAX_MANIFEST_BYTES,
    Occasion,
    ReplicationKey,
    ReplicationKeyAnswer,
    ReplicationKeyRequest,
    ReplicationSlice,
    RunReport,
    RunState,
)

log = logging.getLogger("vrasnode.replication")

GUEST_S = 20.0
LOOK_S = 2.0
OPEN_S = 0.2  # between looks at a volume that is being opened
PIECE_BYTES = 512 << 10
PATIENCE = 5  # looks at a virtual server that does not answer
COUNTED = ("files", "total_bytes", "done_bytes", "sent_bytes", "unreadable")
GONE = {"no_such_run", "volume_closed"}  # of a virtual server that was started anew meanwhile
STATES = {"done": RunState.DONE, "cut_off": RunState.CUT_OFF, "failed": RunState.FAILED}


class Server(Protocol):
    """The server's doors for replicas."""

    def replication_key(self, request: ReplicationKeyRequest) -> ReplicationKeyAnswer: ...
    def hand_in_manifest(self, run: str, packed: bytes) -> None: ...


class Reader(Protocol):
    """Who opens volumes, as far as replicas need it. All from any thread."""

    def is_open(self, volume: str) -> bool:
        """For its user."""

    def is_locked(self, volume: str) -> bool:
        """Locked, and nobody is about to open it."""

    def read(self, volume: str, run: str, server_half: bytes, *, within_s: float) -> None:
        """Asks that a locked volume be opened for this run, read-only and for so long at most."""

    def is_readable(self, volume: str, run: str) -> bool:
        """Whether it is, now. Raises what went wrong, or Unreachable(volume_locked) when it is over."""

    def finish_reading(self, volume: str, run: str) -> None:
        """It is locked again, in the usual order; twice is once."""


@dataclass(frozen=True)
class Due:
    """What is to be copied now. `run` is empty: the server names one; `locked`: it is opened for this."""

    volume: str
    run: str
    occasion: Occasion
    slice_bytes: int
    locked: bool = False


@dataclass(frozen=True, kw_only=True)
class CopyRun:
    """`stop`: this process ends, the run goes on without it. `leave`: the run is to be cut off now; `why`
    says for which reason. `begun` is called with the run's name when it is, `progress` whenever it has come
    further."""

    due: Due
    said: ReplicationSlice
    server: Server
    housing: Housing
    reader: Reader
    stop: threading.Event
    leave: threading.Event
    why: Callable[[], str]
    begun: Callable[[str], None]
    progress: Callable[[RunReport], None]
    now: Callable[[], datetime]

    def copy(self) -> RunReport | None:
        """How it ended; None when it goes on without us. Raises VrasError when there was no key for it."""
        key = self._key()
        self.begun(key.run)
        about = RunReport(
            volume=self.due.volume, run=key.run, state=RunState.RUNNING, occasion=self.due.occasion
        )
        self.progress(about)
        try:
            found = self._copied(key, about)
        except VrasError as error:
            log.warning("%s is not copied: %s", self.due.volume, error)
            passing = isinstance(error, Unreachable) or error.code in GONE or not self._there(key.run)
            state = RunState.CUT_OFF if passing else RunState.FAILED
            return with_counts(about, {}, state=state, code=error.code, words=error.words[:300])
        finally:
            if self.due.locked:
                self.reader.finish_reading(self.due.volume, key.run)
        if found is None:
            return None
        return with_counts(
            about,
            found,
            state=STATES.get(str(found.get("state")), RunState.FAILED),
            snapshot=_text(found, "snapshot"),
            manifest=_text(found, "manifest"),
            code=_text(found, "code"),
            words=_text(found, "words"),
            finished=self.now(),
        )

    def _copied(self, key: ReplicationKey, about: RunReport) -> Answer | None:
        if self.due.locked:
            self._open(key)
        self.housing.call(
            "replica_begin",
            timeout_s=GUEST_S,
            serial=serial_of(self.due.volume),
            run=key.run,
            repository=f"{self.said.gateway}/{key.repository}",
            user=key.user,
            password=key.password,
            repository_password=key.repository_password,
            slice_bytes=self.due.slice_bytes,
            authority=self.said.authority,
            read_only=self.due.locked,
        )
        found = self._wait(key.run, about)
        if found is not None and found.get("state") == "done":
            self._hand_in(key.run, str(found.get("manifest", "")))
        return found

    def _key(self) -> ReplicationKey:
        private = X25519PrivateKey.generate()
        answer = self.server.replication_key(
            ReplicationKeyRequest(
                volume=self.due.volume,
                reply_key=private.public_key().public_bytes_raw(),
                occasion=self.due.occasion,
                run=self.due.run,
                locked=self.due.locked,
            )
        )
        purpose = sealing.replication_purpose(self.due.volume)
        return codec.decode(sealing.open_sealed(answer.sealed, private, purpose=purpose), ReplicationKey)

    def _open(self, key: ReplicationKey) -> None:
        self.reader.read(self.due.volume, key.run, key.server_half, within_s=key.read_s)
        while not self.reader.is_readable(self.due.volume, key.run):
            if self.leave.is_set() or self.stop.wait(OPEN_S):
                raise Unreachable("cut_off", "It was ended before it was begun.")

    def _there(self, run: str) -> bool:
        """Whether the volume still is where it could be copied."""
        if not self.due.locked:
            return self.reader.is_open(self.due.volume)
        try:
            return self.reader.is_readable(self.due.volume, run)
        except VrasError:
            return False

    def _wait(self, run: str, about: RunReport) -> Answer | None:
        """Its last word; None when this process ends before. A virtual server that is silent for a moment is
        asked again."""
        silent = 0
        while not self.stop.wait(LOOK_S):
            if self.leave.is_set():
                return self._cut_off(run)
            try:
                found = self.housing.call("replica_status", timeout_s=GUEST_S, run=run)
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
            self.progress(with_counts(about, found, state=RunState.RUNNING))
        return None

    def _cut_off(self, run: str) -> Answer:
        """What was sent stays, and the next run goes on there."""
        last = dict(self.housing.call("replica_status", timeout_s=GUEST_S, run=run))
        if last.get("state") == "done":
            return last
        self.housing.call("replica_stop", timeout_s=GUEST_S, run=run)
        return {**last, "state": "cut_off", "code": self.why(), "words": ""}

    def _hand_in(self, run: str, digest: str) -> None:
        data = bytearray()
        while True:
            found = self.housing.call(
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
        self.server.hand_in_manifest(run, bytes(data))


def with_counts(about: RunReport, found: Mapping[str, Any], **more: Any) -> RunReport:
    """The report with what the virtual server counted."""
    changed: dict[str, Any] = {name: _number(found, name) for name in COUNTED}
    return msgspec.structs.replace(about, **changed, **more)


def _number(found: Mapping[str, Any], name: str) -> int:
    value = found.get(name)
    return value if isinstance(value, int) and value >= 0 else 0


def _text(found: Mapping[str, Any], name: str) -> str:
    value = found.get(name)
    return value[:300] if isinstance(value, str) else ""
