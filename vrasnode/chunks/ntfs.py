"""The free clusters of an NTFS volume that Windows shut down for good, after its documented layout.

Reads only: the bitmap of clusters ($Bitmap), whether the volume is marked dirty ($Volume), whether its
journal is closed ($LogFile), and whether Windows sleeps in hiberfil.sys (hibernation, Fast Startup): then
the disk is not what Windows will go on with. What is not sure is an `Unsure`: nothing
of that volume is left out.
"""

import struct
from collections.abc import Iterator

from vrasnode.chunks.disks import Read
from vrasnode.chunks.ext4 import Unsure
from vrasnode.chunks.freeranges import zero_bits

MAGIC_AT, MAGIC = 3, b"NTFS    "

_LOGFILE, _VOLUME, _ROOT, _BITMAP = 2, 3, 5, 6  # records of the master file table
_DATA, _VOLUME_INFORMATION, _INDEX_ROOT, _INDEX_ALLOCATION = 0x80, 0x70, 0x90, 0xA0
_END = 0xFFFFFFFF
_DIRTY = 0x0001
_LOG_CLEAN, _NO_CLIENT = 0x0002, 0xFFFF
_HIBERNATION = "hiberfil.sys".encode("utf-16-le")
_NAME_AT = 0x10 + 0x42  # of a file's name in an entry of a directory
_MOST_BYTES = 1 << 30  # of a bitmap (16 TiB at 2 KiB) or directory


def free(read: Read) -> Iterator[tuple[int, int]]:
    """The free ranges (bytes, from the volume's start). Raises Unsure."""
    try:
        volume = _Volume(read)
        volume.check_clean()
        return volume.free()
    except (struct.error, IndexError, ValueError) as error:
        raise Unsure("its tables do not fit together: run chkdsk in Windows") from error


