"""Where built images are kept, by what they are made from: all there under the final name, or not at all."""

import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
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


@contextmanager
def only_builder(cache: Path) -> Iterator[None]:
    """One builder of a cache at a time; what a killed one left behind is removed."""
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "bootimages.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for left in cache.glob("building-*"):
            # A program that the killed one had started may write on for a moment: the next build gets that.
            shutil.rmtree(left, ignore_errors=True)
        yield


def publish(built: Path, folder: Path) -> None:
    """All there under its final name, read-only, also after a power cut; or nothing."""
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
