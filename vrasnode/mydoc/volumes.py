"""The encrypted volumes of this PC: made, opened, locked, grown. Which may be open when is said elsewhere.

    <volume>/volume.luks   0600: header, then data; sparse, as large as the volume may grow
    <volume>/volume.json   what that file is: its UUID, size, the digest of its header, how it begins
    open/<serial>          where an open one is served, as NBD, export named as the volume

A copy of the header is not kept. It would hold what the keys in the slots open, so whoever puts an old one
back has undone the killing of a slot: a lease would open again after its end. What is kept, the first 592
bytes, holds none of that, only where it lies: put back, it mends a header that a bad sector or a slip has
spoilt, and a killed slot stays dead, for what it opened was overwritten. If what one slot's key opens is
spoilt, the other slot's key still opens the volume. If both are: the replica.
The digest tells a spoilt slot from a wrong key. It proves nothing against somebody who can write here.
"""

import logging
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from vrasnode.errors import HostBroken, Refused
from vrasnode.host import disk
from vrasnode.mydoc import lockproof, luks, naming, storagedaemon
from vrasnode.mydoc.luks import Slot
from vrasnode.wire import codec
from vrasnode.wire.codec import Message

log = logging.getLogger("vrasnode.volumes")

PASSABLE, PRIVATE = 0o711, 0o700
BLOCK_BYTES = 4096


class Note(Message, frozen=True):
    """What a volume's file is, so that another file, or a spoilt one, is not taken for it."""

    luks_uuid: str
    size_bytes: int  # of the file
    header_sha256: str
    start: bytes


@dataclass(frozen=True)
class _Place:
    """Where everything of one volume lies."""

    volume: str
    directory: Path
    socket: Path

    @property
    def file(self) -> Path:
        return self.directory / "volume.luks"

    @property
    def note(self) -> Path:
        return self.directory / "volume.json"


