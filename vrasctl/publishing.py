"""How an image file becomes a version on the server: read once, send what is missing, sign, wait.

What makes it fast is in `vrasnode.chunks.cutting`; this is its other end. Nothing is kept here between runs:
a run that was killed is continued by asking the server which chunks it has.
"""

import time
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from vrasctl.account import PublisherKey
from vrasctl.outcome import ServerRefused
from vrasctl.rest import PATIENT_S, Rest, segment
from vrasnode.chunks import cutting, manifest, opening, scanning
from vrasnode.chunks.cutting import CutResult
from vrasnode.chunks.digests import DigestList
from vrasnode.chunks.freeranges import FreeRanges
from vrasnode.chunks.freespace import FreeSpace
from vrasnode.chunks.manifest import Manifest
from vrasnode.chunks.opening import OpenImage
from vrasnode.chunks.packs import Pack
from vrasnode.errors import Refused
from vrasnode.wire import codec
from vrasnode.wire.names import check_name

HASH = "blake3"
FIRST_POLL_S, LONGEST_POLL_S = 0.05, 1.0
POLL_GROWTH = 1.2  # so at most a sixth of the wait is lost to looking late
_ENDED = {"ready", "failed", "retired"}


class Progress(Protocol):
    """Who shows how far it is. Called from several threads."""

    def begin(self, total_bytes: int) -> None:
        """So many bytes will be read."""

    def read(self, done_bytes: int) -> None:
        """So many were, since `begin`."""

    def sent(self, more_bytes: int) -> None:
        """So many more have arrived at the server."""

    def stage(self, words: str) -> None:
        """What is being done now."""


@dataclass(frozen=True)
class Published:
    """What came of it. `version` is the server's row."""

    version: dict[str, Any]
    unchanged: bool
    sent_bytes: int
    new_chunks: int
    free_space: FreeSpace


