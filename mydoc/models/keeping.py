"""Rows of what the server does with replicas by itself: how long they are kept, each act of looking after
one, what is wrong with one, and how the NAS was found.

All times are the server's own. What a PC says of time, in a snapshot or a report, decides nothing here.
"""

import uuid
from datetime import datetime

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils.translation import gettext_lazy as _

from clients.stateful import Stateful
from mydoc.models.replicas import Replica, ReplicationRun

WHAT_TO_DO = {
    "mass_change": _(
        "Ask the owner whether that was meant: it may be ransomware. The generation before is kept until you "
        "release this; restore from it what was lost."
    ),
    "damaged": _(
        "Look at the NAS's disks. What is damaged is set aside; the PC sends it again with its next copy, "
        "as far as it still has it. Files that only older replicas had may be lost there."
    ),
    "differs": _(
        "The replica holds something else than its PC signed: the PC may be compromised. Look at it, and "
        "restore from the generation before."
    ),
    "absent": _(
        "A replica that was there, or of which the PC said that it was, is not on the NAS: look whether "
        "somebody deleted files there or it shows another share, then copy now."
    ),
}


class Keeping(models.Model):
    """For how long replicas are kept, and what a night may cost: one row; without it, the defaults."""

    last = models.PositiveSmallIntegerField(_("newest"), default=3, validators=[MinValueValidator(1)])
    daily = models.PositiveSmallIntegerField(_("one of each day, for days"), default=14)
    weekly = models.PositiveSmallIntegerField(_("one of each week, for weeks"), default=8)
    monthly = models.PositiveSmallIntegerField(_("one of each month, for months"), default=12)
    night_gib = models.PositiveIntegerField(
        _("read again each night, at most (GiB)"), default=200, validators=[MinValueValidator(1)]
    )
    night_minutes = models.PositiveSmallIntegerField(
        _("read again each night, at most (minutes)"), default=240, validators=[MinValueValidator(1)]
    )
    drill_files = models.PositiveSmallIntegerField(
        _("files restored to compare, each week"), default=20, validators=[MinValueValidator(1)]
    )
    changed_percent = models.PositiveSmallIntegerField(
        _("changed or deleted at once, from this share on an alarm (%)"),
        default=50,
        validators=[MinValueValidator(5), MaxValueValidator(100)],
    )

    class Meta:
        verbose_name = _("keeping of replicas")
        verbose_name_plural = _("keeping of replicas")

    def __str__(self) -> str:
        return str(self._meta.verbose_name)

    @classmethod
    def now(cls) -> "Keeping":
        """What holds; not saved where nobody ever changed it."""
        return cls.objects.first() or cls(pk=1)


class KeptSnapshot(models.Model):
    """A snapshot as the server saw it on the NAS. `seen_at` is when it saw it first."""

    replica = models.ForeignKey(Replica, on_delete=models.CASCADE, related_name="kept")
    snapshot = models.CharField(max_length=64, editable=False)
    whole = models.BooleanField(default=False, editable=False)  # its PC calls it that
    root = models.CharField(max_length=500, blank=True, editable=False)  # of the volume, in it
    seen_at = models.DateTimeField(editable=False)
    run = models.ForeignKey(
        ReplicationRun, null=True, on_delete=models.SET_NULL, related_name="kept", editable=False
    )  # the first one that ended with it
    gone_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        ordering = ["-seen_at", "-pk"]
        constraints = [
            models.UniqueConstraint(fields=["replica", "snapshot"], name="a_snapshot_is_seen_first_once")
        ]

    def __str__(self) -> str:
        return self.snapshot[:8]

    @property
    def at(self) -> datetime:
        """Of when it counts."""
        ended = self.run.begun_at if self.run else None
        return min(self.seen_at, ended) if ended else self.seen_at


