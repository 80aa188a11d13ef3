"""The PCs of a distribution as a table that spreadsheets open: UTF-8 with a BOM, every row."""

import csv
import io
from collections.abc import Iterator
from datetime import datetime

from django.http import HttpResponse
from django.utils.timezone import localtime
from django.utils.translation import gettext as _

from imaging import reasons
from imaging.models import Delivery, Distribution

FORMULAS = ("=", "+", "-", "@", "\t", "\r")


def csv_of(distribution: Distribution, *, now: datetime) -> bytes:
    """The file, in the reader's language."""
    text = io.StringIO()
    csv.writer(text).writerows([_safe(cell) for cell in row] for row in _rows(distribution, now))
    return text.getvalue().encode("utf-8-sig")


def answer(distribution: Distribution, *, now: datetime) -> HttpResponse:
    """The file, to be kept."""
    response = HttpResponse(csv_of(distribution, now=now), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="distribution-{distribution.pk}.csv"'
    return response


def _rows(distribution: Distribution, now: datetime) -> Iterator[tuple[str, ...]]:
    yield (
        *(_("PC"), _("Version"), _("State"), _("Ring"), _("Fetched, bytes"), _("Of, bytes")),
        *(_("From other PCs, bytes"), _("Code"), _("What happened"), _("What to do"), _("Changed")),
    )
    rows = distribution.deliveries.select_related("client", "distribution").defer("assignment")
    for delivery in rows.order_by("client__name"):
        reason = reasons.why(delivery, now=now) or reasons.Reason("", "")
        yield (
            *(delivery.client.name, str(distribution.version), str(Delivery.State(delivery.state).label)),
            *(str(delivery.ring + 1), str(delivery.done_bytes), str(delivery.total_bytes)),
            *(str(delivery.peer_bytes), reason.code, reason.words, reason.remedy),
            f"{localtime(delivery.changed_at):%Y-%m-%d %H:%M:%S}",
        )


def _safe(cell: str) -> str:
    """Text, whatever a PC wrote: nothing that a spreadsheet would take for a formula."""
    return f"'{cell}" if cell.startswith(FORMULAS) else cell
