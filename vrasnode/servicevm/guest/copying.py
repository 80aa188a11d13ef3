"""Copies one volume to its replica: the life of one process, which `replicas` begins and anybody may kill.

restic sends everything again after a kill in the middle of a backup, for what it stored is not in any index
yet. So what has changed is copied in slices first, each a snapshot of its own: a kill costs one of them. Then
one snapshot of the whole follows, which finds everything there. What was copied is written down in the volume
itself, with hashes, so that the next manifest costs what has changed.

restic takes longest to start: a run after one that ended well starts it once. It names the snapshot before as
the parent of its own; where that is not there any more, because the server has deleted it or the repository
is another one, restic says so, and everything is looked at anew.

The order comes by stdin, for there are secrets in it; what is said on stdout is one JSON object a line.
"""

import errno
import hashlib
import json
import os
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from vrasnode.servicevm.guest.copied import Copied, Found, text, write_packed
from vrasnode.servicevm.guest.patience import PATIENCE_S, STILL_S, Patience, watched

OWN = ".openvras"  # the volume's folder for this; the share does not show it
NOT_COPIED = {os.fsencode(OWN), b"lost+found"}
BEGUN = ".openvras-put-"  # files that are on their way into the volume, wherever
HOST = "openvras"
# The machine is small: packs of 8 MiB, of which few are on their way at once.
LEAN = ("--pack-size", "8", "-o", "rest.connections=3")
TEMPORARY_BYTES = 256 << 20  # packs are put together in files, encrypted
LEAN_GO = {"GOGC": "20", "GOMAXPROCS": "2"}
NICE = 10
TRIES, PAUSE_S, NEW_S = 5, 1.5, 20.0  # the gateway learns of a new volume within a second
PIECE_BYTES = 1 << 20
FULL = {errno.ENOSPC, errno.EDQUOT}
INCOMPLETE = 3  # restic's exit code when files could not be read
# The first counts. Bare numbers of statuses would be found in names of packs too. What is full or failed
# comes before what is forbidden: a pack that was torn there is not to be written a second time.
SAYINGS = (
    (("wrong password or no key",), "wrong_repository_key"),
    (("401 unauthorized",), "gateway_refused"),
    (("no space left", "disk_full", "507 insufficient"), "nas_full"),
    (("500 internal server", "502 bad gateway", "503 service"), "nas_failed"),
    (("403 forbidden",), "gateway_forbids"),
    (("certificate", "x509", "tls:"), "gateway_certificate"),
    (("refused", "timeout", "no such host", "no route", "unreachable", "reset"), "gateway_away"),
)

# What restic says where what was written down does not hold any more.
ANOTHER = (
    "invalid id",
    "no matching id",
    "unable to open config file",
    "is there a repository",
    "no key found",
)

Say = Callable[[Mapping[str, Any]], None]


class Failed(Exception):
    """It cannot go on: `code` is stable, `words` say why."""

    def __init__(self, code: str, words: str) -> None:
        super().__init__(words)
        self.code = code
        self.words = words


class NoParent(Exception):
    """The snapshot before, or the repository in which it was, is not there any more."""


