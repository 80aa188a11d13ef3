"""Manifests of replicas: which files, of what content, a PC says that a replica holds; kept as they came.

Each lies beside what its PC signed it with, so that nobody, neither the server, can say later that it was
another. They are read as a stream: there may be a million files.
"""

import base64
import gzip
import hashlib
import json
import os
import uuid
import zlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import msgspec
from django.conf import settings
from django.db.models import Q, QuerySet
from django.utils.translation import gettext_lazy as _

from clients.enrolment import identity
from clients.errors import Refusal
from clients.models import Client
from mydoc.models import Loss, Replica, ReplicationRun, Volume
from mydoc.replicas.lastreplica import KeptFile, LastReplica
from vrasnode.wire import signatures
from vrasnode.wire.replication import ManifestLine

SIGNED = ("content-digest", "signature-input", "signature")
MAX_LINE_BYTES = 64 << 10
REMEMBERED = timedelta(days=30)  # of what nobody restores any more; changes are compared within a week
MAX_UNPACKED_BYTES = 2 << 30
UNREADABLE = (OSError, EOFError, zlib.error, ValueError, msgspec.MsgspecError)
LINE = msgspec.json.Decoder(ManifestLine)


class BadManifest(Refusal):
    status = 400


def take(client: Client, run_id: uuid.UUID, data: bytes, *, signed: Mapping[str, str], now: datetime) -> None:
    """Keeps the manifest of a run of this PC that is under way; the same may come again.

    Raises Refusal: no_such_run, bad_manifest.
    """
    run = (
        ReplicationRun.objects.filter(
            pk=run_id, state=ReplicationRun.State.RUNNING, replica__volume__client=client
        )
        .select_related("replica")
        .first()
    )
    if run is None:
        raise Refusal("no_such_run", _("Nothing of this kind is to be copied now. Look again."))
    path = path_of(run)
    path.parent.mkdir(parents=True, exist_ok=True)
    _write(path, data)
    try:
        count = sum(1 for _line in _lines(path))
    except UNREADABLE as error:
        path.unlink(missing_ok=True)
        raise BadManifest("bad_manifest", _("This manifest cannot be read.")) from error
    proof = {name: signed[name] for name in SIGNED if name in signed}
    _write(path.with_suffix(".signed"), json.dumps({**proof, "received": now.isoformat()}).encode())
    digest = hashlib.sha256(data).hexdigest()
    ReplicationRun.objects.filter(pk=run.pk).update(manifest=digest, files=count, heard_at=now)


def lines_of(run: ReplicationRun) -> Iterator[ManifestLine]:
    """What the PC says that this replica holds, sorted by path, as a stream. Raises BadManifest when what was
    kept is not there any more, or not what was handed in."""
    try:
        yield from _lines(path_of(run))
    except UNREADABLE as error:
        raise BadManifest("bad_manifest", _("This manifest cannot be read.")) from error


def proof_of(run: ReplicationRun) -> str:
    """Nothing when what is kept is what was handed in and, where its PC signed its requests, what it signed;
    else a code: no_manifest, manifest_altered, bad_signature."""
    path = path_of(run)
    try:
        data, proof = path.read_bytes(), json.loads(path.with_suffix(".signed").read_bytes())
    except (OSError, ValueError):
        return "no_manifest"
    if hashlib.sha256(data).hexdigest() != run.manifest:
        return "manifest_altered"
    if "signature" not in proof:  # in production the front vouched for the PC's certificate
        return ""
    client = run.replica.volume.client
    digest, target = signatures.content_digest(data), f"/node/v1/replication/manifest/{run.pk}"
    params = str(proof.get("signature-input", ""))
    try:
        identity.verify(
            bytes(client.signing_key),
            proof["signature"],
            signatures.signature_base("PUT", target, digest, params),
        )
    except identity.NotKnown:
        return "bad_signature"
    return ""


def forget_old(replica: Replica, *, now: datetime) -> int:
    """Deletes those that nobody asks for any more: of runs that came to no good end, and of replicas that a
    retention deleted, after a month. What the dossier of a lost PC tells stays. Returns how many."""
    there = {path.stem: path for path in _folder_of(replica.volume_id).glob("*.gz")}
    old = ReplicationRun.objects.filter(replica=replica, pk__in=list(there), ended_at__lt=now - REMEMBERED)
    useless = old.filter(~Q(state=ReplicationRun.State.DONE) | Q(kept__gone_at__isnull=False))
    losses = Loss.objects.filter(client=replica.volume.client_id).values_list("declared_at", flat=True)
    told = {run.pk for run in (_last(replica.volume, at) for at in losses) if run}
    keys = set(useless.values_list("pk", flat=True)) - told
    for path in (there[str(key)] for key in keys):
        path.with_suffix(".signed").unlink(missing_ok=True)
        path.unlink(missing_ok=True)
    return len(keys)