class _Volume:
    def __init__(self, read: Read) -> None:
        boot = read(0, 512)
        sector, per_cluster = struct.unpack_from("<HB", boot, 0x0B)
        if sector not in (256, 512, 1024, 2048, 4096):
            raise Unsure("its boot sector does not fit together")
        self._read = read
        self._cluster = sector * (per_cluster if per_cluster <= 128 else 1 << (256 - per_cluster))
        sectors, table = struct.unpack_from("<QQ", boot, 0x28)
        self._clusters = sectors * sector // self._cluster
        (size,) = struct.unpack_from("<b", boot, 0x40)
        self._record = size * self._cluster if size > 0 else 1 << -size
        if not self._clusters > 0 or not 256 <= self._record <= 1 << 16:
            raise Unsure("its boot sector does not fit together")
        self._table = [(table, 1 << 40)]
        self._table = self._runs(self._attribute(0, _DATA))

    def check_clean(self) -> None:
        """Raises Unsure unless Windows has let go of it."""
        _resident, data = self._value(self._attribute(_VOLUME, _VOLUME_INFORMATION))
        if struct.unpack_from("<H", data, 10)[0] & _DIRTY:
            raise Unsure("it is marked dirty: let Windows check it (chkdsk) and shut it down")
        self._check_journal()
        for number in self._named_in_root(_HIBERNATION):
            _resident, head = self._value(self._attribute(number, _DATA), most=4096)
            if head.strip(b"\x00") and head[:4].lower() != b"wake":
                words = "Windows sleeps in it (hibernation or Fast Startup)"
                raise Unsure(f"{words}: shut it down with shutdown /s /f /t 0")

    def free(self) -> Iterator[tuple[int, int]]:
        _resident, bitmap = self._value(self._attribute(_BITMAP, _DATA))
        if 8 * len(bitmap) < self._clusters:
            raise Unsure("its bitmap is shorter than the volume")
        size = self._cluster
        part = 1 << 16  # bytes of the bitmap at a time: numbers as long as all of it would be slow
        ranges = []
        for at in range(0, -(-self._clusters // 8), part):
            first = 8 * at
            for begin, end in zero_bits(bitmap[at : at + part], min(8 * part, self._clusters - first)):
                ranges.append(((first + begin) * size, (first + end) * size))
        return iter(ranges)

    def _check_journal(self) -> None:
        _resident, log = self._value(self._attribute(_LOGFILE, _DATA), most=1 << 16)
        if not log.strip(b"\xff"):  # emptied, as ntfs-3g and new volumes leave it
            return
        if log[:4] != b"RSTR":
            raise Unsure("its journal cannot be read: let Windows check it (chkdsk)")
        (area,) = struct.unpack_from("<H", log, 0x18)
        _lsn, _clients, _free, in_use, flags = struct.unpack_from("<QHHHH", log, area)
        if in_use != _NO_CLIENT and not flags & _LOG_CLEAN:
            raise Unsure("its journal is open: shut Windows down with shutdown /s /f /t 0")

    def _named_in_root(self, name: bytes) -> Iterator[int]:
        """Records of files of this name in the root directory."""
        lists = [self._value(self._attribute(_ROOT, _INDEX_ROOT))[1]]
        try:
            entries = self._value(self._attribute(_ROOT, _INDEX_ALLOCATION))[1]
        except Unsure:
            entries = b""  # a small directory
        (size,) = struct.unpack_from("<I", lists[0], 8)
        if entries and not 512 <= size <= 1 << 16:
            raise Unsure("its root directory does not fit together")
        lists += [
            self._fixed(entries[at : at + size])
            for at in range(0, len(entries), size)
            if entries[at : at + 4] == b"INDX"
        ]
        for entries in lists:
            at = entries.lower().find(name)
            while at >= 0:
                if at >= _NAME_AT:
                    (reference,) = struct.unpack_from("<Q", entries, at - _NAME_AT)
                    yield reference & ((1 << 48) - 1)
                at = entries.lower().find(name, at + 1)

    def _attribute(self, number: int, kind: int) -> bytes:
        """The first attribute of a kind in a record. Raises Unsure."""
        record = self._fixed(self._from(self._table, number * self._record, self._record))
        if record[:4] != b"FILE":
            raise Unsure("its master file table cannot be read")
        (at,) = struct.unpack_from("<H", record, 0x14)
        while True:
            found, length = struct.unpack_from("<II", record, at)
            if found == kind:
                return record[at : at + length]
            if found == _END or not length:
                raise Unsure("its master file table is laid out in a way that is not known here")
            at += length

    def _value(self, attribute: bytes, *, most: int = _MOST_BYTES) -> tuple[bool, bytes]:
        """What an attribute holds, the first `most` bytes; whether it lies in the record itself."""
        if not attribute[8]:
            length, at = struct.unpack_from("<IH", attribute, 0x10)
            return True, attribute[at : at + length]
        (flags,) = struct.unpack_from("<H", attribute, 0x0C)
        (size,) = struct.unpack_from("<Q", attribute, 0x30)
        if flags or size > _MOST_BYTES:
            raise Unsure("it keeps its tables in a way that is not known here")
        return False, self._from(self._runs(attribute), 0, min(size, most))

    def _runs(self, attribute: bytes) -> list[tuple[int, int]]:
        """First cluster and length of each run."""
        (at,) = struct.unpack_from("<H", attribute, 0x20)
        found, cluster = [], 0
        while head := attribute[at]:
            sizes, places = head & 15, head >> 4
            length = int.from_bytes(attribute[at + 1 : at + 1 + sizes], "little")
            at += 1 + sizes
            cluster += int.from_bytes(attribute[at : at + places], "little", signed=True)
            at += places
            if not places or cluster < 0 or cluster + length > self._clusters:
                raise Unsure("it keeps its tables in a way that is not known here")
            found.append((cluster, length))
        return found

    def _from(self, runs: list[tuple[int, int]], start: int, length: int) -> bytes:
        parts, at = [], 0
        for cluster, clusters in runs:
            size = clusters * self._cluster
            low, high = max(start, at), min(start + length, at + size)
            if low < high:
                parts.append(self._read(cluster * self._cluster + low - at, high - low))
            at += size
        data = b"".join(parts)
        if len(data) != length:
            raise Unsure("its tables are cut off")
        return data

    def _fixed(self, record: bytes) -> bytes:
        """A record with the ends of its sectors put back, which show whether it was written whole."""
        at, count = struct.unpack_from("<HH", record, 4)
        marks = record[at : at + 2 * count]
        fixed = bytearray(record)
        for number in range(1, count):
            end = 512 * number
            if fixed[end - 2 : end] != marks[:2]:
                raise Unsure("a record of it was not written whole: run chkdsk in Windows")
            fixed[end - 2 : end] = marks[2 * number : 2 * number + 2]
        return bytes(fixed)
