"""What a PC keeps of each volume beside it, so that a kill at any moment is gone on from.

    <volume>/record.json    which logon opened it, how far it was made, how it was locked last

No key is in it. What the file of the volume itself is, `volumes` keeps.
"""

import logging
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from vrasnode.errors import HostBroken, Refused
from vrasnode.host import disk
from vrasnode.mydoc.naming import is_volume
from vrasnode.wire import codec
from vrasnode.wire.codec import Message
from vrasnode.wire.mydoc import LockProof

log = logging.getLogger("vrasnode.mydoc")


class Record(Message, frozen=True):
    """One volume. `session` is the logon by which it is, or is about to be, open; "": it is locked."""

    wrapped: bytes = b""  # the recovery key, for both custodians: kept before the volume is made
    custodians: list[str] = []  # their fingerprints, outer first
    deposited: bool = False  # the server has it: only then the volume is used
    formatted: bool = False
    session: str = ""
    lease: str = ""  # by which opening of a usage key it is, or was last, open; "": by a logon
    boot_id: str = ""  # of the PC, when it was opened
    heard_at: float = 0.0  # when the server was heard last while it was open; CLOCK_BOOTTIME
    keyed: str = ""  # the logon for which the server gave its half
    program: str = ""  # in which run of the virtual server it is shared; "": not
    share: str = ""
    told: bool = False  # whether the client VM knows the share
    reading: str = ""  # the replica's run for which it is opened, read-only and for nobody else
    locking: str = ""  # why it is being locked
    broken: bool = False  # it is to be locked, or was, because something is wrong with it
    code: str = ""
    words: str = ""
    ended: str = ""  # the logon that was the last: it never opens anything again
    since: datetime | None = None
    proof: LockProof | None = None

    @property
    def held(self) -> bool:
        """Whether it is open, for whomever, or on its way there or back."""
        return bool(self.session or self.locking or self.reading)


class Ledger:
    """The record of one volume. Safe to read from other threads; to keep something raises HostBroken when the
    disk does not take it, and the record is then what it was."""

    def __init__(self, directory: Path, volume: str, *, made: bool) -> None:
        """`made`: the volume's file is there. Without a record it is one that was used: never made anew."""
        self._path = directory / volume / "record.json"
        self.record = _read(self._path) or Record(deposited=made, formatted=made)
        self._written = self.record

    def keep(self, **changes: Any) -> None:
        """On the disk before this returns."""
        record = replace(self.record, **changes)
        if record != self._written:
            disk.make_directory(self._path.parent, mode=0o700)
            disk.write_file(self._path, codec.encode(record))
            self._written = record
        self.record = record

    def note(self, **changes: Any) -> None:
        """Holds for this process in any case, and on the disk if that takes it: a full disk keeps nobody from
        locking. The next process finds what was last kept, and locks again."""
        try:
            self.keep(**changes)
        except HostBroken as error:
            log.warning("%s", error)
            self.record = replace(self.record, **changes)


def kept(directory: Path) -> Iterator[tuple[str, Record]]:
    """All volumes of a PC with their records, also while its agent does not run."""
    for path in sorted(directory.glob("*/record.json")):
        if is_volume(path.parent.name) and (record := _read(path)):
            yield path.parent.name, record


def _read(path: Path) -> Record | None:
    data = disk.read_file(path)
    try:
        return codec.decode(data, Record) if data else None
    except Refused as error:
        log.warning("%s cannot be used (%s); its volume is taken as it is", path, error.words)
        return None
