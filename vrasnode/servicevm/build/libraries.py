"""Which shared libraries programs need, found in a tree of unpacked packages; nothing of it is run."""

import re
from collections.abc import Iterable
from pathlib import Path

from vrasnode.errors import HostBroken
from vrasnode.servicevm.build.hosttools import run

FOLDERS = ("lib64", "lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu")


def needed_by(files: Iterable[Path], *, tree: Path) -> set[Path]:
    """The libraries of these programs and libraries, and those that these need, as ld.so(8) would find them.

    Paths are relative to `tree`, like the given ones. Raises HostBroken(image_not_built) when one is missing.
    """
    found: set[Path] = set()
    folders: dict[str, None] = {}  # in which a program looks on behalf of what it loads as well
    looked_at = set(files)
    while looked_at:
        paths = sorted(tree / file for file in looked_at)
        said = run("readelf", "-dW", *paths).stdout
        for path in _values("RUNPATH", said) | _values("RPATH", said):
            folders |= {folder.lstrip("/"): None for folder in path.split(":")}
        found |= looked_at
        looked_at = {_find(name, [*FOLDERS, *folders], tree) for name in _values("NEEDED", said)} - found
    return found - set(files)


def _values(entry: str, said: str) -> set[str]:
    """What readelf shows in brackets for an entry of the dynamic section."""
    return set(re.findall(rf"\({entry}\).*\[(.*)\]", said))


def _find(name: str, folders: Iterable[str], tree: Path) -> Path:
    for folder in folders:
        if (tree / folder / name).exists():
            return Path(folder, name)
    raise HostBroken("image_not_built", f"No package of the image brings {name}")
