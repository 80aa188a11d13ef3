"""Frames that this PC can send to peers: kept as they came, or made again from the image.

What came is kept in a file without a name, so nothing is left of it whatever happens to the process; after
that, and for what was here before, the image is the source. What is read from there is checked against its
digest: a slot is written anew some day, while somebody still asks.
"""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import zstandard

from vrasnode.chunks.frames import make_frame, new_compressor

FAST_LEVEL = 1
AT_HAND_BYTES = 4 << 20  # kept in memory as well: what goes to all peers now is not read for each of them


class Source:
    """`read` gives the checked chunk of a piece from the image, or None. Without `compress` chunks go as they
    are: where frames are deltas, a plain one would not be known as such. One thread at a time sends."""

    def __init__(
        self, directory: Path, *, read: Callable[[int], bytes | None], compress: bool = True
    ) -> None:
        self._compress = compress
        self._file = tempfile.TemporaryFile(dir=directory, buffering=0)  # noqa: SIM115  (closed by close)
        self._places: dict[int, tuple[int, int]] = {}
        self._at_hand: dict[int, bytes] = {}
        self._at_hand_bytes = 0
        self._end = 0
        self._read = read
        self._compressor: zstandard.ZstdCompressor | None = None

    def keep(self, piece: int, frame: bytes, *, at_hand: bool = False) -> None:
        """Keeps a right frame; where the disk has no room, the image will do. `at_hand`: it goes to peers
        next."""
        if at_hand:
            self._take_at_hand(piece, frame)
        try:
            if os.pwrite(self._file.fileno(), frame, self._end) == len(frame):
                self._places[piece] = (self._end, len(frame))
                self._end += len(frame)
        except OSError:
            return

    def frame(self, piece: int) -> bytes | None:
        """The frame of a piece, None where it can no longer be had."""
        if piece in self._at_hand:
            return self._at_hand[piece]
        if piece in self._places:
            start, length = self._places[piece]
            frame = os.pread(self._file.fileno(), length, start)
            return frame if len(frame) == length else None
        chunk = self._read(piece)
        if chunk is None or not self._compress:
            return chunk
        if self._compressor is None:
            self._compressor = new_compressor(level=FAST_LEVEL)
        return make_frame(chunk, self._compressor)

    def close(self) -> None:
        self._file.close()
        self._places.clear()
        self._at_hand.clear()

    def _take_at_hand(self, piece: int, frame: bytes) -> None:
        self._at_hand_bytes += len(frame) - len(self._at_hand.pop(piece, b""))
        self._at_hand[piece] = frame
        while self._at_hand_bytes > AT_HAND_BYTES:
            self._at_hand_bytes -= len(self._at_hand.pop(next(iter(self._at_hand))))
