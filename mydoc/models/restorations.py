"""Rows of whole restorations: what a replica holds, on its way into another volume."""

import uuid
from datetime import datetime

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from clients.stateful import Stateful
from mydoc.models.replicas import ReplicationRun


class RestorationQuerySet(models.QuerySet["Restoration"]):
    def running(self) -> "RestorationQuerySet":
        return self.filter(state=Restoration.State.RUNNING)

    def due(self, now: datetime) -> "RestorationQuerySet":
        """Those at which nobody is, and that wait for nothing."""
        free = Q(until=None) | Q(until__lt=now)
        return self.running().filter(free, Q(not_before=None) | Q(not_before__lte=now)).order_by("asked_at")

    def about(self, volume: object) -> "RestorationQuerySet":
        """Out of this volume, or into it."""
        return self.filter(Q(source=volume) | Q(target=volume))


class Restoration(Stateful):
    """All that a volume's replica holds, brought into another volume of its owner. How far it has come is
    here: whoever is killed at it, the next one goes on behind the last file that was counted.

    running -> done | failed | stopped
    """

    class State(models.TextChoices):
        RUNNING = "running", _("running")
        DONE = "done", _("done")
        FAILED = "failed", _("failed")
        STOPPED = "stopped", _("stopped")

    ARROWS = {State.RUNNING: {State.DONE, State.FAILED, State.STOPPED}}

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    source = models.ForeignKey("mydoc.Volume", on_delete=models.CASCADE, related_name="restored_from")
    target = models.ForeignKey("mydoc.Volume", on_delete=models.CASCADE, related_name="restored_to")
    run = models.ForeignKey(ReplicationRun, on_delete=models.CASCADE, related_name="restorations")
    state = models.CharField(_("state"), max_length=8, choices=State, default=State.RUNNING, editable=False)
    reason = models.CharField(_("reason"), max_length=500, editable=False)
    asked_at = models.DateTimeField(_("asked for"))
    asked_by = models.CharField(_("by"), max_length=150, editable=False)
    ended_at = models.DateTimeField(_("ended"), null=True, editable=False)
    files = models.PositiveBigIntegerField(default=0, editable=False)  # that the replica holds
    total_bytes = models.PositiveBigIntegerField(default=0, editable=False)
    # How far it has come: `place` counts what has come out of the replica, the rest what became of it.
    place = models.PositiveBigIntegerField(default=0, editable=False)
    one_by_one = models.BooleanField(default=False, editable=False)  # for the replica is damaged
    written = models.PositiveBigIntegerField(default=0, editable=False)
    written_bytes = models.PositiveBigIntegerField(default=0, editable=False)
    same = models.PositiveBigIntegerField(default=0, editable=False)  # lay there already
    beside = models.PositiveBigIntegerField(default=0, editable=False)  # of those written: under another name
    left_out = models.PositiveBigIntegerField(default=0, editable=False)
    names = models.JSONField(default=list, editable=False)  # of some that were left out, and why
    code = models.CharField(max_length=40, blank=True, editable=False)  # why it waits, or ended so
    not_before = models.DateTimeField(null=True, editable=False)
    holder = models.CharField(max_length=32, blank=True, editable=False)  # who is at it
    until = models.DateTimeField(null=True, editable=False)  # later they are dead

    objects = RestorationQuerySet.as_manager()

    class Meta:
        ordering = ["-asked_at"]
        verbose_name = _("restoration")
        verbose_name_plural = _("restorations")
        constraints = [
            models.UniqueConstraint(
                fields=["target"],
                condition=models.Q(state="running"),
                name="a_volume_is_restored_into_once_at_a_time",
                violation_error_message=_("Something is being restored into this volume already."),
            ),
            models.CheckConstraint(
                condition=~models.Q(source=models.F("target")),
                name="a_volume_is_not_restored_into_itself",
                violation_error_message=_("Choose the data on another PC."),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.source} → {self.target.client}"

    @property
    def handled(self) -> int:
        """Files that are done with."""
        return self.written + self.same + self.left_out
