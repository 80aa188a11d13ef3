"""Paths of user data in addresses: bytes on one side, one word on the other."""

from mydoc import bytepaths


class BytePath:
    """`<bytes:path>`: the root is `-`. What is no path is no address of ours (404)."""

    regex = "[A-Za-z0-9_-]+"

    def to_python(self, value: str) -> bytes:
        return bytepaths.path_of(value)

    def to_url(self, value: bytes) -> str:
        return bytepaths.word(bytes(value))