class Volumes:
    """The directory of all volumes. Every act may raise HostBroken with a code of the disk (disk_full,
    disk_failed …), and Refused(bad_volume) for a name that is no volume's."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        for path in (directory, directory / "open"):
            disk.make_directory(path, mode=PASSABLE)

    def create(self, volume: str, *, lan_key: bytes, recovery_key: bytes, limit_bytes: int) -> str:
        """A new volume full of noise, opened by either key; returns its LUKS UUID. After a kill there is
        none, or a whole one.

        Raises Refused(volume_exists) and HostBroken(disk_full, cryptsetup_failed)."""
        place = self._place(volume)
        if place.file.exists():
            raise Refused("volume_exists", f"There is a volume {volume} already. It is left as it is.")
        disk.make_directory(place.directory, mode=PRIVATE)
        part = place.file.with_suffix(f".{secrets.token_hex(4)}.part")  # a killed agent's cryptsetup may live
        with disk.told(f"The volume {volume} cannot be made"):
            for left in place.directory.glob("*.part"):
                left.unlink(missing_ok=True)
            handle = os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                os.ftruncate(handle, _file_bytes(limit_bytes))
                os.posix_fallocate(handle, 0, luks.HEADER_BYTES)  # so that a full disk is seen now
                luks.format_file(part, lan_key)
                luks.add_key(part, lan_key, recovery_key, Slot.RECOVERY)
                os.fsync(handle)
            finally:
                os.close(handle)
            header = luks.read_header(part)
            _write_note(place, header, _size_of(part))
            part.replace(place.file)
            disk.sync_directory(place.directory)
            disk.sync_directory(self._directory)
        log.info("%s: made, up to %d bytes", volume, limit_bytes)
        return header.uuid

    def exists(self, volume: str) -> bool:
        return self._place(volume).file.exists()

    def luks_uuid(self, volume: str) -> str:
        """Raises HostBroken(volume_missing, volume_damaged)."""
        return _checked(self._place(volume)).uuid

    def size(self, volume: str) -> int:
        """How many bytes it holds at most. Raises HostBroken(volume_missing)."""
        return _size_of(_present(self._place(volume))) - luks.HEADER_BYTES

    def serve(self, volume: str, key: bytes, *, read_only: bool = False) -> Path:
        """Opens the volume; returns the socket where it is served. One that is open already stays so, and
        its key is not tried. `read_only`: nobody can write to it there.

        Raises Refused(wrong_key) and HostBroken(volume_missing, volume_damaged, storage_daemon_failed)."""
        place = self._place(volume)
        if self.serving(volume):
            storagedaemon.let_machines_in(place.socket)  # a kill may have come between
            return place.socket
        storagedaemon.end(place.socket)
        header, note = _checked(place), _read_note(place)
        try:
            storagedaemon.start(place.file, key, export=volume, at=place.socket, read_only=read_only)
        except (Refused, HostBroken) as error:
            if note and note.header_sha256 != header.digest:
                raise luks.damaged(place.file, "its header is not what it was") from error
            raise
        if note and note.header_sha256 != header.digest:
            log.warning("%s: its header has changed; the recovery key may not open it any more", volume)
        if not note or note.size_bytes < _size_of(place.file):  # a kill came before it was written
            _write_note(place, header, _size_of(place.file))
        return place.socket

    def serving(self, volume: str) -> Path | None:
        """Where the volume is served now, by whichever agent it was opened; None: it is locked."""
        place = self._place(volume)
        found = storagedaemon.find(place.socket) and storagedaemon.listens(place.socket)
        return place.socket if found else None

    def stop(self, volume: str) -> None:
        """Locks the volume: key and way to the data are gone when this returns; what was not acknowledged
        is lost. Raises HostBroken(storage_daemon_stuck)."""
        storagedaemon.end(self._place(volume).socket)

    def prove_locked(self, volume: str) -> bool:
        """Whether nothing of the volume can be read now. It is tried: to read where it was served; who
        else holds the file open, a process or the kernel; to open the file without a key."""
        place = self._place(volume)
        if storagedaemon.find(place.socket) or lockproof.reads_served(volume, place.socket):
            return False
        if not place.file.exists():
            return True
        return not (lockproof.is_held_open(place.file) or lockproof.reads_without_key(place.file))

    def grow(self, volume: str, limit_bytes: int) -> None:
        """Lets a locked volume hold more; it is never made smaller. The file system in it grows when it is
        next opened. Raises Refused(volume_open) and HostBroken(volume_missing, volume_damaged)."""
        place = self._place(volume)
        header = _checked(place)
        if _file_bytes(limit_bytes) <= _size_of(place.file):
            return
        if storagedaemon.find(place.socket):
            raise Refused("volume_open", f"The volume {volume} is open. Lock it first.")
        with disk.told(f"The volume {volume} cannot grow"):
            handle = os.open(place.file, os.O_RDWR | os.O_CLOEXEC)
            try:
                os.ftruncate(handle, _file_bytes(limit_bytes))
                os.fsync(handle)
            finally:
                os.close(handle)
        _write_note(place, header, _size_of(place.file))

    def set_key(self, volume: str, slot: Slot, new_key: bytes, *, key: bytes) -> None:
        """Makes `new_key` the only key of that slot; `key` opens the volume by another one. A kill in
        between leaves the slot empty: set it again.

        Raises Refused(wrong_key) and HostBroken(volume_missing, volume_damaged, cryptsetup_failed)."""
        place = self._place(volume)
        _checked(place)
        others = [other for other in Slot if other is not slot]
        if not any(luks.opens(place.file, key, other) for other in others):
            raise luks.wrong_key(place.file)
        self.kill_slot(volume, slot)
        place.note.unlink(missing_ok=True)
        luks.add_key(place.file, key, new_key, slot)
        _note_anew(place)

    def kill_slot(self, volume: str, slot: Slot) -> None:
        """From now on the key of this slot opens nothing. Never the last one.

        Raises Refused(last_slot) and HostBroken(volume_missing, volume_damaged, cryptsetup_failed)."""
        place = self._place(volume)
        slots = _checked(place).slots
        if slot not in slots:
            return
        if slots == {slot}:
            raise Refused("last_slot", f"No other key would open the volume {volume}: this one is kept.")
        place.note.unlink(missing_ok=True)  # it would take the new header for a spoilt one
        luks.kill_slot(place.file, slot)
        _note_anew(place)

    def has_slot(self, volume: str, slot: Slot) -> bool:
        """Whether any key opens the volume by this slot. Raises HostBroken(volume_missing …)."""
        return slot in _checked(self._place(volume)).slots

    def all(self) -> list[str]:
        """Those that are here, whoever still names them."""
        with disk.told(f"{self._directory} cannot be read"):
            return sorted(path.name for path in self._directory.iterdir() if naming.is_volume(path.name))

    def opens(self, volume: str, key: bytes, slot: Slot | None = None) -> bool:
        """Whether the key opens the volume, without opening it. Raises HostBroken(volume_missing …)."""
        place = self._place(volume)
        _checked(place)
        return luks.opens(place.file, key, slot)

    def _place(self, volume: str) -> _Place:
        if not naming.is_volume(volume):
            raise Refused("bad_volume", f"{volume!r} is not the name of a volume.")
        socket = self._directory / "open" / naming.serial_of(volume)  # its path may not be long
        return _Place(volume, directory=self._directory / volume, socket=socket)


def _present(place: _Place) -> Path:
    if not place.file.exists():
        words = f"The file of the volume {place.volume} is gone from {place.directory}. Look at its replica."
        raise HostBroken("volume_missing", words)
    return place.file


def _checked(place: _Place) -> luks.Header:
    """The header of the file, which is the one that was made here, whole as far as that can be seen."""
    header = luks.read_header(_present(place))
    note = _read_note(place)
    if note and note.luks_uuid != header.uuid:
        raise luks.damaged(place.file, "it is the file of another volume")
    if note and (missing := note.size_bytes - _size_of(place.file)) > 0:
        raise luks.damaged(place.file, f"{missing} bytes are missing at its end")
    return header


def _read_note(place: _Place) -> Note | None:
    """None also where it cannot be read: it helps to see damage, and is no condition for opening."""
    data = disk.read_file(place.note)
    try:
        return codec.decode(data, Note) if data is not None else None
    except Refused:
        return None


def _write_note(place: _Place, header: luks.Header, size_bytes: int) -> None:
    note = Note(luks_uuid=header.uuid, size_bytes=size_bytes, header_sha256=header.digest, start=header.start)
    disk.write_file(place.note, codec.encode(note))


def _note_anew(place: _Place) -> None:
    _write_note(place, luks.read_header(place.file), _size_of(place.file))


def _file_bytes(limit_bytes: int) -> int:
    if limit_bytes <= 0:
        raise ValueError("a volume holds something")
    return luks.HEADER_BYTES + -(-limit_bytes // BLOCK_BYTES) * BLOCK_BYTES


def _size_of(path: Path) -> int:
    with disk.told(f"The volume {path} cannot be read"):
        return path.stat().st_size