class Copy:
    """One run."""

    def __init__(self, order: Mapping[str, Any], say: Say) -> None:
        self._root = Path(order["root"])
        self._manifest = Path(order["manifest"])
        self._slice_bytes = max(1, int(order["slice_bytes"]))
        self._patience_s = float(order.get("patience_s", PATIENCE_S))
        self._still_s = float(order.get("still_s", STILL_S))
        self._own = Path(order["scratch"]) if order.get("scratch") else self._root / OWN
        self._environment = {
            **{name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
            **LEAN_GO,
            "RESTIC_REPOSITORY": order["repository"],
            "RESTIC_PASSWORD": order["repository_password"],
            "RESTIC_CACHE_DIR": str(self._own / "cache"),
            "RESTIC_PROGRESS_FPS": "1",
        }
        self._secrets = [part for part in (order["repository"], order["repository_password"]) if part]
        self._options: list[str] = list(LEAN)
        if order.get("scratch"):  # memory, which is scarce
            self._options += ["--no-cache"]
        if order.get("authority"):
            authority = self._manifest.with_suffix(".pem")
            authority.write_text(order["authority"])
            self._options += ["--cacert", str(authority)]
        self._copied = Copied(self._own / "copied.gz", older=self._root / OWN / "copied.gz")
        self._say = say
        self._progress: dict[str, Any] = {"state": "running", "files": 0, "unreadable": 0}
        self._progress |= {"total_bytes": 0, "done_bytes": 0, "sent_bytes": 0}

    def run(self) -> None:
        """Says at the end how it went. Raises Failed."""
        in_order = self._make_own_folder()
        self._copied.load()
        if not (in_order and self._copied.snapshot):
            self._look_anew()
        try:
            self._copy()
        except NoParent:
            self._look_anew()
            self._copy()
        shutil.rmtree(self._own / "tmp", ignore_errors=True)

    def _look_anew(self) -> None:
        self._copied.hold_for(self._open_repository())
        self._restic("unlock")  # locks of processes that are dead

    def _copy(self) -> None:
        files = list(walk(self._root))
        changed = [file for file in files if not self._copied.holds(file)]
        self._tell(files=len(files), total_bytes=sum(file.size for file in changed))
        if sum(file.size for file in changed) > self._slice_bytes:
            for part in slices(changed, self._slice_bytes):
                self._copy_slice(part)
        self._hash(file for file in files if not self._copied.holds(file))
        parent = ("--parent", self._copied.snapshot) if self._copied.snapshot else ()
        snapshot = self._backup("full", *parent, str(self._root))
        self._copied.snapshot = snapshot
        digest = self._write_manifest(files)
        total = sum(file.size for file in files)
        self._tell(state="done", snapshot=snapshot, manifest=digest, total_bytes=total, done_bytes=total)

    def _make_own_folder(self) -> bool:
        """Whether the run before ended in order, as far as is seen here."""
        self._own.mkdir(mode=0o700, exist_ok=True, parents=True)
        if not stat.S_ISDIR(self._own.lstat().st_mode):
            raise Failed("no_own_folder", f"{OWN} in the volume is no folder.")
        in_order = not (self._own / "tmp").exists()
        shutil.rmtree(self._own / "tmp", ignore_errors=True)  # of a run that was killed
        (self._own / "tmp").mkdir(mode=0o700)
        if shutil.disk_usage(self._own).free >= TEMPORARY_BYTES:  # there is more room than in memory
            self._environment["TMPDIR"] = str(self._own / "tmp")
        return in_order and self._own == self._root / OWN

    def _open_repository(self) -> str:
        """Its id; one is made where there is none."""
        new_until = time.monotonic() + NEW_S
        for left in reversed(range(TRIES)):
            code, said = self._run("cat", "config")
            if code == 0:
                return str(json.loads(said[said.index("{") :])["id"])
            away = code_of(said) == "gateway_away"
            if not away and ("unable to open config file" in said or "is there a repository" in said.lower()):
                code, said = self._run("init")
                if code == 0:
                    continue
            known = code_of(said) not in ("gateway_refused", "gateway_away")
            if not left or known or time.monotonic() >= new_until:
                break
            time.sleep(PAUSE_S)
        raise self._failed(said)

    def _copy_slice(self, part: Sequence[Found]) -> None:
        listed = self._manifest.with_suffix(".slice")
        root = os.fsencode(self._root)
        listed.write_bytes(b"".join(root + b"/" + file.path + b"\0" for file in part))
        before = int(self._progress["done_bytes"])
        self._backup("slice", "--files-from-raw", str(listed))
        self._hash(part)
        self._copied.save()
        self._tell(done_bytes=before + sum(file.size for file in part))

    def _hash(self, files: Iterable[Found]) -> None:
        """Of what changed while it was read nothing is known: it is copied again the next time."""
        for file in files:
            path = os.path.join(os.fsencode(self._root), file.path)  # noqa: PTH118  (bytes)
            try:
                digest, mark = _digest(path)
            except OSError:
                continue
            if mark == file.mark:
                self._copied.hashes[file.path] = mark, digest

    def _write_manifest(self, files: Sequence[Found]) -> str:
        """Its digest. A file that changed since it was hashed is in it without a hash."""
        now = {file.path: file for file in walk(self._root)}
        lines = []
        for file in sorted(files, key=lambda one: one.path):
            known = now.get(file.path)
            same = known is not None and known.mark == file.mark and self._copied.holds(file)
            line = {"mtime_ns": file.mtime_ns, "path": text(file.path), "size_bytes": file.size}
            lines.append(json.dumps({**line, "sha256": self._copied.hashes[file.path][1] if same else ""}))
        there = {file.path for file in files}
        self._copied.hashes = {path: one for path, one in self._copied.hashes.items() if path in there}
        self._copied.save()
        return write_packed(self._manifest, lines)

    def _backup(self, tag: str, *what: str) -> str:
        """The snapshot's id."""
        before, summary = int(self._progress["done_bytes"]), {}
        excluded = [f"--exclude={self._root / os.fsdecode(name)}" for name in NOT_COPIED]
        excluded.append(f"--exclude={BEGUN}*")
        command = ["backup", "--json", "--host", HOST, "--tag", tag, "--one-file-system", *excluded, *what]
        complaints: list[str] = []

        def hear(line: str) -> None:
            try:
                told = json.loads(line)
                kind = told["message_type"]
            except (ValueError, KeyError, TypeError):
                complaints.append(line)
                return
            if kind == "summary":
                summary.update(told)
            elif kind == "error":
                complaints.append(line)
            elif kind == "status" and tag == "slice":
                self._tell(done_bytes=before + int(told.get("bytes_done", 0)))

        code = self._each_line(command, hear)
        if code == INCOMPLETE and tag == "full":
            self._progress["unreadable"] = max(1, sum('"error"' in line for line in complaints))
        elif code not in (0, INCOMPLETE):
            said = "\n".join(complaints)
            if self._copied.snapshot and any(words in said.lower() for words in ANOTHER):
                raise NoParent
            raise self._failed(said)
        self._tell(sent_bytes=int(self._progress["sent_bytes"]) + int(summary.get("data_added", 0)))
        return str(summary.get("snapshot_id", ""))

    def _restic(self, *arguments: str) -> None:
        code, said = self._run(*arguments)
        if code:
            raise self._failed(said)

    def _run(self, *arguments: str) -> tuple[int, str]:
        said: list[str] = []
        return self._each_line(arguments, said.append), "\n".join(said)

    def _each_line(self, arguments: Sequence[str], hear: Callable[[str], None]) -> int:
        child = subprocess.Popen(
            ["restic", *self._options, *arguments],
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        patience = Patience(self._patience_s, still_s=self._still_s, clock=time.monotonic)
        with child, watched(patience, child.kill):
            for line in child.stdout or ():
                hear(line.rstrip("\n"))
                if patience.is_over(line):
                    child.kill()
        if patience.still:
            hear(f"timeout: the gateway was silent for {self._still_s:.0f} s")
        return child.returncode

    def _failed(self, said: str) -> Failed:
        last = said.strip().splitlines()[-1] if said.strip() else "restic said nothing"
        for secret in self._secrets:
            last = last.replace(secret, "…")
        return Failed(code_of(said), last[:300])

    def _tell(self, **changed: Any) -> None:
        self._progress |= changed
        self._say(self._progress)


def walk(root: Path) -> Iterator[Found]:
    """The regular files of a volume. What vanishes meanwhile, or may not be read, is left out."""
    waiting = [b""]
    top = os.fsencode(root)
    while waiting:
        folder = waiting.pop()
        try:
            with os.scandir(os.path.join(top, folder)) as entries:  # noqa: PTH118
                for entry in entries:
                    path = os.path.join(folder, entry.name)  # noqa: PTH118
                    begun = entry.name.startswith(BEGUN.encode())
                    if begun or (not folder and entry.name in NOT_COPIED):
                        continue
                    found = entry.stat(follow_symlinks=False)
                    if stat.S_ISDIR(found.st_mode):
                        waiting.append(path)
                    elif stat.S_ISREG(found.st_mode):
                        yield Found(path, found.st_size, found.st_mtime_ns, found.st_ino)
        except OSError:
            continue


def slices(files: Iterable[Found], most: int) -> Iterator[list[Found]]:
    """In parts of at most `most` bytes; a larger file is a part by itself."""
    part: list[Found] = []
    size = 0
    for file in sorted(files, key=lambda one: one.path):
        if part and size + file.size > most:
            yield part
            part, size = [], 0
        part.append(file)
        size += file.size
    if part:
        yield part


def code_of(said: str) -> str:
    """What a complaint of restic's means."""
    low = said.lower()
    return next((code for words, code in SAYINGS if any(word in low for word in words)), "restic_failed")


def _digest(path: bytes) -> tuple[str, tuple[int, int, int]]:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        digest = hashlib.sha256()
        while piece := os.read(descriptor, PIECE_BYTES):
            digest.update(piece)
        found = os.fstat(descriptor)
        return digest.hexdigest(), (found.st_size, found.st_mtime_ns, found.st_ino)
    finally:
        os.close(descriptor)


def main() -> None:
    def say(told: Mapping[str, Any]) -> None:
        print(json.dumps(told), flush=True)

    os.nice(NICE)
    order = json.load(sys.stdin)
    try:
        Copy(order, say).run()
    except Failed as failed:
        say({"state": "failed", "code": failed.code, "words": failed.words})
    except OSError as error:
        full = error.errno in FULL and not order.get("scratch")  # which lies in memory
        code = "volume_full" if full else "guest_failed"
        say({"state": "failed", "code": code, "words": error.strerror or "unknown error"})


if __name__ == "__main__":
    main()
