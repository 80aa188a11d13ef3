"""Two more pairs of images for the benchmarks, made of the workload's files.

`ntfs`: the same change on NTFS; v1's files on a new file system, then brought to v2's file by file.
`rebuilt`: v1 as it is, and v2's files written into a new file system: a master that was rebuilt from scratch.

`python -m benchmarks.pairs ntfs|rebuilt [--quick] DIR`, then `python -m benchmarks.delta --workload DIR`.
Needs root for loop mounts, and FUSE for NTFS.
"""

import argparse
import filecmp
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from benchmarks import workload
from benchmarks.workload import FULL, QUICK, Workload

KINDS = ("ntfs", "rebuilt")


def build(kind: str, source: Workload, place: Path) -> None:
    """Makes `v1.raw` and `v2t.raw` in `place`."""
    v1, v2 = place / "v1.raw", place / "v2t.raw"
    size = source.v1.stat().st_size
    if kind == "ntfs":
        _make(v1, size, ["mkfs.ntfs", "--quick", "--force"])
        _fill(v1, source.v1)
        _run("cp", "--sparse=always", str(v1), str(v2))
    else:
        _run("cp", "--sparse=always", str(source.v1), str(v1))
        _make(v2, size, ["mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0"])
    _fill(v2, source.v2)


def _make(image: Path, size: int, command: list[str]) -> None:
    with image.open("wb") as file:
        file.truncate(size)
    _run(*command, str(image))


def _fill(image: Path, source: Path) -> None:
    """Brings the files of an image to those of another."""
    with _mounted(source, "ro,noload") as there, _mounted(image, "rw") as here:
        _mirror(there, here)
        _run("sync", "--file-system", str(here))


def _mirror(there: Path, here: Path) -> None:
    """Files, folders and symbolic links of `there`; what is the same is not touched, what else is here goes.
    Device nodes and the like are left out, as is what the file system does not take."""
    for root, folders, files in os.walk(there):
        kept = here / Path(root).relative_to(there)
        for name in {one.name for one in kept.iterdir()} - {*folders, *files}:
            _remove(kept / name)
        for name in (*folders, *files):
            with suppress(OSError):
                _bring(Path(root, name), kept / name)


def _bring(source: Path, target: Path) -> None:
    if source.is_symlink():
        if not (target.is_symlink() and target.readlink() == source.readlink()):
            _remove(target)
            target.symlink_to(source.readlink())
    elif source.is_dir():
        if target.is_symlink() or not target.is_dir():
            _remove(target)
            target.mkdir()
    elif source.is_file() and not (target.is_file() and filecmp.cmp(source, target, shallow=False)):
        shutil.copy2(source, target)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


@contextmanager
def _mounted(image: Path, options: str) -> Iterator[Path]:
    place = image.with_name(f"{image.name}.{os.getpid()}.mounted")
    place.mkdir()
    try:
        _run("mount", "-o", f"loop,{options}", str(image), str(place))
        try:
            yield place
        finally:
            _run("umount", str(place))
    finally:
        place.rmdir()


def _run(*argv: str) -> None:
    done = subprocess.run(argv, check=False, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"`{' '.join(argv)}` ended with {done.returncode}: {done.stderr}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("--quick", action="store_true", help="of the small workload")
    parser.add_argument("directory", type=Path)
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.directory.mkdir(parents=True, exist_ok=True)
    if options.inside:
        source = workload.get(QUICK if options.quick else FULL, None, say=print)
        build(options.kind, source, options.directory)
        return
    # In mounts of its own: whatever happens here, none is left on the machine.
    own = ["unshare", "--mount", "--propagation", "private", sys.executable, "-m", "benchmarks.pairs"]
    subprocess.run([*own, *sys.argv[1:], "--inside"], check=True)


if __name__ == "__main__":
    main()
