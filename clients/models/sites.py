"""Rows of sites: places with addresses of their own. How fast PCs there may fetch, when, from each other."""

from datetime import datetime
from functools import cached_property

from django.core.exceptions import ValidationError
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from clients import hours
from clients.errors import Refusal
from clients.networks import ranges

MAX_RANGES = 100


def check_ranges(text: str) -> None:
    """Raises ValidationError(bad_ranges)."""
    try:
        found = ranges(text)
    except ValueError as error:
        words = _("%(error)s Write ranges such as 10.1.0.0/16, 2001:db8::/32.") % {"error": f"{error}."}
        raise ValidationError(words, code="bad_ranges") from error
    if not 0 < len(found) <= MAX_RANGES:
        words = _("Write at least one range of addresses, and at most %(count)d.") % {"count": MAX_RANGES}
        raise ValidationError(words, code="bad_ranges")


def check_rates(text: str) -> None:
    """Raises ValidationError(bad_hours)."""
    try:
        hours.rates(text)
    except Refusal as refusal:
        raise ValidationError(str(refusal.words), code=refusal.code) from refusal


def check_windows(text: str) -> None:
    """Raises ValidationError(bad_hours)."""
    try:
        hours.windows(text)
    except Refusal as refusal:
        raise ValidationError(str(refusal.words), code=refusal.code) from refusal


class Site(models.Model):
    """One of the company's places, told by the address that a PC calls from."""

    name = models.CharField(gettext_lazy("name"), max_length=64, unique=True)
    ranges = models.TextField(
        gettext_lazy("addresses"),
        max_length=4000,
        validators=[check_ranges],
        help_text=gettext_lazy(
            "Ranges such as 10.1.0.0/16, 2001:db8::/32. Where sites overlap, the narrower range wins."
        ),
    )
    rates = models.TextField(
        gettext_lazy("rate by weekday and hour"),
        max_length=hours.MAX_CHARS,
        blank=True,
        validators=[check_rates],
        help_text=gettext_lazy(
            "For all PCs of the site together, a line each: “mon-fri 9-18 10Mbit/s”, “sat,sun 0-24 off”. A"
            " later line wins. What no line names is without limit."
        ),
    )
    at_once = models.PositiveIntegerField(
        gettext_lazy("PCs fetching at a time"),
        null=True,
        blank=True,
        help_text=gettext_lazy("Empty: as many as the distribution allows."),
    )
    peers = models.BooleanField(
        gettext_lazy("PCs give each other what they have"),
        default=True,
        help_text=gettext_lazy("Then the bytes of a version cross to this site about once."),
    )

    class Meta:
        ordering = ["name"]
        verbose_name = gettext_lazy("site")
        verbose_name_plural = gettext_lazy("sites")
        constraints = [
            models.CheckConstraint(
                condition=models.Q(at_once=None) | models.Q(at_once__gte=1),
                name="site_lets_a_pc_fetch",
                violation_error_message=gettext_lazy("At least one PC must fetch at a time."),
            )
        ]

    def __str__(self) -> str:
        return self.name

    @cached_property
    def week(self) -> hours.Rates:
        """The rate of each hour of the week."""
        return hours.rates(self.rates)

    def rate_bytes_s(self, now: datetime) -> int | None:
        """For all its PCs together, at this moment; None: no limit, 0: none may fetch."""
        return self.week[hours.hour_of(timezone.localtime(now))]
