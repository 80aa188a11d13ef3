"""The row that says how far delta frames of one version against another one are. The frames lie in packs."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from clients.stateful import Stateful


class DeltaSetQuerySet(models.QuerySet["DeltaSet"]):
    def useful(self) -> "DeltaSetQuerySet":
        """Both versions can still be distributed or run: nobody holds a base that was retired."""
        return self.filter(version__state="ready", base__state="ready")

    def to_make(self) -> "DeltaSetQuerySet":
        """Oldest first, so that every image has its turn."""
        return self.useful().filter(state__in=[DeltaSet.State.WAITING, DeltaSet.State.MAKING]).order_by("pk")

    def offered(self) -> "DeltaSetQuerySet":
        return self.useful().filter(state=DeltaSet.State.READY)


class DeltaSet(Stateful):
    """Delta frames of `version` for PCs that hold `base`, an earlier version of the same image.

    waiting -> making -> ready
                      -> failed -> waiting
    """

    class State(models.TextChoices):
        WAITING = "waiting", _("waits to be made")
        MAKING = "making", _("being made")
        READY = "ready", _("ready")
        FAILED = "failed", _("failed")

    ARROWS = {
        State.WAITING: {State.MAKING},
        State.MAKING: {State.READY, State.FAILED},
        State.FAILED: {State.WAITING},
    }

    version = models.ForeignKey(
        "imaging.ImageVersion", verbose_name=_("version"), on_delete=models.CASCADE, related_name="delta_sets"
    )
    base = models.ForeignKey(
        "imaging.ImageVersion",
        verbose_name=_("against"),
        on_delete=models.CASCADE,
        related_name="delta_sets_from",
    )
    state = models.CharField(_("state"), max_length=10, choices=State, default=State.WAITING, editable=False)
    # Packs that are whole already: a worker that was killed goes on behind them.
    packs = models.JSONField(default=list, editable=False)
    chunks = models.PositiveIntegerField(_("new chunks"), default=0, editable=False)
    done_chunks = models.PositiveIntegerField(default=0, editable=False)
    delta_chunks = models.PositiveIntegerField(_("delta frames"), default=0, editable=False)
    plain_bytes = models.BigIntegerField(_("bytes without"), default=0, editable=False)
    delta_bytes = models.BigIntegerField(_("bytes with"), default=0, editable=False)
    failure_code = models.CharField(max_length=60, blank=True, editable=False)
    failure_words = models.CharField(max_length=500, blank=True, editable=False)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    started_at = models.DateTimeField(null=True, editable=False)
    ready_at = models.DateTimeField(_("ready since"), null=True, editable=False)

    objects = DeltaSetQuerySet.as_manager()

    class Meta:
        ordering = ["version_id", "-base_id"]
        verbose_name = _("delta frames")
        verbose_name_plural = _("delta frames")
        constraints = [
            models.UniqueConstraint(fields=["version", "base"], name="one_delta_set_per_version_and_base")
        ]

    def __str__(self) -> str:
        return f"{self.version} − {self.base}"

    @property
    def saved_bytes(self) -> int:
        """What a PC that holds the base need not fetch."""
        return max(0, self.plain_bytes - self.delta_bytes)

    @property
    def percent(self) -> int:
        """How much is made; whole numbers, 100 only when all is."""
        if self.state == self.State.READY:
            return 100
        return min(99, self.done_chunks * 100 // self.chunks) if self.chunks else 0
