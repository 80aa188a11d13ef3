"""Names of files as people and addresses meet them. A name is bytes that a user chose: pure functions make of
it a text that cannot deceive, a word for an address, and a name to save under.

A path goes from the volume's root, without a slash at either end; the root itself is empty.
"""

import base64
import binascii
import unicodedata
from functools import lru_cache

ROOT = "-"  # in addresses; no bytes are encoded like this
MAX_PATH = 4096
MAX_NAME = 255
_JOINER = "\u200d"  # between the parts of one emoji
_SPACES = (" ", "\u3000")
# Controls, formats (among them what reverses a line), lone surrogates, private use, not assigned, separators.
_UNSEEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp", "Zs"}
_BEFORE_JOINER = {"So", "Sk", "Mn"}
_NOT_IN_NAMES = '<>:"/\\|?*'  # of files, on one system or the other


def shown(name: bytes) -> str:
    """The text that stands for a name: what is no visible character is written as its code, so that two
    names that differ never look the same for that reason. A whole path may be given as well."""
    text = ""
    for character in name.decode("utf-8", "surrogateescape"):
        text += _shown(character, after=text[-1:])
    return text


def readable(text: str, limit: int) -> str:
    """What a PC said, for people: cut, and without what could deceive."""
    cut = text if len(text) <= limit else text[: limit - 1] + "…"
    return shown(cut.encode("utf-8", "surrogatepass"))


def word(path: bytes) -> str:
    """A path as one word of an address (base64url, RFC 4648 §5, without padding)."""
    return base64.urlsafe_b64encode(path).rstrip(b"=").decode() or ROOT


def path_of(text: str) -> bytes:
    """The path behind a word. Raises ValueError for what is no word, or no path."""
    if text in ("", ROOT):
        return b""
    try:
        # urlsafe_b64decode would pass over letters that are none of its own.
        path = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError("no path is written like this") from error
    if word(path) != text:
        raise ValueError("a path is written in one way only")
    return checked(path)


def checked(path: bytes) -> bytes:
    """The path itself, when it can be one: no step up, nothing empty. Raises ValueError."""
    if not path:
        return path
    names = path.split(b"/")
    if len(path) > MAX_PATH or b"\0" in path or any(name in (b"", b".", b"..") for name in names):
        raise ValueError("no such path can be")
    if any(len(name) > MAX_NAME for name in names):
        raise ValueError("a name is too long")
    return path


def joined(folder: bytes, name: bytes) -> bytes:
    """The path of a name in a folder."""
    return folder + b"/" + name if folder else name


def last(path: bytes) -> bytes:
    """The name at the end of a path."""
    return path.rpartition(b"/")[2]


def parent(path: bytes) -> bytes:
    """The folder that a path lies in."""
    return path.rpartition(b"/")[0]


def steps(path: bytes) -> list[bytes]:
    """The path of every folder on the way, the last one itself; nothing for the root."""
    names = path.split(b"/") if path else []
    return [b"/".join(names[: count + 1]) for count in range(len(names))]


def within(path: bytes, folder: bytes) -> bool:
    """Whether `path` is `folder` or lies below it."""
    return not folder or path == folder or path.startswith(folder + b"/")


def saved_as(path: bytes, *, stamp: str = "") -> str:
    """The name under which a browser may save a file: no system takes offence at it. A `stamp` stands before
    the ending."""
    text = last(path).decode("utf-8", "replace").replace("\ufffd", "_")
    kept = "".join("_" if _deceives(letter) or letter in _NOT_IN_NAMES else letter for letter in text)
    name = kept.strip(" .") or "file"
    return stamped(name, stamp) if stamp else name


def stamped(name: str, stamp: str) -> str:
    """A name with something said in brackets before its ending; no longer than a name may be."""
    stem, dot, ending = name.rpartition(".")
    if not stem or len(ending) > 10:
        stem, dot, ending = name, "", ""
    room = MAX_NAME - len(f" ({stamp}){dot}{ending}".encode("utf-8", "surrogateescape"))
    while len(stem.encode("utf-8", "surrogateescape")) > room:
        stem = stem[:-1]
    return f"{stem} ({stamp}){dot}{ending}"


@lru_cache(maxsize=1 << 14)  # a report shows a million names, of the same few letters
def _shown(character: str, *, after: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is no UTF-8
        return f"\\x{code - 0xDC00:02x}"
    if character == "\\":
        return "\\\\"
    if character == _JOINER and after and unicodedata.category(after) in _BEFORE_JOINER:
        return character
    if not _deceives(character):
        return character
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _deceives(character: str) -> bool:
    return character not in _SPACES and unicodedata.category(character) in _UNSEEN
