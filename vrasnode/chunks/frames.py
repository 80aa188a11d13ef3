"""One chunk as it is stored and sent: a zstd frame (RFC 8878), or its own bytes when that is not smaller.

Stored length equal to the chunk's length means *not compressed*. A frame says nothing about who made it: the
chunk's digest decides, and callers check it after opening.
"""

import threading

import zstandard

from vrasnode.chunks.hashing import Buffer
from vrasnode.errors import Refused

LEVEL = 3
# Tables that a core's own cache holds, for they are cleared before each chunk, and no matches of four bytes:
# of a desktop's update this is 1.2 % more bytes than the level alone, in a seventh less time.
TABLES = {"hash_log": 16, "chain_log": 14, "min_match": 5}

_local = threading.local()


def new_compressor(*, level: int = LEVEL) -> zstandard.ZstdCompressor:
    """A compressor as frames need it: with the content size, no checksum. For one thread at a time."""
    parameters = zstandard.ZstdCompressionParameters.from_level(
        level, **TABLES, write_content_size=True, write_checksum=False
    )
    return zstandard.ZstdCompressor(compression_params=parameters)


def make_frame(chunk: Buffer, compressor: zstandard.ZstdCompressor) -> bytes:
    """The frame of `chunk`: never longer than the chunk, and of the same length only when it is the chunk."""
    frame = compressor.compress(chunk)
    return frame if len(frame) < len(chunk) else bytes(chunk)


def open_frame(frame: Buffer, raw_bytes: int) -> bytes:
    """The chunk of `raw_bytes` bytes in `frame`, never allocating more than that whatever the frame claims.

    Raises Refused(bad_frame): not a frame, another size, more than one frame, or something behind it.
    """
    if len(frame) == raw_bytes:
        return bytes(frame)
    if len(frame) > raw_bytes:
        raise _bad(f"{len(frame)} bytes are stored for a chunk of {raw_bytes}")
    try:
        check_claims(frame, raw_bytes)
        chunk = _decompressor().decompress(frame, max_output_size=raw_bytes, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise _bad(str(error)) from error
    if len(chunk) != raw_bytes:
        raise _bad(f"it holds {len(chunk)} bytes instead of {raw_bytes}")
    return chunk


def check_claims(frame: Buffer, raw_bytes: int) -> None:
    """Looked at before opening: with a content size in it, the library allocates what the frame claims.

    Raises Refused(bad_frame), ZstdError.
    """
    claims = zstandard.get_frame_parameters(frame)
    if claims.content_size != raw_bytes or claims.dict_id:
        raise _bad(f"it does not announce exactly {raw_bytes} bytes")


def _decompressor() -> zstandard.ZstdDecompressor:
    found: zstandard.ZstdDecompressor | None = getattr(_local, "decompressor", None)
    if found is None:
        found = _local.decompressor = zstandard.ZstdDecompressor()
    return found


def _bad(why: str) -> Refused:
    return Refused("bad_frame", f"A stored chunk cannot be opened: {why}. It has to be fetched again.")
