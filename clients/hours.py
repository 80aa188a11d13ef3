"""Hours of the week, as people write them: `mon-fri 9-18 10Mbit/s`, 「土,日 0-24」. Pure.

    <days> <from>-<until> [<rate>]      one a line, or with ";" between; a later one wins over an earlier one

Days are `mon` to `sun`, `月` to `日`, alone, as a list or a range, or `daily` (毎日). Hours are whole, 0 to
24; until the next morning is `22-6`. A rate is `10Mbit/s`, `500kB/s` or `off` (停止).
"""

import re
from collections.abc import Iterator
from datetime import datetime

from django.utils.translation import gettext as _

from clients.errors import Refusal

HOURS = 7 * 24
LINES = 40
MAX_CHARS = 2000
LEAST_BYTES_S = 1024
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_NUMBER_OF = {**{day: n for n, day in enumerate(DAYS)}, **{day: n for n, day in enumerate("月火水木金土日")}}
_DAILY = ("daily", "毎日")
_OFF = ("off", "停止")
_HOURS = re.compile(r"(\d{1,2})(?::00)?-(\d{1,2})(?::00)?")
_RATE = re.compile(r"(\d{1,9})(k|m|g)?(bit|b)/s")
_UNITS = {None: 1, "k": 10**3, "m": 10**6, "g": 10**9}
_NARROW = str.maketrans("０１２３４５６７８９，、：；～〜－ー–　", "0123456789,,:;----- ")

Rates = tuple[int | None, ...]  # of each hour of the week: bytes/s; None: no limit, 0: nothing


def rates(text: str) -> Rates:
    """The rate of each hour of the week from Monday 0 h on. Raises Refusal(bad_hours)."""
    week: list[int | None] = [None] * HOURS
    for line, hours, rest in _lines(text):
        rate = _rate(rest, line)
        for hour in hours:
            week[hour] = rate
    return tuple(week)


def windows(text: str) -> frozenset[int] | None:
    """The hours of the week that are named, counted from Monday 0 h; None when none is: always. Raises
    Refusal(bad_hours)."""
    named: set[int] = set()
    for line, hours, rest in _lines(text):
        if rest:
            raise _bad(line)
        named.update(hours)
    return frozenset(named) or None


def hour_of(local: datetime) -> int:
    """Which hour of the week it is."""
    return local.weekday() * 24 + local.hour


def _lines(text: str) -> Iterator[tuple[str, list[int], str]]:
    """Each line with the hours that it names and what follows them."""
    plain = text.translate(_NARROW).lower()
    lines = [line.strip() for line in re.split(r"[;\n]", plain) if line.strip()]
    if len(lines) > LINES or len(text) > MAX_CHARS:
        raise Refusal(
            "bad_hours", _("Write at most %(count)d lines of hours.") % {"count": LINES}, status=400
        )
    for line in lines:
        parts = line.split(maxsplit=2)
        if len(parts) < 2 or (found := _HOURS.fullmatch(parts[1])) is None:
            raise _bad(line)
        start, end = int(found[1]), int(found[2])
        if start > 23 or end > 24 or start == end:
            raise _bad(line)
        span = (end - start) % 24 or 24
        hours = [(day * 24 + start + count) % HOURS for day in _days(parts[0], line) for count in range(span)]
        yield line, hours, parts[2] if len(parts) == 3 else ""


def _days(text: str, line: str) -> list[int]:
    if text in _DAILY:
        return list(range(7))
    days: list[int] = []
    for part in text.split(","):
        first, dash, last = part.partition("-")
        if first not in _NUMBER_OF or (dash and last not in _NUMBER_OF):
            raise _bad(line)
        start, end = _NUMBER_OF[first], _NUMBER_OF[last if dash else first]
        days += [(start + count) % 7 for count in range((end - start) % 7 + 1)]
    return days


def _rate(text: str, line: str) -> int:
    if text in _OFF:
        return 0
    found = _RATE.fullmatch(text.replace(" ", ""))
    if found is None:
        raise _bad(line)
    rate = int(found[1]) * _UNITS[found[2]] // (8 if found[3] == "bit" else 1)
    if rate < LEAST_BYTES_S:
        raise _bad(line)
    return rate


def _bad(line: str) -> Refusal:
    words = _(
        "“%(line)s” is not understood. Write days, hours and, for a rate, how much: “mon-fri 9-18 10Mbit/s”,"
        " “sat,sun 0-24 off”."
    )
    return Refusal("bad_hours", words % {"line": line[:60]}, status=400)
