"""Days on which people work: not Saturdays, Sundays, nor public holidays of Japan. Pure."""

from collections.abc import Iterator
from datetime import date, timedelta

import jpholiday


def is_workday(day: date) -> bool:
    return day.weekday() < 5 and not jpholiday.is_holiday(day)


def count(first: date, last: date) -> int:
    """How many working days there are from one day to another, both included."""
    return sum(is_workday(day) for day in days(first, last))


def days(first: date, last: date) -> Iterator[date]:
    """Each day, both ends included; none when they are the wrong way round."""
    for number in range((last - first).days + 1):
        yield first + timedelta(days=number)


def before(day: date, workdays: int) -> date:
    """The day that lies so many working days before."""
    while workdays > 0:
        day -= timedelta(days=1)
        workdays -= is_workday(day)
    return day


def following(day: date) -> date:
    """The next working day after this one."""
    day += timedelta(days=1)
    while not is_workday(day):
        day += timedelta(days=1)
    return day


def holiday(day: date) -> str:
    """The name of a public holiday, in Japanese; "" on other days."""
    return str(jpholiday.is_holiday_name(day) or "")
