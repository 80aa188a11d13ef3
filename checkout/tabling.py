"""A dossier as a table that spreadsheets open: UTF-8 with a BOM, piece by piece.

File names are whatever somebody on a PC made them: what a spreadsheet would take for a formula gets an
apostrophe before it.
"""

import csv
import io
from collections.abc import Generator, Iterator
from itertools import islice

from django.utils import translation
from django.utils.translation import gettext as _

from checkout.facts import when
from checkout.reporting import Dossier
from mydoc import bytepaths

PIECE_ROWS = 500
FORMULAS = ("=", "+", "-", "@", "\t", "\r")
Row = tuple[str, ...]


def pieces(found: Dossier, *, language: str) -> Generator[bytes, None, None]:
    """The file, some hundred rows at a time."""
    rows = _rows(found)
    yield "\ufeff".encode()
    while True:
        with translation.override(language):
            some = list(islice(rows, PIECE_ROWS))
        if not some:
            return
        text = io.StringIO()
        csv.writer(text).writerows([safe(cell) for cell in row] for row in some)
        yield text.getvalue().encode()


def safe(cell: str) -> str:
    """The cell, as nothing but text."""
    return f"'{cell}" if cell.startswith(FORMULAS) and cell != "–" else cell


def _rows(found: Dossier) -> Iterator[Row]:
    yield (_("About"), _("Item"), _("Value"), _("Size in bytes"), _("Changed"), "SHA-256")
    for section in found.sections:
        for fact in section.facts:
            yield (section.title, fact.label, fact.value, "", "", "")
    yield (found.title, _("Made"), when(found.made_at), "", "", "")
    for one in found.volumes:
        for fact in one.facts:
            yield (one.title, fact.label, fact.value, "", "", "")
        for table in one.tables:
            for row in table.rows:
                yield (one.title, table.title, " · ".join(row), "", "", "")
        if one.replica is None:
            yield (one.title, _("Files"), _("no replica: everything on the PC is unknown"), "", "", "")
        label = _("File")  # of a million rows
        for file in one.files():
            name = bytepaths.shown(file.path)
            yield (one.title, label, name, str(file.size_bytes), when(file.changed), file.sha256)
