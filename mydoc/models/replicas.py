"""Rows of replicas: the copy of each volume on the NAS, and each time that it was made."""

import uuid

from django.db import models
from django.utils.translation import gettext_lazy as _

from clients.models import Client
from clients.stateful import Stateful
from vrasnode.wire import replication as wire


class ReplicaQuerySet(models.QuerySet["Replica"]):
    def admitted(self) -> "ReplicaQuerySet":
        """Those that the gateway lets in."""
        return self.filter(volume__client__state=Client.State.APPROVED)


class Replica(models.Model):
    """The copy of one volume on the NAS: its secrets, wrapped, and what the last good one held."""

    volume = models.OneToOneField(
        "mydoc.Volume", verbose_name=_("data volume"), on_delete=models.CASCADE, related_name="replica"
    )
    password = models.BinaryField(editable=False)  # for the gateway
    repository_password = models.BinaryField(editable=False)
    recovery = models.BinaryField(null=True, editable=False)  # the repository's, for both custodians
    recovery_custodians = models.JSONField(default=list, editable=False)  # fingerprints, outer first
    wanted_at = models.DateTimeField(null=True, editable=False)  # somebody asked for one by hand
    last_good_at = models.DateTimeField(_("last good replica"), null=True, editable=False)
    refused = models.CharField(max_length=40, blank=True, editable=False)  # a code: why no key was given
    refused_at = models.DateTimeField(null=True, editable=False)  # the last time
    snapshot = models.CharField(max_length=64, blank=True, editable=False)
    manifest = models.CharField(max_length=64, blank=True, editable=False)  # SHA-256 of the file
    files = models.PositiveBigIntegerField(default=0, editable=False)
    total_bytes = models.PositiveBigIntegerField(default=0, editable=False)
    locks = models.JSONField(default=dict, editable=False)  # by name: when the server saw each first
    reread = models.JSONField(default=dict, editable=False)  # by first byte: when all such packs were read
    coverage = models.JSONField(default=dict, editable=False)  # what of it was really read, when
    created_at = models.DateTimeField(_("created"), auto_now_add=True)

    objects = ReplicaQuerySet.as_manager()

    class Meta:
        ordering = ["volume"]
        verbose_name = _("replica")
        verbose_name_plural = _("replicas")

    def __str__(self) -> str:
        return str(self.volume)


class ReplicationRunQuerySet(models.QuerySet["ReplicationRun"]):
    def current(self) -> "ReplicationRunQuerySet":
        """Those that have not ended."""
        return self.filter(state__in=(ReplicationRun.State.WAITING, ReplicationRun.State.RUNNING))


class ReplicationRun(Stateful):
    """One time that a volume is copied. All times are the server's, of when it heard.

    waiting -> running -> done | cut_off | failed
            -> cut_off | failed
    """

    class State(models.TextChoices):
        WAITING = wire.RunState.WAITING.value, _("waiting")
        RUNNING = wire.RunState.RUNNING.value, _("running")
        DONE = wire.RunState.DONE.value, _("done")
        CUT_OFF = wire.RunState.CUT_OFF.value, _("cut off")
        FAILED = wire.RunState.FAILED.value, _("failed")

    class Occasion(models.TextChoices):
        SHUTDOWN = wire.Occasion.SHUTDOWN.value, _("shutdown")
        SCHEDULE = wire.Occasion.SCHEDULE.value, _("schedule")
        BY_HAND = wire.Occasion.BY_HAND.value, _("by hand")
        RESUME = wire.Occasion.RESUME.value, _("resumed")

    ARROWS = {
        State.WAITING: {State.RUNNING, State.CUT_OFF, State.FAILED},
        State.RUNNING: {State.DONE, State.CUT_OFF, State.FAILED},
    }

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    replica = models.ForeignKey(Replica, on_delete=models.CASCADE, related_name="runs")
    occasion = models.CharField(_("occasion"), max_length=10, choices=Occasion, editable=False)
    state = models.CharField(_("state"), max_length=10, choices=State, default=State.WAITING, editable=False)
    not_before = models.DateTimeField(_("not before"), null=True, editable=False)
    asked_at = models.DateTimeField(_("asked for"))
    begun_at = models.DateTimeField(_("begun"), null=True, editable=False)
    heard_at = models.DateTimeField(null=True, editable=False)
    ended_at = models.DateTimeField(_("ended"), null=True, editable=False)
    told = models.JSONField(default=dict, editable=False)  # wire RunReport
    manifest = models.CharField(max_length=64, blank=True, editable=False)  # handed in; SHA-256 of the file
    files = models.PositiveBigIntegerField(default=0, editable=False)  # in it
    reason = models.CharField(_("reason"), max_length=40, blank=True, editable=False)  # a code
    compared_at = models.DateTimeField(null=True, editable=False)  # its manifest, with those before
    changed = models.JSONField(default=dict, editable=False)  # how much, in numbers
    mended_at = models.DateTimeField(null=True, editable=False)  # what it left behind when it was cut off

    objects = ReplicationRunQuerySet.as_manager()

    class Meta:
        ordering = ["-asked_at"]
        verbose_name = _("replication")
        verbose_name_plural = _("replications")
        constraints = [
            models.UniqueConstraint(
                fields=["replica"],
                condition=models.Q(state__in=("waiting", "running")),
                name="a_volume_is_copied_once_at_a_time",
                violation_error_message=_("This volume is being copied already."),
            )
        ]

    def __str__(self) -> str:
        return str(self.replica)
