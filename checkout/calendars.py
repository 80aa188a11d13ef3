"""A period as a calendar page shows it: its months by weeks, which days are worked on, what the holidays are
called. Pure."""

import calendar
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta

from clients import workdays

LEAST_MONTHS, MOST_MONTHS = 1, 3
WEEKS = calendar.Calendar(firstweekday=calendar.SUNDAY)


@dataclass(frozen=True)
class Day:
    """One cell. `holiday` is its name, in Japanese."""

    date: date
    of_month: bool  # or of the one before or after it
    chosen: bool
    works: bool
    holiday: str


@dataclass(frozen=True)
class Month:
    first: date
    weeks: list[list[Day]]


@dataclass(frozen=True)
class Period:
    """From one day to another, both included."""

    first: date
    last: date

    @property
    def days(self) -> int:
        return (self.last - self.first).days + 1

    @property
    def workdays(self) -> int:
        return workdays.count(self.first, self.last)

    @property
    def holidays(self) -> list[tuple[date, str]]:
        """The public holidays in it, by name."""
        named = [(day, workdays.holiday(day)) for day in workdays.days(self.first, self.last)]
        return [(day, name) for day, name in named if name]

    @property
    def months(self) -> Iterator[Month]:
        """From that of its first day on; not all of a long one."""
        month, number = self.first.replace(day=1), 0
        while number < LEAST_MONTHS or (month <= self.last and number < MOST_MONTHS):
            weeks = [[self._day(day, month) for day in week] for week in _weeks(month)]
            yield Month(month, weeks)
            month, number = (month + timedelta(days=31)).replace(day=1), number + 1

    def _day(self, day: date, month: date) -> Day:
        return Day(
            day,
            of_month=day.month == month.month,
            chosen=self.first <= day <= self.last,
            works=workdays.is_workday(day),
            holiday=workdays.holiday(day),
        )


def of(first: object, last: object, *, most_days: int = 366) -> Period | None:
    """None for what is no period."""
    try:
        period = Period(_date(first), _date(last))
    except ValueError:
        return None
    return period if 1 <= period.days <= most_days and 1970 < period.first.year < 2150 else None


def _weeks(month: date) -> list[list[date]]:
    return WEEKS.monthdatescalendar(month.year, month.month)


def _date(given: object) -> date:
    return given if isinstance(given, date) else date.fromisoformat(str(given))
