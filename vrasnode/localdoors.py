"""How doors of the local page are given to it by those whom they belong to."""

from collections.abc import Callable, Mapping
from typing import TypeAlias

Reply: TypeAlias = tuple[int, str, bytes]  # status, media type, body; 303: body is where to go
Doors: TypeAlias = Mapping[
    tuple[str, str], Callable[[str, str], Reply]
]  # (method, path) -> (query, or what a form holds, language)
