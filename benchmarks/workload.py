"""The workload: a master image and the same disk after an administrator's session.

v1.raw is a Debian desktop without updates; v2t.raw is the same disk upgraded, with packages added and
removed, settings and documents changed, then trimmed, as the guest of an image-creation PC trims it. Made of
packages from this machine's own apt sources; needs root for loop mounts. The small one is a bare system.

`python -m benchmarks.workload [--quick] [DIR]` makes it beforehand.
"""

import argparse
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from config.demo.bootimage import default_cache
from vrasnode.errors import HostBroken

LOG = "build.log"
DISTRIBUTION = "bookworm"
_UUID = "11111111-2222-3333-4444-555555555555"
_WORDS = Path("/usr/share/common-licenses/GPL-3")


@dataclass(frozen=True)
class Recipe:
    """What is on the disks. Sizes in GiB; `texts` and `photos` are documents that v2 has more."""

    name: str
    size_gib: int
    variant: str
    packages: tuple[str, ...]
    added: tuple[str, ...]
    removed: tuple[str, ...]
    texts: int
    photos: int


FULL = Recipe(
    name="full",
    size_gib=8,
    variant="important",
    packages=(
        "linux-image-amd64",
        "systemd-sysv",
        "network-manager",
        "sudo",
        "locales",
        "xfce4",
        "lightdm",
        "xorg",
        "firefox-esr",
        "libreoffice-writer",
        "libreoffice-calc",
        "libreoffice-impress",
        "gimp",
        "vlc",
        "evince",
        "thunderbird",
        "fonts-dejavu",
        "fonts-noto-core",
        "fonts-noto-cjk",
        "python3",
        "vim",
        "openssh-server",
        "qemu-guest-agent",
        "ibus-mozc",
        "file-roller",
    ),
    added=("inkscape", "keepassxc", "remmina", "ffmpeg"),
    removed=("vlc", "vlc-bin", "vlc-data", "evince"),
    texts=150,
    photos=40,
)
QUICK = Recipe(
    name="quick",
    size_gib=1,
    variant="minbase",
    packages=("python3-minimal", "vim-tiny", "openssh-client"),
    added=("less", "nano"),
    removed=("vim-tiny",),
    texts=10,
    photos=4,
)


@dataclass(frozen=True)
class Workload:
    """The two raw images."""

    name: str
    v1: Path
    v2: Path

    def __str__(self) -> str:
        one, two = (path.stat().st_blocks * 512 / 1e9 for path in (self.v1, self.v2))
        size = self.v1.stat().st_size / 2**30
        return f"{self.name} workload, {size:.0f} GiB disk, of it v1 has {one:.2f} GB and v2 {two:.2f} GB"


def get(recipe: Recipe, directory: Path | None, *, say: Callable[[str], None]) -> Workload:
    """The workload in `directory` (default: in the cache), built where it is not there yet.

    Raises HostBroken(workload_failed) with the end of the log.
    """
    place = directory or default_cache() / "workload" / recipe.name
    found = Workload(recipe.name, place / "v1.raw", place / "v2t.raw")
    if not (found.v1.exists() and found.v2.exists()):
        say(f"Building the {recipe.name} workload in {place} …")
        place.mkdir(parents=True, exist_ok=True)
        # In mounts of its own: whatever happens to the builder, none is left on the machine.
        builder = [sys.executable, "-m", "benchmarks.workload", "--inside", recipe.name, str(place)]
        argv = ["unshare", "--mount", "--propagation", "private", *builder]
        with (place / LOG).open("wb") as log:
            done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=False)
        if done.returncode:
            words = (place / LOG).read_text(errors="replace")[-1500:].strip()
            raise HostBroken("workload_failed", f"The workload could not be built (root?): {words}")
    return found