class Upkeep(Stateful):
    """One act of the server's on one replica.

    running -> done | failed
    """

    class Kind(models.TextChoices):
        RETENTION = "retention", _("older ones deleted")
        MENDING = "mending", _("mended")
        READING = "reading", _("read again")
        DRILL = "drill", _("restored and compared")

    class State(models.TextChoices):
        RUNNING = "running", _("running")
        DONE = "done", _("done")
        FAILED = "failed", _("failed")

    ARROWS = {State.RUNNING: {State.DONE, State.FAILED}}
    ALONE = {Kind.RETENTION, Kind.MENDING}  # never while the PC copies

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    replica = models.ForeignKey(Replica, on_delete=models.CASCADE, related_name="upkeep")
    kind = models.CharField(_("act"), max_length=10, choices=Kind, editable=False)
    state = models.CharField(_("state"), max_length=10, choices=State, default=State.RUNNING, editable=False)
    begun_at = models.DateTimeField(_("begun"))
    until = models.DateTimeField(editable=False)  # later it is dead
    ended_at = models.DateTimeField(_("ended"), null=True, editable=False)
    code = models.CharField(_("reason"), max_length=40, blank=True, editable=False)
    found = models.JSONField(default=dict, editable=False)  # what came of it, in numbers

    class Meta:
        ordering = ["-begun_at"]
        verbose_name = _("upkeep of a replica")
        verbose_name_plural = _("upkeep of replicas")
        constraints = [
            models.UniqueConstraint(
                fields=["replica"],
                condition=models.Q(state="running"),
                name="a_replica_is_looked_after_once_at_a_time",
                violation_error_message=_("This replica is being looked after already."),
            )
        ]

    def __str__(self) -> str:
        return str(self.replica)


class ReplicaAlarmQuerySet(models.QuerySet["ReplicaAlarm"]):
    def open(self) -> "ReplicaAlarmQuerySet":
        return self.filter(state=ReplicaAlarm.State.OPEN)


class ReplicaAlarm(Stateful):
    """Something is wrong with a replica. While it is open, `keeps` is deleted by no retention.

    open -> closed
    """

    class Kind(models.TextChoices):
        MASS_CHANGE = "mass_change", _("very much changed at once")
        DAMAGED = "damaged", _("damaged on the NAS")
        DIFFERS = "differs", _("not what its PC signed")
        ABSENT = "absent", _("not on the NAS")

    class State(models.TextChoices):
        OPEN = "open", _("unsolved")
        CLOSED = "closed", _("closed")

    ARROWS = {State.OPEN: {State.CLOSED}}

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    replica = models.ForeignKey(Replica, on_delete=models.CASCADE, related_name="alarms")
    kind = models.CharField(_("what"), max_length=12, choices=Kind, editable=False)
    state = models.CharField(_("state"), max_length=10, choices=State, default=State.OPEN, editable=False)
    run = models.ForeignKey(
        ReplicationRun, null=True, on_delete=models.SET_NULL, related_name="alarms", editable=False
    )  # the one that raised it
    keeps = models.ForeignKey(
        ReplicationRun, null=True, on_delete=models.SET_NULL, related_name="pinned", editable=False
    )  # the generation before
    found = models.JSONField(default=dict, editable=False)
    raised_at = models.DateTimeField(_("since"))
    closed_at = models.DateTimeField(_("closed"), null=True, editable=False)
    closed_by = models.CharField(max_length=150, blank=True, editable=False)
    closed_reason = models.CharField(_("reason"), max_length=500, blank=True, editable=False)

    objects = ReplicaAlarmQuerySet.as_manager()

    class Meta:
        ordering = ["-raised_at"]
        verbose_name = _("alarm about a replica")
        verbose_name_plural = _("alarms about replicas")
        constraints = [
            models.UniqueConstraint(
                fields=["replica", "kind"],
                condition=models.Q(state="open"),
                name="one_open_alarm_of_a_kind_for_each_replica",
            )
        ]

    def __str__(self) -> str:
        return str(self.replica)

    @property
    def to_do(self) -> str:
        """What to do next, in the reader's language."""
        return str(WHAT_TO_DO[self.kind])


class NasLook(models.Model):
    """How the NAS was found at one time."""

    at = models.DateTimeField(_("when"))
    good = models.BooleanField(_("good"))
    free_bytes = models.PositiveBigIntegerField(null=True, editable=False)
    found = models.JSONField(
        default=list, editable=False
    )  # what was tried: code, good, words in each language

    class Meta:
        ordering = ["-at", "-pk"]
        verbose_name = _("look at the NAS")
        verbose_name_plural = _("looks at the NAS")

    def __str__(self) -> str:
        return str(self.at)
