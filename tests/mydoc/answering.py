"""A PC with an open volume that answers what it is asked, at the server's real doors.

It stands for the agent and the virtual server: its files are a dictionary, or made up on the way.
"""

import hashlib
from base64 import b64decode
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from typing import Any

import msgspec
from django.utils import translation

from clients import presence
from mydoc.models import Opening, Volume
from tests.pcs import FakePc
from vrasnode import sealing
from vrasnode.errors import Refused
from vrasnode.mydoc.incoming import Incoming
from vrasnode.wire import clients as registry
from vrasnode.wire import codec
from vrasnode.wire import mydoc as wire

CHANGED = datetime(2026, 11, 2, 9, 30, tzinfo=UTC)
Files = Mapping[bytes, bytes | wire.Entry]


def beat(pc: FakePc, *, now: datetime) -> None:
    """The PC is there."""
    heartbeat = registry.Heartbeat(
        agent_version="0.1.0", boot_id="1", uptime_s=60, desktop="running", version=None
    )
    presence.hear(pc.client.pk, heartbeat, now=now)


def make_volume(pc: FakePc, owner: Any, *, now: datetime, opened: bool = True, **told: Any) -> Volume:
    """One user's data on this PC, and what the PC told of it."""
    volume = Volume.objects.create(owner=owner, client=pc.client, limit_bytes=100 << 30)
    state = wire.VolumeState.OPEN if opened else wire.VolumeState.LOCKED
    tell(volume, now=now, **{"state": state, **told})
    if opened:
        Opening.objects.create(
            volume=volume, state=Opening.State.OPEN, nonce=str(volume.pk), asked_at=now, opened_at=now
        )
    return volume


def tell(volume: Volume, *, now: datetime, **says: Any) -> None:
    """What the PC says of the volume from now on."""
    report = wire.VolumeReport(
        **{
            "volume": str(volume.pk),
            "state": wire.VolumeState.OPEN,
            "since": now,
            "used_bytes": 3 << 30,
            "size_bytes": 8 << 30,
            **says,
        }
    )
    volume.told, volume.told_at = msgspec.to_builtins(report), now
    volume.save(update_fields=["told", "told_at"])


@dataclass
class AnsweringPc:
    """`files` are paths and what lies there; `readers` says which person may read what, as a kernel does."""

    pc: FakePc
    files: Files = field(default_factory=dict)
    readers: dict[str, list[bytes]] = field(default_factory=dict)
    asked: list[wire.Question] = field(default_factory=list)
    answer: Callable[[wire.Question], wire.Answer] | None = None
    answers: bool = True
    writers: dict[str, list[bytes]] = field(default_factory=dict)
    begun: dict[str, bytearray] = field(default_factory=dict)
    too_old: bool = False  # to take small files by the handful

    def __post_init__(self) -> None:
        self._incoming = Incoming(self._guest, clock=lambda: 0.0)

    def look(self) -> None:
        """Fetches the questions and answers each, as a nudge makes an agent do."""
        with translation.override(translation.get_language()):
            fetched = self.pc.get("/node/v1/mydoc/questions")
            for question in codec.decode(fetched.content, wire.Questions).questions:
                self.asked.append(question)
                if self.answers:
                    self.post(question, (self.answer or self.says)(question))

    def post(self, question: wire.Question, answer: wire.Answer) -> Any:
        sealed = sealing.seal(
            codec.encode(answer), question.reply_key, purpose=sealing.answer_purpose(question.id)
        )
        return self.pc.post(f"/node/v1/mydoc/answers/{question.id}", sealed)

    def says(self, question: wire.Question) -> wire.Answer:
        if question.act is wire.Act.WRITE:
            return self._written(question)
        if question.person and not self._may(question.person, question.path):
            return wire.Answer(code="not_permitted", words="EACCES")
        match question.act:
            case wire.Act.LIST:
                return self._page(question, self._below(question.path))
            case wire.Act.SEARCH:
                return self._page(question, self._matching(question))
        data = self.files.get(question.path)
        if not isinstance(data, bytes):
            return wire.Answer(code="no_such_name", words="ENOENT")
        end = question.offset + question.length
        return wire.Answer(data=data[question.offset : end], size_bytes=len(data))

    def _written(self, question: wire.Question) -> wire.Answer:
        """By the agent's own code; the virtual server is a dictionary."""
        try:
            return self._incoming.answer_to(question, path=question.path, person=question.person)
        except Refused as error:
            return wire.Answer(code=error.code, words=error.words)

    def _guest(
        self, *, op: str, path: bytes, person: str, upload: str = "", **about: Any
    ) -> Mapping[str, Any]:
        if op == "files_put":
            return self._handful(about["files"])
        if person and not any(path.startswith(root + b"/") for root in self.writers.get(person, [])):
            raise Refused("not_writable", "EACCES")
        content = self.begun.setdefault(upload, bytearray())
        if op == "file_put" and "data64" in about:
            assert about["offset"] == len(content)
            content += b64decode(about["data64"])
        elif op == "file_keep":
            if path in self.files and not about["replace"]:
                raise Refused("name_taken", "EEXIST")
            assert hashlib.sha256(content).hexdigest() == about["sha256"]
            self.files = {**self.files, path: bytes(self.begun.pop(upload))}
        elif op == "file_drop":
            del self.begun[upload]
        return {"size_bytes": len(content)}

    def _handful(self, files: list[Mapping[str, Any]]) -> Mapping[str, Any]:
        if self.too_old:
            raise Refused("unknown_op", "This virtual server cannot do 'files_put'.")
        outcomes = []
        for file in files:
            path, content = b64decode(file["path"]), b64decode(file["data64"])
            assert hashlib.sha256(content).hexdigest() == file["sha256"]
            outcomes.append("name_taken" if path in self.files else "")
            self.files = {path: content, **self.files}
        return {"outcomes": outcomes}

    def _may(self, person: str, path: bytes) -> bool:
        return any(path == root or path.startswith(root + b"/") for root in self.readers.get(person, []))

    def _below(self, folder: bytes) -> Iterator[wire.Entry]:
        start = folder + b"/" if folder else b""
        parts = [path[len(start) :].partition(b"/") for path in self.files if path.startswith(start)]
        for name, below in sorted({(name, bool(slash)) for name, slash, _rest in parts}):
            folder_here = wire.Entry(name=name, kind=wire.EntryKind.FOLDER)
            yield folder_here if below else self._entry(start + name, name)

    def _matching(self, question: wire.Question) -> Iterator[wire.Entry]:
        for path in sorted(self.files):
            if question.words.lower() in path.rpartition(b"/")[2].decode(errors="replace").lower():
                yield self._entry(path, path)

    def _entry(self, path: bytes, name: bytes) -> wire.Entry:
        lies = self.files[path]
        if isinstance(lies, wire.Entry):
            return msgspec.structs.replace(lies, name=name)
        return wire.Entry(name=name, kind=wire.EntryKind.FILE, size_bytes=len(lies), changed=CHANGED)

    @staticmethod
    def _page(question: wire.Question, entries: Iterator[wire.Entry]) -> wire.Answer:
        later = (entry for entry in entries if entry.name > question.after)
        page = list(islice(later, question.length + 1))
        return wire.Answer(entries=page[: question.length], more=len(page) > question.length)


def link(target: bytes) -> wire.Entry:
    return wire.Entry(name=b"", kind=wire.EntryKind.LINK, target=target, changed=CHANGED)


def whole(answer: Any) -> bytes:
    """All of a file that is being sent."""
    return b"".join(answer.streaming_content)
