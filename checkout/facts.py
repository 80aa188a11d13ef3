"""The lines that a report is made of: single ones, and tables of them; the same for page, CSV and PDF."""

from dataclasses import dataclass
from datetime import datetime

from django.utils import timezone


@dataclass(frozen=True)
class Fact:
    """One line: what it is, what is known of it. `grave`: a reader must not miss it."""

    label: str
    value: str
    grave: bool = False


@dataclass(frozen=True)
class Table:
    """Lines of one kind; `more`: there were too many to show."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    more: bool = False

    @property
    def labelled(self) -> list[list[tuple[str, str]]]:
        """The rows, each cell with its column: for narrow screens."""
        return [list(zip(self.columns, row, strict=True)) for row in self.rows]


def when(at: datetime | None) -> str:
    """A time that means the same to every reader; a dash for none."""
    return f"{timezone.localtime(at):%Y-%m-%d %H:%M:%S %Z}" if at else "–"
