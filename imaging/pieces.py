"""A version read from the store: its chunks by entry, and small numbered pieces of them by place."""

import os
from bisect import bisect_left
from collections import OrderedDict
from threading import Lock

from imaging.models import ImageVersion
from imaging.store import store
from vrasnode.chunks import framemap, hashing, manifest
from vrasnode.chunks.deltas import PIECE_BYTES
from vrasnode.chunks.frames import open_frame
from vrasnode.errors import Refused

KEPT_BYTES = 64 << 20  # of chunks that were opened last


class StoredVersion:
    """One version in the store, safe to read from several threads."""

    def __init__(self, version: ImageVersion) -> None:
        """Raises FileNotFoundError, Refused."""
        digest = version.manifest
        self.manifest = manifest.read_named(store().manifest_path(digest).read_bytes(), digest)
        header = self.manifest.header
        self.frames = framemap.decode(
            store().frames_path(digest).read_bytes(),
            chunks=len(self.manifest),
            chunk_bytes=header.chunk_bytes,
        )
        self.digest = hashing.digest_of(header.hash)
        self.piece_bytes = min(PIECE_BYTES, header.chunk_bytes)
        self.pieces_per_chunk = header.chunk_bytes // self.piece_bytes
        self._kept: OrderedDict[int, bytes] = OrderedDict()
        self._most = max(4, KEPT_BYTES // header.chunk_bytes)
        self._lock = Lock()

    def chunk_bytes_at(self, entry: int) -> int:
        return self.manifest.chunk_bytes_at(self.manifest.numbers[entry])

    def frame(self, entry: int) -> bytes:
        """The plain frame of an entry. Raises FileNotFoundError, Refused(bad_pack)."""
        pack_id, offset, length = self.frames.place(entry)
        with store().pack_path(pack_id).open("rb", buffering=0) as pack:
            data = os.pread(pack.fileno(), length, offset)
        if len(data) != length:
            raise Refused("bad_pack", f"Pack {pack_id[:12]} is cut off. Publish the image again.")
        return data

    def chunk(self, entry: int) -> bytes:
        """The bytes of an entry. Raises FileNotFoundError, Refused."""
        with self._lock:
            if (kept := self._kept.get(entry)) is not None:
                self._kept.move_to_end(entry)
                return kept
        chunk = open_frame(self.frame(entry), self.chunk_bytes_at(entry))
        with self._lock:
            self._kept[entry] = chunk
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)
        return chunk

    def piece(self, number: int) -> bytes:
        """Piece `number` of the image, counted by bytes."""
        chunk, at = divmod(number, self.pieces_per_chunk)
        entry = self._entry(chunk)
        start = at * self.piece_bytes
        return b"" if entry is None else self.chunk(entry)[start : start + self.piece_bytes]

    def pieces_at(self, start: int, length: int) -> list[int]:
        """The numbers of the pieces that lie at these bytes; none where the image holds zeros."""
        first, end = start // self.piece_bytes, -(-(start + length) // self.piece_bytes)
        return [
            number for number in range(first, end) if self._entry(number // self.pieces_per_chunk) is not None
        ]

    def _entry(self, number: int) -> int | None:
        numbers = self.manifest.numbers
        entry = bisect_left(numbers, number)
        return entry if entry < len(numbers) and numbers[entry] == number else None
