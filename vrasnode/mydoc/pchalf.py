"""The PC's halves of the volumes' LAN keys. Neither this half nor the server's opens anything alone.

    <volume>/half.tpm   sealed by this PC's TPM
    <volume>/half.key   0600, as it is: where there is no TPM (preflight says what that means)

A half is made once. To lose it is to lose the LAN key: then only the custodians open the volume.
"""

import secrets
from pathlib import Path

from vrasnode.errors import HostBroken, Refused
from vrasnode.host import disk
from vrasnode.host.tpm import Tpm
from vrasnode.mydoc import naming
from vrasnode.sealing import HALF_BYTES


class Halves:
    """All halves of this PC, beside its volumes. Every act may raise HostBroken (disk_full …, tpm_failed …),
    and Refused(bad_volume) for a name that is no volume's."""

    def __init__(self, directory: Path, *, tpm: Tpm) -> None:
        self._directory = directory
        self._tpm = tpm

    def get(self, volume: str) -> bytes | None:
        """None: none was made. Raises HostBroken(half_damaged, sealed_elsewhere)."""
        directory = self._of(volume)
        if sealed := disk.read_file(directory / "half.tpm"):
            return _whole(self._tpm.unseal(sealed, _purpose(volume)), volume)
        plain = disk.read_file(directory / "half.key")
        return None if plain is None else _whole(plain, volume)

    def make(self, volume: str) -> bytes:
        """The half of this volume; made now if there was none, and kept before this returns."""
        kept = self.get(volume)
        if kept is not None:
            return kept
        half = secrets.token_bytes(HALF_BYTES)
        directory = self._of(volume)
        disk.make_directory(directory, mode=0o700)
        if self._tpm.present():
            disk.write_file(directory / "half.tpm", self._tpm.seal(half, _purpose(volume)))
        else:
            disk.write_file(directory / "half.key", half)
        with disk.told(f"{directory} cannot be kept"):
            disk.sync_directory(self._directory)
        return half

    def forget(self, volume: str) -> None:
        """From now on only the recovery key opens the volume."""
        directory = self._of(volume)
        if not directory.exists():
            return
        with disk.told(f"{directory} cannot be changed"):
            for name in ("half.tpm", "half.key"):
                (directory / name).unlink(missing_ok=True)
            disk.sync_directory(directory)

    def _of(self, volume: str) -> Path:
        if not naming.is_volume(volume):
            raise Refused("bad_volume", f"{volume!r} is not the name of a volume.")
        return self._directory / volume


def _purpose(volume: str) -> str:
    return f"lan key {volume}"


def _whole(half: bytes, volume: str) -> bytes:
    if len(half) != HALF_BYTES:
        words = f"This PC's half of the key of volume {volume} is damaged: ask the custodians for theirs."
        raise HostBroken("half_damaged", words)
    return half
