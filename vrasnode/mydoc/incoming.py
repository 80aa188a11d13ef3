"""Files that the portal brings into open volumes: what each question asks of the virtual server.

Their pieces lie in the server's quick store on their way, so they are sealed to a key that is made here for
the one file and kept in memory alone. A file of which nothing more comes is forgotten with its key. Small
ones come by the handful, under one key.
"""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from vrasnode import sealing
from vrasnode.errors import Refused
from vrasnode.mydoc.guestnames import text_of
from vrasnode.wire import codec
from vrasnode.wire.mydoc import MAX_BROUGHT, MAX_WRITE_BYTES, Answer, Handful, Question

KEPT_S = 900.0
MOST = 16


@dataclass
class Upload:
    """One file on its way, or the key for many."""

    volume: str
    path: bytes
    person: str
    many: bool
    heard: float
    key: X25519PrivateKey = field(default_factory=X25519PrivateKey.generate, repr=False)

    def fits(self, question: Question) -> bool:
        own = self.volume, self.path, self.person, self.many
        return own == (question.volume, question.path, question.person, question.many)


class Incoming:
    """`call` asks the virtual server. From any thread."""

    def __init__(self, call: Callable[..., Mapping[str, Any]], *, clock: Callable[[], float]) -> None:
        self._call = call
        self._clock = clock
        self._lock = threading.Lock()
        self._uploads: dict[str, Upload] = {}

    def answer_to(self, question: Question, **about: Any) -> Answer:
        """Takes one step. `about` are the volume's serial, the path and whose rights hold. Raises Refused:
        no_such_upload, not_for_us, piece_too_long, bad_message, and what the virtual server raises."""
        if question.drop:
            self._forget(question.upload)
            if not question.many:
                self._call(op="file_drop", upload=question.upload, **about)
            return Answer()
        if question.last:
            return self._keep(question, **about)
        if not question.data:
            return self._begin(question, **about)
        upload = self._known(question)
        purpose = sealing.write_purpose(question.upload)
        piece = sealing.open_sealed(question.data, upload.key, purpose=purpose)
        if question.many:
            return self._put_many(codec.decode(piece, Handful), **about)
        if len(piece) > MAX_WRITE_BYTES:
            raise Refused("piece_too_long", "This piece is too long.")
        found = self._call(
            op="file_put", upload=question.upload, offset=question.offset, data64=text_of(piece), **about
        )
        return Answer(size_bytes=int(found["size_bytes"]))

    def _begin(self, question: Question, **about: Any) -> Answer:
        """The file is begun at once, so that who may not write is told before anything is sent."""
        now = self._clock()
        upload = Upload(question.volume, question.path, question.person, question.many, now)
        with self._lock:
            old = [name for name, one in self._uploads.items() if now - one.heard > KEPT_S]
            for name in old:
                del self._uploads[name]
            if len(self._uploads) >= MOST and question.upload not in self._uploads:
                raise Refused("too_many_uploads", "Too many files are on their way to this PC.")
            self._uploads[question.upload] = upload
        try:
            if not question.many:
                self._call(op="file_put", upload=question.upload, offset=0, folders=question.folders, **about)
        except Exception:
            self._forget(question.upload)
            raise
        return Answer(data=upload.key.public_key().public_bytes_raw())

    def _put_many(self, handful: Handful, **about: Any) -> Answer:
        files = handful.files
        if len(files) > MAX_BROUGHT or sum(len(file.data) for file in files) > MAX_WRITE_BYTES:
            raise Refused("piece_too_long", "These are too many files at once.")
        given = [
            {
                "path": text_of(file.path),
                "data64": text_of(file.data),
                "sha256": file.sha256,
                "mtime_ns": file.mtime_ns,
            }
            for file in files
        ]
        found = self._call(op="files_put", files=given, **about)
        return Answer(outcomes=[str(code) for code in found["outcomes"]])

    def _keep(self, question: Question, **about: Any) -> Answer:
        self._known(question)
        self._call(
            op="file_keep",
            upload=question.upload,
            size_bytes=question.size_bytes,
            sha256=question.sha256,
            mtime_ns=question.mtime_ns,
            replace=question.replace,
            **about,
        )
        self._forget(question.upload)
        return Answer(size_bytes=question.size_bytes)

    def _known(self, question: Question) -> Upload:
        with self._lock:
            upload = self._uploads.get(question.upload)
            if upload is None or not upload.fits(question):
                raise Refused("no_such_upload", "This file was not begun here, or long ago. Send it again.")
            upload.heard = self._clock()
            return upload

    def _forget(self, upload: str) -> None:
        with self._lock:
            self._uploads.pop(upload, None)
