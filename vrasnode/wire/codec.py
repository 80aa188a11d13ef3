"""Canonical JSON for wire messages: same struct, same bytes.

Times are ISO 8601 in UTC, bytes are base64 (RFC 4648 §4), digests are lower-case hex.
"""

import hashlib
from typing import Any, TypeVar

import msgspec

from vrasnode.errors import Refused

T = TypeVar("T")

MAX_MESSAGE_BYTES = 4 << 20


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """Base of every message that crosses the line."""


def encode(message: Any) -> bytes:
    """The canonical bytes of a message."""
    return msgspec.json.encode(message, order="sorted")


def decode(data: bytes | memoryview, kind: type[T]) -> T:
    """The message in `data`. Raises Refused(bad_message) when it does not fit the schema or is too long."""
    if len(data) > MAX_MESSAGE_BYTES:
        raise Refused("bad_message", f"A message of {len(data)} bytes is longer than {MAX_MESSAGE_BYTES}.")
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Refused("bad_message", f"Not a {kind.__name__} message: {error}") from error


def revision(message: Any) -> str:
    """A short name for this exact content; two equal messages have the same (used as ETag)."""
    return hashlib.sha256(encode(message)).hexdigest()[:32]
