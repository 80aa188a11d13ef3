"""What the server's acts on replicas are tested with: a folder as NAS, replicas that the real restic made."""

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from mydoc import replicakeys, repositories
from mydoc.models import Volume
from mydoc.nassettings import NasSettings


@dataclass(frozen=True)
class Copies:
    """The replica of one volume, as its PC makes it; `data` is the volume as the PC sees it."""

    volume: Volume
    data: Path

    @property
    def repository(self) -> repositories.Repository:
        return repositories.of(replicakeys.replica_of(self.volume))

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
            check=True,
        )
        return done.stdout

    def copy(self, tag: str = repositories.FULL, *more: str) -> str:
        """Another snapshot of all that lies there; its id, as a PC tells it."""
        if not (self.folder / "config").exists():
            self.restic("init")
        said = self.restic("backup", "--json", "--host", "openvras", "--tag", tag, *more, str(self.data))
        return str(json.loads(said.splitlines()[-1])["snapshot_id"])


def folder_as_nas(path: Path) -> NasSettings:
    (path / "nas").mkdir(parents=True, exist_ok=True)
    return NasSettings(url=f"file://{path / 'nas'}")
