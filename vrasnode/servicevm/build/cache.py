"""Where built images are kept, by what they are made from: all there under the final name, or not at all."""

import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path


def default_cache(environ: Mapping[str, str] = os.environ) -> Path:
    """`OPENVRAS_CACHE`, or `.cache` in the root of the source tree."""
    return Path(environ.get("OPENVRAS_CACHE") or Path(__file__).parents[3] / ".cache")


def recipe(sources: Iterable[Path]) -> str:
    """Names what these files say, in their order."""
    digest = hashlib.sha256()
    for file in sources:
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()[:16]


def made_once(folder: Path, make: Callable[[Path, Path], None]) -> None:
    """Fills `folder` by `make(scratch, into)` where it is not there yet: all of it, or it is not there.

    Of two at once one makes it and the other waits; what is made for other folders is not waited for. What
    `make` raises is passed on.
    """
    if folder.exists():
        return
    with _only_maker(folder):
        if folder.exists():
            return
        with tempfile.TemporaryDirectory(prefix=_aside(folder), dir=folder.parent) as scratch:
            into = Path(scratch) / "made"
            into.mkdir()
            make(Path(scratch), into)
            _publish(into, folder)


@contextmanager
def _only_maker(folder: Path) -> Iterator[None]:
    """One at a time; what a killed one left behind is removed."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(f".{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for left in folder.parent.glob(f"{_aside(folder)}*"):
            # A program that the killed one had started may write on for a moment: the next build gets that.
            shutil.rmtree(left, ignore_errors=True)
        yield


def _aside(folder: Path) -> str:
    return f"building-{folder.name}-"


def _publish(built: Path, folder: Path) -> None:
    """Under its final name, read-only, also after a power cut."""
    for file in built.iterdir():
        file.chmod(0o444)
        _fsync(file)
    _fsync(built)
    built.rename(folder)
    _fsync(folder.parent)


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
