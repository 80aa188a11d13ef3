"""Rows of lost PCs, and of those that were away for too long."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from clients.models import Client


class LossQuerySet(models.QuerySet["Loss"]):
    def current(self) -> "LossQuerySet":
        """Those whose PC is still lost."""
        return self.filter(ended_at=None)


class Loss(models.Model):
    """A PC was declared lost: who said so, what stood there then, how far the order to it came.

    The order: queued -> handed out -> acknowledged; withdrawn when the PC was found again before.
    """

    client = models.ForeignKey(
        Client, verbose_name=_("client PC"), on_delete=models.PROTECT, related_name="losses"
    )
    declared_at = models.DateTimeField(_("declared lost"))
    declared_by = models.CharField(_("declared by"), max_length=150)
    reason = models.CharField(_("reason"), max_length=500)
    seen_at = models.DateTimeField(_("last seen"), null=True)  # by whoever had it
    seen_where = models.CharField(_("where"), max_length=200, blank=True)
    # What was known at that moment: nothing later changes what a report says of it.
    last_contact = models.DateTimeField(null=True)
    then = models.JSONField(default=list)  # of each volume: id, told (wire VolumeReport), told_at, opening
    halves_until = models.DateTimeField()  # the server's halves are deleted after it
    halves_deleted_at = models.DateTimeField(null=True)
    handed_out_at = models.DateTimeField(null=True)
    acknowledged_at = models.DateTimeField(null=True)
    acknowledged = models.JSONField(default=dict)  # wire KillReport
    ended_at = models.DateTimeField(_("found again"), null=True)
    ended_by = models.CharField(max_length=150, blank=True)
    ended_reason = models.CharField(max_length=500, blank=True)

    objects = LossQuerySet.as_manager()

    class Meta:
        ordering = ["-declared_at"]
        verbose_name = _("lost PC")
        verbose_name_plural = _("lost PCs")
        constraints = [
            models.UniqueConstraint(
                fields=["client"],
                condition=models.Q(ended_at=None),
                name="a_pc_is_lost_once_at_a_time",
                violation_error_message=_("This PC is declared lost already."),
            )
        ]

    def __str__(self) -> str:
        return str(self.client)

    @property
    def order(self) -> str:
        """How far the order to the PC came: a code."""
        if self.acknowledged_at:
            return "acknowledged"
        if self.ended_at:
            return "withdrawn"
        return "handed_out" if self.handed_out_at else "queued"


class LockoutQuerySet(models.QuerySet["Lockout"]):
    def current(self) -> "LockoutQuerySet":
        return self.filter(let_in_at=None)


class Lockout(models.Model):
    """A PC that was not heard of for long: no key is given to it until an administrator lets it in again."""

    client = models.OneToOneField(Client, primary_key=True, on_delete=models.CASCADE, related_name="lockout")
    at = models.DateTimeField(_("since"))
    last_contact = models.DateTimeField(_("last contact"))
    let_in_at = models.DateTimeField(null=True)  # from then on its silence is counted anew

    objects = LockoutQuerySet.as_manager()

    class Meta:
        verbose_name = _("locked-out PC")
        verbose_name_plural = _("locked-out PCs")

    def __str__(self) -> str:
        return str(self.client)
