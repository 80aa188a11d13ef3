"""The ledger 台帳: every request and how it ended, filtered; as rows of words for page, table and paper."""

import codecs
import csv
import io
from collections.abc import Generator, Iterable, Iterator, Mapping
from datetime import date, datetime, time, timedelta

from django.conf import settings
from django.db.models import Q, QuerySet
from django.utils import timezone, translation
from django.utils.dateparse import parse_date
from django.utils.translation import gettext as _

from checkout import approvers, forms, standing
from checkout.facts import when
from checkout.models import CheckoutRequest
from checkout.tabling import safe
from clients import pdf

PIECE_ROWS = 200
MOST_ON_PAPER = 200
ENCODINGS = {"utf-8": codecs.BOM_UTF8, "cp932": b""}


def rows(asked: Mapping[str, str]) -> QuerySet[CheckoutRequest]:
    """The requests that a filter leaves: `state`, `q`, `group`, `from` and `until` (days of their period)."""
    found = approvers.full(CheckoutRequest.objects.all()).order_by("-pk")
    if (state := asked.get("state", "")) in CheckoutRequest.State.values:
        found = found.filter(state=state)
    elif state == "live":
        found = found.live()  # type: ignore[attr-defined]
    if (group := asked.get("group", "")).isdecimal():
        found = found.filter(group=int(group))
    for words in asked.get("q", "").split():
        found = found.filter(
            Q(requester__username__icontains=words)
            | Q(requester__first_name__icontains=words)
            | Q(requester__last_name__icontains=words)
            | Q(client__name__icontains=words)
            | Q(purpose__icontains=words)
            | Q(destination__icontains=words)
        )
    if (first := _day(asked.get("from", ""))) is not None:
        found = found.filter(ends__gte=_midnight(first))
    if (last := _day(asked.get("until", ""))) is not None:
        found = found.filter(starts__lt=_midnight(last + timedelta(days=1)))
    return found


def columns() -> tuple[str, ...]:
    return (
        _("Number"),
        _("State"),
        _("Requester"),
        _("PC"),
        _("Group"),
        _("From"),
        _("Until"),
        _("Asked for until"),
        _("Working days"),
        _("Purpose"),
        _("Destination"),
        _("Contact"),
        _("Folders"),
        _("Submitted"),
        _("Approvers"),
        _("Key made"),
        _("Ended"),
        _("Remark"),
    )


def cells(request: CheckoutRequest, *, now: datetime) -> tuple[str, ...]:
    """One request, in the reader's language."""
    one = standing.of(request, now=now)
    return (
        str(request.pk),
        str(request.get_state_display()),
        name(request.requester),
        request.client.name,
        str(request.group or "–"),
        when(request.starts),
        when(request.ends),
        when(request.asked_ends),
        str(one.workdays),
        request.purpose,
        request.destination,
        request.contact,
        ", ".join(forms.folders_of(request)) or _("Everything"),
        when(request.created_at),
        " → ".join(decisions(request)),
        when(one.lease.issued_at) if one.lease else "–",
        when(request.ended_at),
        request.words or (f"{request.waived_by}: {request.waived_why}" if request.waived_by else ""),
    )


def decisions(request: CheckoutRequest) -> Iterator[str]:
    """Who decided what and when, of every submission."""
    for step in request.steps.all():
        if step.decided_by is None:
            if step.round == request.round:
                yield f"({step.words})"
            continue
        instead = _(" for %(who)s") % {"who": name(step.instead_of)} if step.instead_of else ""
        yield f"{name(step.decided_by)}{instead}: {step.get_decision_display()} {when(step.decided_at)}"


def name(user: object) -> str:
    """A person's full name in the reader's order, else their user name."""
    parts = [getattr(user, "first_name", ""), getattr(user, "last_name", "")]
    if (translation.get_language() or "").startswith("ja"):
        parts.reverse()
    return " ".join(filter(None, parts)) or str(user)


def pieces(
    found: Iterable[CheckoutRequest], *, encoding: str, language: str, now: datetime
) -> Generator[bytes, None, None]:
    """The whole ledger as a table that spreadsheets open, some rows at a time. What Shift_JIS does not have
    stands as `?`."""
    yield ENCODINGS[encoding]
    with translation.override(language):
        yield _lines([columns()], encoding)
    some: list[tuple[str, ...]] = []
    for request in found:
        with translation.override(language):
            some.append(cells(request, now=now))
        if len(some) == PIECE_ROWS:
            yield _lines(some, encoding)
            some = []
    yield _lines(some, encoding)


def _lines(some: Iterable[tuple[str, ...]], encoding: str) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows([safe(cell) for cell in row] for row in some)
    return text.getvalue().encode(encoding, "replace")


def _day(text: str) -> date | None:
    try:
        return parse_date(text)
    except ValueError:
        return None


def _midnight(day: date) -> datetime:
    return timezone.make_aware(datetime.combine(day, time()))


def paper(found: QuerySet[CheckoutRequest], *, language: str, now: datetime) -> bytes:
    """The ledger as a PDF: each request with its requester, approvers and their times; of many, the newest.
    Raises Refusal, as `pdf.made`."""
    some = list(found[: MOST_ON_PAPER + 1])
    with translation.override(language):
        labels, rows_ = columns(), []
        for request in some[:MOST_ON_PAPER]:
            said = cells(request, now=now)
            rows_.append((said[0], said[1], said[2], list(zip(labels[2:], said[2:], strict=True))))
        context = {
            "rows": rows_,
            "more": len(some) > MOST_ON_PAPER,
            "made": when(now),
            "installation_name": settings.INSTALLATION_NAME,
        }
    return pdf.made("checkout/ledger_pdf.html", context, language=language)
