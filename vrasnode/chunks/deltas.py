"""One chunk told by what an older version of its image holds: a delta frame.

    pieces u16 | number u32 × pieces | zstd frame

little-endian. The zstd frame's dictionary is those pieces of the older image, back to back; piece `n` is what
lies from byte `n × piece_bytes` on, shorter at the image's end. A piece may be wrong on a PC whose disk
failed, so here too the chunk's digest decides and callers check it; a plain frame is always there as well.
"""

import struct
from collections.abc import Callable, Sequence
from typing import TypeAlias

import zstandard

from vrasnode.chunks.frames import check_claims
from vrasnode.chunks.hashing import Buffer
from vrasnode.errors import Refused

PIECE_BYTES = 64 << 10
MAX_DICTIONARY_BYTES = 4 << 20  # what opening one may read and hold, whatever a delta frame names
LEVEL = 6

ReadPiece: TypeAlias = Callable[[int], Buffer]

_COUNT = struct.Struct("<H")


def make_delta(chunk: Buffer, pieces: Sequence[tuple[int, Buffer]], *, level: int = LEVEL) -> bytes:
    """The delta frame of `chunk` from numbered pieces; the likest ones belong at the end."""
    dictionary = b"".join(data for _number, data in pieces)
    if len(dictionary) > MAX_DICTIONARY_BYTES:
        raise ValueError("These are more pieces than a delta frame may name.")
    reach = (len(dictionary) + len(chunk)).bit_length()
    parameters = zstandard.ZstdCompressionParameters.from_level(
        level,
        source_size=len(chunk),
        dict_size=len(dictionary),
        window_log=max(reach, zstandard.WINDOWLOG_MIN),
        write_content_size=True,
        write_checksum=False,
    )
    compressor = zstandard.ZstdCompressor(dict_data=_raw(dictionary), compression_params=parameters)
    numbers = [number for number, _data in pieces]
    lead = _COUNT.pack(len(numbers)) + struct.pack(f"<{len(numbers)}I", *numbers)
    return lead + compressor.compress(chunk)


def open_delta(delta: Buffer, raw_bytes: int, *, piece_bytes: int, read: ReadPiece) -> bytes:
    """The chunk of `raw_bytes` bytes in `delta`, never allocating more than that and the dictionary.

    Raises Refused(bad_frame), and whatever `read` raises.
    """
    numbers, frame = _split(delta, piece_bytes)
    dictionary = b"".join(read(number) for number in numbers)
    try:
        check_claims(frame, raw_bytes)
        opener = zstandard.ZstdDecompressor(dict_data=_raw(dictionary))
        chunk = opener.decompress(frame, max_output_size=raw_bytes, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise _bad(str(error)) from error
    if len(chunk) != raw_bytes:
        raise _bad(f"it holds {len(chunk)} bytes instead of {raw_bytes}")
    return chunk


def _split(delta: Buffer, piece_bytes: int) -> tuple[tuple[int, ...], memoryview]:
    view = memoryview(delta)
    if len(view) < _COUNT.size:
        raise _bad("it ends too early")
    (count,) = _COUNT.unpack_from(view)
    end = _COUNT.size + 4 * count
    if count * piece_bytes > MAX_DICTIONARY_BYTES or end > len(view):
        raise _bad(f"it names {count} pieces")
    return struct.unpack_from(f"<{count}I", view, _COUNT.size), view[end:]


def _raw(dictionary: bytes) -> zstandard.ZstdCompressionDict:
    return zstandard.ZstdCompressionDict(dictionary, dict_type=zstandard.DICT_TYPE_RAWCONTENT)


def _bad(why: str) -> Refused:
    return Refused("bad_frame", f"A delta frame cannot be opened: {why}. The plain one is taken.")
