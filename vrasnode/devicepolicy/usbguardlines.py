"""The grammar of usbguard's rule language (usbguard-rules.conf(5)): lines as targets and attributes. Pure.

What they mean is `usbguard`'s business.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from vrasnode.errors import Refused

OPERATORS = frozenset({"all-of", "one-of", "none-of", "equals", "equals-ordered", "match-all"})

_TOKEN = re.compile(
    r"""\s*(?: (?P<text>"(?:[^"\\]|\\.)*") | (?P<brace>[{}]) | (?P<comment>\#.*) | (?P<word>[^\s"{}\#]+) )""",
    re.VERBOSE,
)
_ESCAPE = re.compile(rb"""\\(?:x([0-9a-fA-F]{2})|(["\\]))""")
_DEVICE_ID = re.compile(r"[0-9a-fA-F*]{1,4}:[0-9a-fA-F*]{1,4}")


@dataclass(frozen=True)
class Attribute:
    """One condition. `operator` is `equals` where none is written."""

    name: str
    operator: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class Line:
    """One rule as it is written."""

    number: int
    target: str
    attributes: tuple[Attribute, ...]

    def refused(self, why: str) -> Refused:
        """What to raise about this line; `why` is a clause without a full stop."""
        return _refused(self.number, why)


def read_lines(text: str) -> Iterator[Line]:
    """Every line that holds a rule. Raises Refused(usbguard_line) with the number of one that is no rule."""
    for number, written in enumerate(text.split("\n"), 1):
        tokens = list(_tokens(number, written))
        if tokens:
            yield Line(number, tokens[0], tuple(_attributes(number, tokens[1:])))


def quoted(text: str) -> str:
    """A text as usbguard writes it: what is not printable ASCII is a byte in hex."""
    escaped = {b'"'[0]: '\\"', b"\\"[0]: "\\\\"}
    return '"' + "".join(escaped.get(byte) or _byte(byte) for byte in text.encode()) + '"'


def _byte(byte: int) -> str:
    return chr(byte) if 0x20 <= byte < 0x7F else f"\\x{byte:02x}"


def _tokens(number: int, written: str) -> Iterator[str]:
    position, end = 0, len(written.rstrip())
    while position < end:
        found = _TOKEN.match(written, position)
        if found is None:
            raise _refused(number, f"this is no part of a rule: {written[position:].strip()[:40]!r}")
        position = found.end()
        if found["comment"] is None:
            yield found[0].strip()


def _attributes(number: int, tokens: list[str]) -> Iterator[Attribute]:
    seen: set[str] = set()
    rest = iter(["id", *tokens] if tokens and _DEVICE_ID.fullmatch(tokens[0]) else tokens)
    for name in rest:
        if name == "if":
            raise _refused(number, "conditions ('if …') cannot be said here: take them out")
        if name in seen:
            raise _refused(number, f"{name!r} is there twice")
        seen.add(name)
        yield _attribute(number, name, rest)


def _attribute(number: int, name: str, rest: Iterator[str]) -> Attribute:
    operator, word = "equals", next(rest, None)
    if word in OPERATORS:
        operator, word = word, next(rest, None)
        if word != "{":
            raise _refused(number, f"after {operator!r} there have to be braces: {operator} {{ … }}")
    if word is None or word == "}":
        raise _refused(number, f"{name!r} has no value")
    values = [word] if word != "{" else _in_braces(number, name, rest)
    return Attribute(name, operator, tuple(_value(number, value) for value in values))


def _in_braces(number: int, name: str, rest: Iterator[str]) -> list[str]:
    values: list[str] = []
    for word in rest:
        if word == "}" and values:
            return values
        if word in ("{", "}"):
            break
        values.append(word)
    raise _refused(number, f"the braces after {name!r} are empty, or not closed")


def _value(number: int, token: str) -> str:
    """A value without its quotes. Raises Refused for an unknown escape, and for bytes that are no text."""
    if not token.startswith('"'):
        return token
    raw = token[1:-1].encode()
    if b"\\" in _ESCAPE.sub(b"", raw):
        raise _refused(number, f'{token} holds an escape that is none: there are \\", \\\\ and \\x41')
    plain = _ESCAPE.sub(lambda found: bytes.fromhex(found[1].decode()) if found[1] else found[2], raw)
    try:
        return plain.decode()
    except UnicodeDecodeError as error:
        raise _refused(number, f"{token} is no text in UTF-8") from error


def _refused(number: int, why: str) -> Refused:
    return Refused("usbguard_line", f"Line {number}: {why}.")
