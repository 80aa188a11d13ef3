"""What each run brings into the emulated PC: our agent with its dependencies, and the programs that test it.

One small read-only disk, made in a second or two. The agent comes as an installation would have it: its own
package with its `vrasnode` command, beside the packages that its lock file pins, taken from this environment.
"""

import re
import shutil
import sys
from importlib.metadata import distribution
from pathlib import Path

from vrasnode.servicevm.build.hosttools import run

ROOT = Path(__file__).parents[3]
INSIDE = Path(__file__).parent / "inside"
AGENT = ROOT / "vrasnode"
LOCK = ROOT / "requirements" / "agent.lock"
SPARE_BYTES = 16 << 20
_COMMAND = """\
#!/bin/sh
PYTHONPATH=/payload/packages PYTHONDONTWRITEBYTECODE=1 exec python3 -m vrasnode "$@"
"""


def make(disk: Path, *, scratch: Path) -> None:
    """Writes the disk (raw, ext4). `scratch` is an empty folder. Raises HostBroken."""
    packages = scratch / "packages"
    packages.mkdir()
    for name in re.findall(r"^([a-z0-9-]+)==", LOCK.read_text(), re.M):
        _copy_distribution(name, packages)
    shutil.copytree(AGENT, packages / "vrasnode", ignore=shutil.ignore_patterns("__pycache__", "build"))
    command = scratch / "bin" / "vrasnode"
    command.parent.mkdir()
    command.write_text(_COMMAND)
    for file in INSIDE.iterdir():
        if file.is_file():
            shutil.copyfile(file, scratch / file.name)
    for program in (command, scratch / "start"):
        program.chmod(0o755)
    # Compiled here, where it is quick: the emulated processors take half a minute for it.
    run(sys.executable, "-m", "compileall", "-q", "-j", "2", packages)
    used = sum(file.stat().st_size + 4096 for file in scratch.rglob("*") if not file.is_symlink())
    with disk.open("xb") as empty:
        empty.truncate(used + SPARE_BYTES)
    run(
        "mke2fs", "-q", "-F", "-t", "ext4", "-O", "^has_journal", "-m", "0", "-N", "8192", "-d", scratch, disk
    )


def _copy_distribution(name: str, into: Path) -> None:
    """The files of an installed package, without its commands."""
    for file in distribution(name).files or ():
        if ".." in file.parts or file.suffix == ".pyc":
            continue
        place = into / file
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(str(file.locate()), place)