class _Builder:
    """Makes one workload, in mounts that nobody else sees."""

    def __init__(self, recipe: Recipe, place: Path) -> None:
        self._recipe = recipe
        self._place = place
        self._root = place / "mounted"
        self._root.mkdir(exist_ok=True)

    def build(self) -> None:
        v1, v2 = self._place / "v1.raw", self._place / "v2t.raw"
        if not v1.exists():
            self._whole(v1, self._install)
        if not v2.exists():
            self._whole(v2, lambda part: self._change(v1, part))
        self._root.rmdir()

    def _whole(self, final: Path, make: Callable[[Path], None]) -> None:
        part = final.with_suffix(".part")
        part.unlink(missing_ok=True)
        make(part)
        part.rename(final)

    def _install(self, part: Path) -> None:
        with part.open("wb") as file:
            file.truncate(self._recipe.size_gib << 30)
        now = "lazy_itable_init=0,lazy_journal_init=0,nodiscard"
        _run("mkfs.ext4", "-q", "-F", "-L", "master", "-U", _UUID, "-E", now, str(part))
        with self._mounted(part):
            packages = ",".join(self._recipe.packages)
            plain = ['--aptopt=APT::Install-Recommends "false"', "--skip=cleanup/apt"]
            source = f"deb {_archives()[DISTRIBUTION]} {DISTRIBUTION} main"
            variant = f"--variant={self._recipe.variant}"
            _run(
                "mmdebstrap", variant, f"--include={packages}", *plain, DISTRIBUTION, str(self._root), source
            )

    def _change(self, v1: Path, part: Path) -> None:
        _run("cp", "--sparse=always", str(v1), str(part))
        with self._mounted(part):
            with self._ready_for_apt():
                self._apt("update")
                self._apt("upgrade")
                self._apt("install", "--no-install-recommends", *self._recipe.added)
                self._apt("remove", *self._recipe.removed)
                self._apt("autoremove")
                self._apt("clean")
            self._write_documents()
            # What was freed a moment ago is trimmed only once the journal has said so.
            _run("sync", "--file-system", str(self._root))
            _run("fstrim", str(self._root))

    @contextmanager
    def _mounted(self, image: Path) -> Iterator[None]:
        _run("mount", "-o", "loop", str(image), str(self._root))
        try:
            yield
        finally:
            _run("umount", str(self._root))

    @contextmanager
    def _ready_for_apt(self) -> Iterator[None]:
        """The disk's own apt can install: sources, name resolution, /proc; and no daemon is started."""
        etc = self._root / "etc"
        suites = [f"deb {uri} {suite} main\n" for suite, uri in sorted(_archives().items())]
        (etc / "apt/sources.list").write_text("".join(suites))
        (etc / "resolv.conf").unlink(missing_ok=True)
        shutil.copy("/etc/resolv.conf", etc / "resolv.conf")
        proxies = etc / "apt/apt.conf.d/99builder"
        proxies.write_text(_output("apt-config", "dump", "Acquire::http", "Acquire::https"))
        no_daemons = self._root / "usr/sbin/policy-rc.d"
        no_daemons.write_text("#!/bin/sh\nexit 101\n")
        no_daemons.chmod(0o755)
        for name in ("dev", "proc", "sys"):
            _run("mount", "--rbind", f"/{name}", str(self._root / name))
        try:
            yield
        finally:
            for name in ("dev", "proc", "sys"):
                _run("umount", "--recursive", "--lazy", str(self._root / name))
            no_daemons.unlink()
            proxies.unlink()

    def _apt(self, *arguments: str) -> None:
        _run("chroot", str(self._root), "apt-get", "-q", "-y", *arguments)

    def _write_documents(self) -> None:
        """Text that compresses, pictures that do not; the same in each build."""
        rng = random.Random(2)
        words = _WORDS.read_text().split()
        texts = self._root / "usr/share/company"
        photos = self._root / "home/staff/Documents"
        for directory in (texts, photos):
            directory.mkdir(parents=True)
        for number in range(self._recipe.texts):
            text = " ".join(rng.choice(words) for _ in range(rng.randrange(4_000, 50_000)))
            (texts / f"manual{number:03}.txt").write_text(text)
        for number in range(self._recipe.photos):
            (photos / f"photo{number:02}.jpg").write_bytes(rng.randbytes(rng.randrange(200_000, 3_000_000)))
        with (self._root / "etc/ssh/ssh_config").open("a") as settings:
            settings.write("    ServerAliveInterval 30\n")


def _archives() -> dict[str, str]:
    """The archives that this machine itself uses, by suite: no address is written down here."""
    lines = _output("apt-get", "indextargets", "--format", "$(CODENAME) $(REPO_URI)", "Created-By: Packages")
    found: dict[str, str] = {}
    for suite, uri in (line.split() for line in lines.splitlines()):
        if suite.startswith(DISTRIBUTION):
            found.setdefault(suite, uri)
    if DISTRIBUTION not in found:
        raise HostBroken("no_archive", f"This machine's apt sources name no {DISTRIBUTION}.")
    return found


def _run(*argv: str) -> None:
    subprocess.run(argv, check=True, env={**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"})


def _output(*argv: str) -> str:
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout


def main() -> None:
    parser = argparse.ArgumentParser(description="Makes the benchmarks' workload.")
    parser.add_argument("directory", type=Path, nargs="?")
    parser.add_argument("--quick", action="store_true", help="the small one")
    parser.add_argument("--inside", choices=[FULL.name, QUICK.name], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside:
        _Builder(FULL if options.inside == FULL.name else QUICK, options.directory).build()
    else:
        print(get(QUICK if options.quick else FULL, options.directory, say=print))


if __name__ == "__main__":
    main()
