"""What the server's acts on replicas are tested with: a folder as NAS, replicas that the real restic made."""

import gzip
import hashlib
import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from mydoc.models import Replica, ReplicationRun, Volume
from mydoc.nas.settings import NasSettings
from mydoc.replicas import manifests, passwords, repositories
from vrasnode.wire import codec
from vrasnode.wire.replication import ManifestLine


@dataclass(frozen=True)
class Copies:
    """The replica of one volume, as its PC makes it; `data` is the volume as the PC sees it."""

    volume: Volume
    data: Path

    @property
    def repository(self) -> repositories.Repository:
        return repositories.of(passwords.replica_of(self.volume))

    @property
    def folder(self) -> Path:
        return Path(self.repository.address)

    def put(self, path: bytes, content: bytes) -> None:
        where = Path(os.fsdecode(os.fsencode(self.data) + b"/" + path))
        where.parent.mkdir(parents=True, exist_ok=True)
        where.write_bytes(content)

    def restic(self, *arguments: str) -> str:
        repository = self.repository
        given = {"RESTIC_REPOSITORY": repository.address, "RESTIC_PASSWORD": repository.password}
        done = subprocess.run(
            ["restic", "--no-cache", *arguments],
            env={**os.environ, **given},
            capture_output=True,
            text=True,
            check=False,
        )
        # It says 3, and stores them again, of files whose earlier content is not there any more.
        assert done.returncode in (0, 3), done.stderr
        return done.stdout

    def copy(self, tag: str = repositories.FULL, *more: str) -> str:
        """Another snapshot of all that lies there; its id, as a PC tells it."""
        if not (self.folder / "config").exists():
            self.restic("init")
        said = self.restic("backup", "--json", "--host", "openvras", "--tag", tag, *more, str(self.data))
        return str(json.loads(said.splitlines()[-1])["snapshot_id"])

    def replicate(self, *, now: datetime, forged: Mapping[bytes, bytes] | None = None) -> ReplicationRun:
        """A run that ended well, with its manifest; of `forged` files the PC tells another content."""
        passwords.replica_of(self.volume)
        return self.tell({**self.files(), **(forged or {})}, now=now, snapshot=self.copy())

    def tell(self, files: Mapping[bytes, bytes], *, now: datetime, snapshot: str = "") -> ReplicationRun:
        """The PC says that it copied these, to this snapshot."""
        replica = passwords.replica_of(self.volume)
        lines = [
            ManifestLine(path, len(content), 1, hashlib.sha256(content).hexdigest())
            for path, content in sorted(files.items())
        ]
        data = gzip.compress(b"".join(codec.encode(line) + b"\n" for line in lines))
        run = ReplicationRun.objects.create(
            replica=replica,
            occasion=ReplicationRun.Occasion.SCHEDULE,
            state=ReplicationRun.State.DONE,
            asked_at=now,
            begun_at=now,
            ended_at=now,
            told={"snapshot": snapshot},
            manifest=hashlib.sha256(data).hexdigest(),
            files=len(lines),
        )
        where = manifests.path_of(run)
        where.parent.mkdir(parents=True, exist_ok=True)
        where.write_bytes(data)
        where.with_suffix(".signed").write_text("{}")
        Replica.objects.filter(pk=replica.pk).update(last_good_at=now, snapshot=snapshot)
        return run

    def files(self) -> dict[bytes, bytes]:
        found = (path for path in self.data.rglob("*") if path.is_file())
        return {os.fsencode(path.relative_to(self.data)): path.read_bytes() for path in found}

    @property
    def replica(self) -> Replica:
        return Replica.objects.select_related("volume__owner", "volume__client").get(volume=self.volume)

    def packs(self) -> list[Path]:
        return sorted(path for path in self.folder.glob("data/*/*"))

    def flip_a_bit(self, pack: Path | None = None) -> Path:
        """On the NAS, in the middle of this pack, else of the largest."""
        pack = pack or max(self.packs(), key=lambda path: path.stat().st_size)
        pack.chmod(0o600)
        content = bytearray(pack.read_bytes())
        content[len(content) // 2] ^= 1
        pack.write_bytes(content)
        return pack


def folder_as_nas(path: Path) -> NasSettings:
    (path / "nas").mkdir(parents=True, exist_ok=True)
    return NasSettings(url=f"file://{path / 'nas'}")
