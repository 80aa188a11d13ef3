"""What people at the portal ask of open volumes: fetched, answered by the virtual server, sealed.

A question is given out once and waits for nobody: what cannot be answered now is answered with a code. With
whose rights the virtual server looks is in the question; its kernel decides.
"""

import logging
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from datetime import UTC, datetime
from functools import partial
from typing import Any, Protocol

from vrasnode import sealing
from vrasnode.aside import aside
from vrasnode.errors import Refused, Unreachable, VrasError
from vrasnode.mydoc.guestnames import bytes_of, text_of
from vrasnode.mydoc.housing import Housing
from vrasnode.mydoc.incoming import Incoming
from vrasnode.mydoc.naming import serial_of, uid_of
from vrasnode.wire import codec
from vrasnode.wire.mydoc import (
    MAX_ANSWER_BYTES,
    MAX_ENTRIES,
    MAX_PIECE_BYTES,
    Act,
    Answer,
    Entry,
    EntryKind,
    Question,
    Questions,
)

log = logging.getLogger("vrasnode.mydoc")

AT_ONCE = 4
MOST = 64  # that wait; who asks more than that is asked to ask again
GUEST_S = 20.0
WRITE_S = 120.0  # a large file is read once more before it gets its name
AGAIN_S = 2.0
ADMINISTRATOR = 0


class Server(Protocol):
    """The server's doors for questions."""

    def questions(self) -> Questions: ...
    def answer(self, question: str, sealed: bytes) -> None: ...


class Answering:
    """`is_open` says of a volume whether it is; `wake` is called, from any thread, when a step is due."""

    def __init__(
        self,
        *,
        server: Server,
        housing: Housing,
        is_open: Callable[[str], bool],
        wake: Callable[[], None],
        clock: Callable[[], float],
    ) -> None:
        self._server = server
        self._housing = housing
        self._is_open = is_open
        self._wake = wake
        self._clock = clock
        self._asked = 0
        self._not_before = clock()
        self._fetching: Future[Questions] | None = None
        self._waiting: deque[Question] = deque()
        self._jobs: list[Future[None]] = []
        self._incoming = Incoming(housing.call, clock=clock)

    def step(self, asked: int) -> None:
        """`asked` is what the server says: another number means that there are questions."""
        for job in [job for job in self._jobs if job.done()]:
            self._jobs.remove(job)
            job.result()  # a bug in it is for the crank
        if self._fetching is not None and self._fetching.done():
            self._take()
        if asked != self._asked and self._fetching is None and self._clock() >= self._not_before:
            self._asked = asked
            self._fetching = aside(self._server.questions, name="questions", done=self._wake)
        while self._waiting and len(self._jobs) < AT_ONCE:
            deal = partial(self._deal, self._waiting.popleft())
            self._jobs.append(aside(deal, name="answer", done=self._wake))

    def _take(self) -> None:
        fetching, self._fetching = self._fetching, None
        try:
            found = fetching.result().questions if fetching else []
        except VrasError as error:
            log.info("questions cannot be fetched: %s", error)
            self._asked, self._not_before = -1, self._clock() + AGAIN_S
            return
        self._waiting.extend(found[: MOST - len(self._waiting)])

    def _deal(self, question: Question) -> None:
        answer = self.answer_to(question)
        try:
            purpose = sealing.answer_purpose(question.id)
            sealed = sealing.seal(codec.encode(answer), question.reply_key, purpose=purpose)
        except ValueError as error:
            log.warning("question %s cannot be answered to anybody: %s", question.id, error)
            return
        try:
            self._server.answer(question.id, sealed)
        except VrasError as error:
            log.info("the answer to %s is not wanted: %s", question.id, error)

    def answer_to(self, question: Question) -> Answer:
        """The answer; a code for why there is none."""
        if not self._is_open(question.volume):
            return Answer(code="volume_locked", words="The volume is not open now.")
        try:
            if question.act is Act.WRITE:
                return self._incoming.answer_to(question, **_about(question, WRITE_S))
            found = self._housing.call(**_call_of(question))
            answer = _read(question, found) if question.act is Act.READ else _listed(found)
        except (Refused, Unreachable) as error:
            return Answer(code=error.code, words=error.words)
        except (ValueError, TypeError, AttributeError, KeyError, OverflowError) as error:
            log.warning("the virtual server answered nonsense: %r", error)
            return Answer(code="guest_failed", words="The virtual server's answer cannot be read.")
        if len(codec.encode(answer)) > MAX_ANSWER_BYTES - 256:
            return Answer(code="answer_too_long", words="Ask for less at once.")
        return answer


def _call_of(question: Question) -> dict[str, Any]:
    """What the virtual server is asked."""
    call = _about(question, GUEST_S)
    if question.act is Act.READ:
        length = min(question.length or MAX_PIECE_BYTES, MAX_PIECE_BYTES)
        return {**call, "op": "file_read", "offset": question.offset, "length": length}
    call |= {"after": text_of(question.after), "limit": min(question.length or MAX_ENTRIES, MAX_ENTRIES)}
    if question.act is Act.SEARCH:
        return {**call, "op": "folder_search", "words": question.words}
    return {**call, "op": "folder_list"}


def _about(question: Question, timeout_s: float) -> dict[str, Any]:
    """Of which volume, where, with whose rights."""
    return {
        "timeout_s": timeout_s,
        "serial": serial_of(question.volume),
        "path": text_of(question.path),
        "uid": uid_of(question.person) if question.person else ADMINISTRATOR,
    }


def _read(question: Question, found: Mapping[str, Any]) -> Answer:
    data = bytes_of(found["data"])
    return Answer(
        data=data[:MAX_PIECE_BYTES], size_bytes=int(found["size_bytes"]), more=_more(question, found)
    )


def _more(question: Question, found: Mapping[str, Any]) -> bool:
    return question.offset + len(bytes_of(found["data"])) < int(found["size_bytes"])


def _listed(found: Mapping[str, Any]) -> Answer:
    more = found["more"] is True
    entries = [_entry(one) for one in found["entries"][:MAX_ENTRIES]]
    return Answer(entries=entries, more=more, next=bytes_of(found.get("next", "")) if more else b"")


def _entry(one: Mapping[str, Any]) -> Entry:
    changed = one.get("changed")
    return Entry(
        name=bytes_of(one["name"]),
        kind=EntryKind(one["kind"]),
        size_bytes=int(one.get("size_bytes", 0)),
        changed=_time(changed) if isinstance(changed, int | float) else None,
        target=bytes_of(one.get("target", "")),
    )


def _time(seconds: float) -> datetime | None:
    """A file may bear any time; one that nobody can write down is left out."""
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return None