def path_of(run: ReplicationRun) -> Path:
    """Where the manifest of a run lies."""
    return _folder_of(run.replica.volume_id) / f"{run.pk}.gz"


def _folder_of(volume: UUID) -> Path:
    return Path(settings.STORE) / "manifests" / str(volume)


class Replicas:
    """What is known of replicas, for `lastreplica`."""

    def newest(self, volumes: Sequence[Volume], *, before: datetime) -> dict[UUID, LastReplica]:
        # The oldest first: what comes later takes its place.
        rows = _done(before).filter(replica__volume__in=volumes).order_by("ended_at")
        return {
            run.replica.volume_id: LastReplica(
                at=run.begun_at,
                files=run.files,
                size_bytes=int(run.told.get("total_bytes", 0)),
                unreadable=int(run.told.get("unreadable", 0)),
            )
            for run in rows
            if run.begun_at is not None
        }

    def files(self, volume: Volume, *, before: datetime) -> Iterator[KeptFile]:
        run = _last(volume, before)
        for line in _lines(path_of(run)) if run else ():
            yield KeptFile(
                path=line.path, size_bytes=line.size_bytes, changed=time_of(line.mtime_ns), sha256=line.sha256
            )


def kept(volume: Volume) -> "QuerySet[ReplicationRun]":
    """The runs of a volume that ended well and whose snapshot no retention has deleted."""
    rows = ReplicationRun.objects.filter(state=ReplicationRun.State.DONE, replica__volume=volume)
    return rows.exclude(kept__gone_at__isnull=False).select_related("replica__volume")


def lines(run: ReplicationRun) -> Iterator[ManifestLine]:
    """All files of that run, by path. Raises Refusal(no_manifest): it is lost, or damaged."""
    try:
        yield from _lines(path_of(run))
    except (OSError, EOFError, zlib.error, ValueError, msgspec.MsgspecError) as error:
        raise no_manifest() from error


def find(run: ReplicationRun, path: bytes) -> ManifestLine | None:
    """What a run says of one file, without looking closely at all others. Raises Refusal(no_manifest)."""
    wanted = b'"' + base64.b64encode(path) + b'"'
    try:
        with gzip.open(path_of(run)) as file:
            for raw in file:
                if wanted in raw and (line := LINE.decode(raw)).path == path:
                    return line
    except (OSError, EOFError, zlib.error, ValueError, msgspec.MsgspecError) as error:
        raise no_manifest() from error
    return None


def no_manifest() -> Refusal:
    words = _("The list of this replica cannot be read on the server. Take another time, or make a new one.")
    return Refusal("no_manifest", words, status=503)


def _last(volume: Volume, before: datetime) -> ReplicationRun | None:
    return _done(before).filter(replica__volume=volume).order_by("-ended_at").first()


def _done(before: datetime) -> "QuerySet[ReplicationRun]":
    rows = ReplicationRun.objects.filter(state=ReplicationRun.State.DONE, ended_at__lte=before)
    return rows.select_related("replica")


def _lines(path: Path) -> Iterator[ManifestLine]:
    """Raises ValueError, msgspec.MsgspecError, EOFError, OSError for what is no manifest."""
    before, left = None, MAX_UNPACKED_BYTES
    with gzip.open(path) as file:
        while raw := file.readline(MAX_LINE_BYTES):
            left -= len(raw)
            line = LINE.decode(raw)
            if left < 0 or not raw.endswith(b"\n") or line.size_bytes < 0:
                raise ValueError("this is no line of a manifest")
            if before is not None and line.path <= before:
                raise ValueError("not sorted by path")
            before = line.path
            yield line


def time_of(nanoseconds: int) -> datetime | None:
    try:
        return datetime.fromtimestamp(nanoseconds / 1e9, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _write(path: Path, data: bytes) -> None:
    """Durably, and whole or not at all."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    with aside.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    aside.rename(path)
