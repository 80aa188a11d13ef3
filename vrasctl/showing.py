"""What people and programs see: results on standard output, words on standard error.

Text that came from the server or from a file is shown without its control characters: a note must not be able
to steer a terminal.
"""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Any

Row = Mapping[str, Any]
Column = tuple[str, str]  # heading, name of the field; "size_bytes" and the like are shown in units

PIPE_WIDTH = 400
_TIMES = {
    *("at", "created_at", "ready_at", "finished_at", "expires_at", "enrolled_at"),
    *("last_contact", "certificate_expires", "valid_until", "made_at"),
    *("starts", "ends", "asked_ends", "waits_since", "ended_at", "decided_at"),
}


class Format(StrEnum):
    """How a result is written. JSON is what REST gives and stays as it is."""

    TABLE = "table"
    JSON = "json"


def say(words: str) -> None:
    """One line for the person at the terminal."""
    print(clean(words), file=sys.stderr, flush=True)


def rows(found: Iterable[Row], columns: Sequence[Column], *, form: Format) -> None:
    """A list: a table, or a JSON array of the rows with all their fields."""
    listed = list(found)
    if form is Format.JSON:
        _print_json(listed)
        return
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading, name in columns:
        table.add_column(heading, justify="right" if _is_number(name) else "left")
    for row in listed:
        table.add_row(*(Text(cell(row, name)) for _, name in columns))
    _console().print(table)


def one(row: Row, columns: Sequence[Column], *, form: Format) -> None:
    """One thing: a line per field, or a JSON object."""
    if form is Format.JSON:
        _print_json(row)
        return
    width = max(len(heading) for heading, _ in columns)
    for heading, name in columns:
        print(f"{heading:{width}}  {cell(row, name)}")


def cell(row: Row, name: str) -> str:
    """The field `name` (dots lead inwards) as people read it; empty when it is not there."""
    value: Any = row
    for part in name.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if name.endswith("bytes"):
        return amount(value)
    if isinstance(value, Mapping):
        return ", ".join(f"{count} {key}" for key, count in value.items()) or "-"
    if isinstance(value, list):
        return " ".join(map(str, value)) or "-"
    return clean(_minute(str(value)) if name.rpartition(".")[2] in _TIMES else str(value))


def amount(count: float) -> str:
    """Bytes in decimal units, as disks are sold: 473 MB."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 999.5 or (unit == "B" and count < 1000):
            return f"{count:.0f} {unit}" if unit in ("B", "kB") or count >= 99.5 else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def clean(text: str) -> str:
    """`text` without what a terminal would obey."""
    return "".join(
        char if char.isprintable() or char == "\n" else "\N{REPLACEMENT CHARACTER}" for char in text
    )


def _minute(text: str) -> str:
    """ISO 8601 to the minute, in this machine's time zone."""
    from datetime import datetime

    try:
        return f"{datetime.fromisoformat(text).astimezone():%Y-%m-%d %H:%M}"
    except ValueError:
        return text


def _is_number(name: str) -> bool:
    return name.endswith(("bytes", "percent", "number", "pcs", "_s")) or name == "id"


def _console() -> Any:
    from rich.console import Console

    # Into a pipe nothing is cut off: whoever reads there has no width.
    return Console(
        width=None if sys.stdout.isatty() else PIPE_WIDTH, highlight=False, markup=False, emoji=False
    )


def _print_json(result: object) -> None:
    print(json.dumps(result, indent=2, ensure_ascii=False))
