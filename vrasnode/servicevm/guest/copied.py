"""What is written down of a volume's replica in the volume itself: which files it holds, and their hashes."""

import base64
import hashlib
import json
import os
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Found:
    """One file. `mark` changes whenever its content does."""

    path: bytes  # from the volume's root
    size: int
    mtime_ns: int
    inode: int

    @property
    def mark(self) -> tuple[int, int, int]:
        return self.size, self.mtime_ns, self.inode


class Copied:
    """What the repository holds already: the mark and hash of each file. Lost, it costs time alone.

    It is written to `path`; read from there, or from `older` where nothing was written yet. `snapshot` is the
    last of everything, if the run that made it ended well."""

    def __init__(self, path: Path, *, older: Path | None = None) -> None:
        self._path = path
        self._older = older
        self._repository = ""
        self.snapshot = ""
        self.hashes: dict[bytes, tuple[tuple[int, int, int], str]] = {}

    def load(self) -> None:
        """What was written down, for whichever repository that was."""
        try:
            written = self._path if self._path.exists() or self._older is None else self._older
            lines = zlib.decompress(written.read_bytes(), wbits=31).splitlines()
            about = json.loads(lines[0])
            if not isinstance(about, dict):  # as it was written before it named a snapshot
                about = {"repository": about}
            self._repository, self.snapshot = str(about["repository"]), str(about.get("snapshot", ""))
            for line in lines[1:]:
                path, size, mtime_ns, inode, digest = json.loads(line)
                self.hashes[base64.b64decode(path)] = (size, mtime_ns, inode), digest
        except (OSError, ValueError, IndexError, KeyError, zlib.error):
            self._repository, self.snapshot, self.hashes = "", "", {}

    def hold_for(self, repository: str) -> None:
        """It is this repository: of another one nothing is there."""
        if repository != self._repository:
            self._repository, self.hashes = repository, {}
        self.snapshot = ""

    def holds(self, file: Found) -> bool:
        return self.hashes.get(file.path, (None, ""))[0] == file.mark

    def save(self) -> None:
        """Whole or not at all."""
        lines = [json.dumps({"repository": self._repository, "snapshot": self.snapshot})]
        lines += [
            json.dumps([text(path), *mark, digest]) for path, (mark, digest) in sorted(self.hashes.items())
        ]
        write_packed(self._path, lines)


def write_packed(path: Path, lines: Iterable[str]) -> str:
    """By gzip, whole or not at all; the SHA-256 of what was written."""
    packer, digest, aside = zlib.compressobj(6, wbits=31), hashlib.sha256(), path.with_suffix(".part")
    with aside.open("wb") as file:
        for line in lines:
            piece = packer.compress(f"{line}\n".encode())
            digest.update(piece)
            file.write(piece)
        piece = packer.flush()
        digest.update(piece)
        file.write(piece)
        file.flush()
        os.fsync(file.fileno())
    aside.rename(path)
    return digest.hexdigest()


def text(path: bytes) -> str:
    return base64.b64encode(path).decode()
