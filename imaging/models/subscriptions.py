"""Rows of automatic distribution."""

from typing import Any

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from clients.models import Group
from imaging.models.images import MACHINES
from imaging.models.terms import Termed
from vrasnode.wire.imaging import Machine


class Subscription(Termed):
    """Automatic distribution: what a group gets by itself, on publish and on joining, and on which terms. One
    per machine."""

    group = models.ForeignKey(
        Group, on_delete=models.CASCADE, related_name="subscriptions", verbose_name=_("group")
    )
    image = models.ForeignKey(
        "imaging.MasterImage", on_delete=models.CASCADE, related_name="subscriptions", verbose_name=_("image")
    )
    on_publish = models.BooleanField(_("when a version is published"), default=True)
    on_join = models.BooleanField(_("when a PC joins the group"), default=True)
    # Names: a pilot that leaves the group is replaced by another, no version waits for it.
    pilots = models.JSONField(_("pilot PCs"), default=list, blank=True)
    pilot_count = models.PositiveIntegerField(_("or how many pilots"), default=0)
    deadline_days = models.PositiveSmallIntegerField(
        _("switched after so many days at the latest"), null=True, blank=True
    )
    # The image's own; here so that the database can hold one per group and machine.
    machine = models.CharField(
        max_length=16, choices=MACHINES, default=Machine.CLIENT_VM.value, editable=False
    )

    class Meta(Termed.Meta):
        abstract = False
        verbose_name = _("automatic distribution")
        verbose_name_plural = _("automatic distributions")
        constraints = [
            models.UniqueConstraint(
                fields=["group", "machine"],
                name="one_subscription_per_group_and_machine",
                violation_error_message=_("This group gets another image for this machine by itself."),
            ),
            models.CheckConstraint(
                condition=Q(halt_percent=None) | Q(halt_percent__gte=1, halt_percent__lte=100),
                name="subscription_halts_at_a_share",
                violation_error_message=_("A share is 1 to 100 per cent."),
            ),
            models.CheckConstraint(
                condition=Q(wave_size__gte=1),
                name="subscription_wave_has_a_pc",
                violation_error_message=_("At least one PC must fetch at a time."),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.group} ← {self.image}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Raises IntegrityError where the group has one for this machine."""
        self.machine = self.image.machine
        super().save(*args, **kwargs)
