"""The peer: casync, Debian's tool for content-addressed image delivery, as its manual page says to use it."""

from pathlib import Path

from benchmarks import measuring
from benchmarks.measuring import Cost


class Casync:
    """One chunk store with its indexes, all in `directory`. Commands raise HostBroken(command_failed)."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.store = directory / "default.castr"
        directory.mkdir(parents=True, exist_ok=True)

    def index(self, name: str) -> Path:
        return self.directory / f"{name}.caibx"

    def make(self, name: str, image: Path) -> Cost:
        """Puts an image into the store: what publishing is here."""
        return measuring.run(_make(self.store, self.index(name), image))[0]

    def extract(self, name: str, output: Path, *, seed: Path) -> Cost:
        """Makes an image of what `seed` has and the store: what an update is here."""
        return measuring.run(_extract(self.store, seed, self.index(name), output))[0]

    def stored(self) -> set[Path]:
        """The files that make up the store now."""
        return set(measuring.files_below(self.directory))

    def stored_bytes(self, *, except_for: set[Path]) -> int:
        """What was added, chunks and index."""
        found = measuring.files_below(self.directory)
        return sum(size for path, size in found.items() if path not in except_for)

    def forget_all_but(self, kept: set[Path]) -> None:
        """Takes the store back to what it was."""
        for path in self.stored() - kept:
            path.unlink()


def make_command() -> str:
    """For the report."""
    return _words(_make(Path("STORE"), Path("v2.caibx"), Path("v2t.raw")))


def extract_command() -> str:
    """For the report."""
    return _words(_extract(Path("STORE"), Path("v1.raw"), Path("v2.caibx"), Path("OUTPUT")))


def _make(store: Path, index: Path, image: Path) -> list[str]:
    return ["casync", "make", f"--store={store}", str(index), str(image)]


def _extract(store: Path, seed: Path, index: Path, output: Path) -> list[str]:
    return ["casync", "extract", f"--store={store}", f"--seed={seed}", str(index), str(output)]


def _words(argv: list[str]) -> str:
    return " ".join(argv)