class Publisher:
    """Publishes to one server under one key. `scratch` takes the raw copy of a qcow2. What no file system on
    the disk uses is left out, as TRIM would have, unless `keep_free_space`."""

    def __init__(
        self,
        rest: Rest,
        key: PublisherKey,
        *,
        progress: Progress,
        clock: Callable[[], datetime],
        scratch: Path | None = None,
        keep_free_space: bool = False,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._rest = rest
        self._key = key
        self._progress = progress
        self._clock = clock
        self._scratch = scratch
        self._keep_free_space = keep_free_space
        self._sleep = sleep

    def publish(
        self,
        file: Path,
        *,
        name: str,
        note: str,
        create: bool = True,
        wait: bool = True,
        machine: str | None = None,
    ) -> Published:
        """Makes the image in `file` the newest version of `name`, which is for `machine` if that is given.

        Raises Refused when the file, the name or the machine is no good, ServerRefused (among others:
        key_not_endorsed, publish_failed with the server's words), Unreachable.
        """
        name = check_name(name)
        with opening.open_image(file, scratch=self._scratch) as image:
            check_endorsed(self._rest, self._key)
            master = self._master(name, create=create, machine=machine)
            self._rest.pauses_s = PATIENT_S
            before = self._digests_before(master)
            published = self._once(image, master, note=note, before=before, wait=wait)
            if published.version["failure_code"] == "chunks_missing":
                self._progress.stage("the server lost chunks, sending them again")
                published = self._once(image, master, note=note, before=(), wait=wait)
        if published.version["state"] == "failed":
            code, words = published.version["failure_code"], published.version["failure_words"]
            raise ServerRefused(code, words, status=409)
        return published

    def _once(
        self, image: OpenImage, master: dict[str, Any], *, note: str, before: Container[bytes], wait: bool
    ) -> Published:
        upload = _Upload(self._rest, master["name"], note, self._progress)
        unused = FreeSpace(FreeRanges(), []) if self._keep_free_space else image.free_space()
        result = self._cut(image, upload, before, unused.ranges)
        signed = self._sign(master["name"], result)
        image.unchanged()
        self._progress.stage("waiting for the server's check")
        version, unchanged = upload.seal(signed)
        if wait and not unchanged:
            version = self._await_end(version)
        return Published(version, unchanged, upload.sent_bytes, result.new_chunks, unused)

    def _master(self, name: str, *, create: bool, machine: str | None) -> dict[str, Any]:
        master = self._get_or_make(name, create=create, machine=machine)
        if machine and master["machine"] != machine:
            words = f"{master['name']} is an image for the {master['machine']}: publish under another name."
            raise Refused("wrong_machine", words)
        return master

    def _get_or_make(self, name: str, *, create: bool, machine: str | None) -> dict[str, Any]:
        path = f"/api/v1/images/{segment(name)}/"
        try:
            return dict(self._rest.get(path))
        except ServerRefused as error:
            if error.status != 404 or not create:
                raise
        wish = {"name": name, "machine": machine} if machine else {"name": name}
        try:
            return dict(self._rest.post("/api/v1/images/", wish))
        except ServerRefused as refused:  # somebody made it meanwhile, or one that looks the same exists
            try:
                return dict(self._rest.get(path))
            except ServerRefused:
                raise refused from None

    def _digests_before(self, master: dict[str, Any]) -> Container[bytes]:
        """The chunks of the newest version: most of this one's, and the server surely has them."""
        if not master["latest"]:
            return ()
        data = self._rest.get_bytes(f"/api/v1/versions/{master['latest']['id']}/manifest/")
        return DigestList(manifest.read_named(data, master["latest"]["manifest"]).digests)

    def _cut(
        self, image: OpenImage, upload: "_Upload", before: Container[bytes], free: FreeRanges
    ) -> CutResult:
        chunk_bytes = manifest.chunk_bytes_for(image.size_bytes)
        total = scanning.data_bytes(image.fd, image.size_bytes, chunk_bytes=chunk_bytes, free=free)
        self._progress.begin(total)
        return cutting.cut(
            image,
            known=upload.known,
            emit=upload.send,
            likely_known=before,
            chunk_bytes=chunk_bytes,
            hash=HASH,
            progress=self._progress.read,
            free=free,
        )

    def _sign(self, name: str, result: CutResult) -> Manifest:
        header = manifest.build(
            name,
            size_bytes=result.size_bytes,
            chunk_bytes=result.chunk_bytes,
            hash=HASH,
            numbers=result.numbers,
            digests=result.digests,
            created=self._clock(),
        )
        signed = self._key.sign(codec.encode(header))
        return Manifest(header, signed, result.numbers, bytes(result.digests))

    def _await_end(self, version: dict[str, Any]) -> dict[str, Any]:
        for pause in _pauses():
            if version["state"] in _ENDED:
                return version
            self._sleep(pause)
            version = self._rest.get(f"/api/v1/versions/{version['id']}/")
        raise AssertionError


class _Upload:
    """One version on its way. It exists at the server from the first pack on, or from its manifest."""

    def __init__(self, rest: Rest, name: str, note: str, progress: Progress) -> None:
        self._rest = rest
        self._image = f"/api/v1/images/{segment(name)}"
        self._note = note
        self._progress = progress
        self._version: dict[str, Any] | None = None
        self.sent_bytes = 0

    def known(self, digests: Sequence[bytes]) -> Container[bytes]:
        """Those that the server has."""
        bitmap = self._rest.ask_bytes("/api/v1/versions/missing/", b"".join(digests))
        if len(bitmap) != (len(digests) + 7) // 8:
            raise ServerRefused(
                "bad_answer", "The server's list of missing chunks has another length.", status=200
            )
        return {
            digest
            for position, digest in enumerate(digests)
            if not bitmap[position >> 3] & 0x80 >> (position & 7)
        }

    def send(self, pack: Pack) -> None:
        """Brings a pack to the server."""
        if self._version is None:
            self._version = self._rest.post(f"{self._image}/uploads/", {"note": self._note})
        self._rest.put_bytes(
            f"/api/v1/packs/{pack.pack_id}/", lambda: pack.read_from(0), length=pack.size_bytes
        )
        self.sent_bytes += pack.size_bytes
        self._progress.sent(pack.size_bytes)

    def seal(self, signed: Manifest) -> tuple[dict[str, Any], bool]:
        """Hands in the signed manifest; the version, and whether it is the newest one unchanged."""
        data = manifest.encode(signed)
        if self._version is None:
            status, version = self._rest.post_bytes(f"{self._image}/publish/", data, note=self._note)
            return version, status == 200
        path = f"/api/v1/versions/{self._version['id']}/"
        try:
            return self._rest.put_bytes(
                f"{path}manifest/", lambda: [memoryview(data)], length=len(data)
            ), False
        except ServerRefused as error:
            # The answer to an earlier try may have been lost: then this very manifest is there.
            version = self._rest.get(path)
            if error.code == "wrong_state" and version["manifest"] == signed.digest:
                return version, False
            raise


def check_endorsed(rest: Rest, key: PublisherKey) -> None:
    """Registers the key where it is not known yet. Raises ServerRefused(key_not_endorsed): what to do."""
    row = register(rest, key)
    if row["state"] == "endorsed":
        return
    raise ServerRefused("key_not_endorsed", endorsement_words(row), status=409)


def register(rest: Rest, key: PublisherKey) -> dict[str, Any]:
    """The server's row of the key; made if it is not there."""
    try:
        return dict(rest.get(f"/api/v1/publisher-keys/{key.fingerprint}/"))
    except ServerRefused as error:
        if error.status != 404:
            raise
    return dict(rest.post("/api/v1/publisher-keys/", {"name": _own_name(), "public_key": key.public.hex()}))


def endorsement_words(row: dict[str, Any]) -> str:
    """What is to be done about a key in this state, for a person."""
    if row["state"] == "endorsed":
        return "PCs accept images signed with this key."
    if row["state"] == "revoked":
        return (
            f"Key {row['fingerprint']} was revoked; PCs accept nothing that it signs."
            " Move your key file away: a new key is made on the next use."
        )
    return (
        f"No PC trusts key {row['fingerprint']} yet. Who keeps the installation's root key signs it once:"
        f" `manage.py keys endorse {row['fingerprint']}` there,"
        f" or `vrasctl key endorse {row['fingerprint']}` where the root key lies on the server."
    )


def _own_name() -> str:
    import getpass
    import socket

    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = "publisher"
    return f"{user} at {socket.gethostname()}"[:100]


def _pauses() -> Iterator[float]:
    pause = FIRST_POLL_S
    while True:
        yield pause
        pause = min(pause * POLL_GROWTH, LONGEST_POLL_S)
