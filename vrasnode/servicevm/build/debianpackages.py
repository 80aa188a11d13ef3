"""Debian packages by this machine's own apt sources: looked up, downloaded once, unpacked without installing.

Not for what the machine itself needs installed: that is deploy/setup.sh.
"""

import re
import shutil
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from vrasnode.errors import HostBroken
from vrasnode.servicevm.build.hosttools import run

KERNEL = "linux-image-cloud-amd64"
NOT_NEEDED = ("usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/lintian")


@dataclass(frozen=True)
class Package:
    """One version of one package; `depends` as the control file writes it."""

    name: str
    version: str
    depends: str

    @property
    def file_name(self) -> str:
        return f"{self.name}_{self.version.replace(':', '%3a')}.deb"

    def needs_libraries(self) -> list[str]:
        """Names of the libraries that it depends on; of alternatives the first, as apt would take it."""
        firsts = (wish.split("|")[0].split("(")[0].strip() for wish in self.depends.split(","))
        return [name.split(":")[0] for name in firsts if name.startswith(("lib", "zlib"))]


@dataclass(frozen=True)
class Downloaded:
    """A package whose file lies on this machine."""

    package: Package
    deb: Path


def fetch(
    names: Iterable[str], *, into: Path, say: Callable[[str], None], libraries: bool = False
) -> dict[str, Downloaded]:
    """The newest versions that apt knows, by name; the newest cloud kernel under the name KERNEL.

    With `libraries` also those that the packages need, and those that these need. What else a package asks
    for is left out: it is there for maintainer scripts and services, and none of those runs.
    Files that already lie in `into` are not downloaded again. Only where a look-up or a download fails are
    the lists fetched anew. Raises HostBroken `packages_unavailable`.
    """
    wanted = sorted(names)
    try:
        return _download(_look_up(wanted, libraries=libraries), into=into, say=say)
    except HostBroken:
        say("packages: this machine's lists lack something or are old; apt-get update")
        try:
            run("apt-get", "-qq", "update")
            return _download(_look_up(wanted, libraries=libraries), into=into, say=say)
        except HostBroken as error:
            raise HostBroken(
                "packages_unavailable",
                f"Debian packages could not be had: {error.words}. Check the network and this machine's apt"
                " sources (Debian 12 on amd64 is needed), run as root: apt-get update. Then try again",
            ) from error


def unpack(deb: Path, tree: Path) -> None:
    """Add the files of a package to `tree`, without documentation and translations; nothing of it is run."""
    tree.mkdir(parents=True, exist_ok=True)
    run("dpkg", "-x", deb, tree)
    for unneeded in NOT_NEEDED:
        shutil.rmtree(tree / unneeded, ignore_errors=True)


def _look_up(names: list[str], *, libraries: bool) -> dict[str, Package]:
    found = _candidates([KERNEL, *names])
    # The same kernel without a Secure Boot signature, which no firmware here asks for.
    kernel = re.search(r"linux-image-\S+-cloud-amd64", found.pop(KERNEL).depends)
    if kernel is None:
        raise HostBroken("package_unknown", f"{KERNEL} names no kernel")
    (unsigned,) = _candidates([f"{kernel[0]}-unsigned"]).values()
    if libraries:
        found |= _libraries(found)
    return found | {KERNEL: unsigned}


def _libraries(packages: dict[str, Package]) -> dict[str, Package]:
    """What packages of libraries (by their names) are needed, by these and by each other."""
    found: dict[str, Package] = {}
    looked_at = packages
    while looked_at:
        needed = {name for package in looked_at.values() for name in package.needs_libraries()}
        looked_at = _candidates(sorted(needed - set(packages) - set(found)))
        found |= looked_at
    return found


def _candidates(names: list[str]) -> dict[str, Package]:
    if not names:
        return {}
    shown = run("apt-cache", "show", "--no-all-versions", *names).stdout
    found = {package.name: package for package in map(_parse, re.split(r"\n\n+", shown.strip()))}
    if unknown := sorted(set(names) - set(found)):
        raise HostBroken("package_unknown", f"apt knows no {' '.join(unknown)}")
    return found


def _parse(stanza: str) -> Package:
    fields = dict(re.findall(r"^(Package|Version|Depends|Pre-Depends): (.*)$", stanza, re.MULTILINE))
    depends = ", ".join(fields[name] for name in ("Pre-Depends", "Depends") if name in fields)
    return Package(fields.get("Package", ""), fields.get("Version", ""), depends)


def _download(
    packages: dict[str, Package], *, into: Path, say: Callable[[str], None]
) -> dict[str, Downloaded]:
    into.mkdir(parents=True, exist_ok=True)
    missing = [package for package in packages.values() if not (into / package.file_name).exists()]
    if missing:
        say(f"packages: downloading {len(missing)} of {len(packages)}")
        # Into a folder of their own first: a killed download must not leave half a file under its final name.
        with tempfile.TemporaryDirectory(dir=into, prefix="downloading-") as folder:
            run("apt-get", "-qq", "download", *(f"{p.name}={p.version}" for p in missing), cwd=Path(folder))
            for package in missing:
                (deb,) = Path(folder).glob(f"{package.name}_*.deb")
                deb.rename(into / package.file_name)
    return {name: Downloaded(package, into / package.file_name) for name, package in packages.items()}
