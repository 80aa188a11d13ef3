"""The terms that a distribution runs on, and those that a group's automatic ones will run on."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from clients import hours
from clients.models import check_windows
from vrasnode.wire.imaging import Apply

NO_PILOTS = _("Name pilot PCs, or how many: somebody approves after them.")


class Termed(models.Model):
    """How versions are brought: how fast, in which hours, who may stop it."""

    apply = models.CharField(
        _("becomes active"),
        max_length=10,
        choices=[
            (Apply.NEXT_START.value, _("at the next start of the client VM")),
            (Apply.NOW.value, _("now: the client VM is shut down and started again")),
        ],
        default=Apply.NEXT_START.value,
    )
    wave_size = models.PositiveIntegerField(_("PCs fetching at a time"), default=50)
    rate_bytes_s = models.PositiveBigIntegerField(_("bytes per second and PC"), null=True, blank=True)
    approval = models.BooleanField(_("a second person approves after the pilots"), default=False)
    halt_failures = models.PositiveIntegerField(_("halts at failed PCs"), null=True, blank=True)
    halt_percent = models.PositiveSmallIntegerField(_("halts at failed PCs, per cent"), null=True, blank=True)
    fetch_hours = models.TextField(
        _("PCs fetch in these hours"), max_length=hours.MAX_CHARS, blank=True, validators=[check_windows]
    )
    switch_hours = models.TextField(
        _("PCs switch in these hours"), max_length=hours.MAX_CHARS, blank=True, validators=[check_windows]
    )
    postponements = models.PositiveSmallIntegerField(_("times that users may put it off"), default=0)

    class Meta:
        abstract = True
