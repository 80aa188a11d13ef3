"""Rows of master images, their versions, and packs. The bytes lie in the store; no row per chunk."""

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from clients.models import Named
from clients.stateful import Stateful
from vrasnode.wire.imaging import Machine

MACHINES = [
    (Machine.CLIENT_VM.value, _("client VM")),
    (Machine.VIRTUAL_SERVER.value, _("virtual server")),
]
NO_AGENT = _("A guest without an agent runs no command.")


class MasterImage(Named):
    """A named line of versions."""

    TAKEN = _("An image of this name, or of one that looks the same, exists.")

    # Chosen when the image is made: what runs as one machine does not run as the other.
    machine = models.CharField(_("machine"), max_length=16, choices=MACHINES, default=Machine.CLIENT_VM.value)
    keep_versions = models.PositiveSmallIntegerField(
        _("versions to keep"),
        default=10,
        help_text=_("Older ones retire when nothing uses them; 0 keeps all."),
    )
    health_within_s = models.PositiveIntegerField(_("seconds to become healthy"), default=300)
    health_command = models.JSONField(
        _("health command"),
        default=list,
        blank=True,
        help_text=_("Run in the guest; ends with 0 when it is well."),
    )
    health_agent = models.BooleanField(
        _("guest has an agent"),
        default=True,
        help_text=_("Without one, a machine that still runs after these seconds counts as healthy."),
    )
    created_at = models.DateTimeField(_("created"), auto_now_add=True)

    class Meta:
        ordering = ["name"]
        verbose_name = _("master image")
        verbose_name_plural = _("master images")

    def latest(self) -> "ImageVersion | None":
        """The newest version that can be distributed."""
        return self.versions.ready().order_by("-number").first()


class ImageVersionQuerySet(models.QuerySet["ImageVersion"]):
    def ready(self) -> "ImageVersionQuerySet":
        return self.filter(state=ImageVersion.State.READY)

    def kept(self) -> "ImageVersionQuerySet":
        """Versions whose chunks must stay: all that may still be booted or finished."""
        return self.filter(state__in=[ImageVersion.State.SEALED, ImageVersion.State.READY])


class ImageVersion(Stateful):
    """One immutable published state of a master image.

    uploading -> sealed -> ready -> retired
              -> failed <- sealed
    """

    class State(models.TextChoices):
        UPLOADING = "uploading", _("uploading")
        SEALED = "sealed", _("being checked")
        READY = "ready", _("ready")
        RETIRED = "retired", _("retired")
        FAILED = "failed", _("failed")

    ARROWS = {
        State.UPLOADING: {State.SEALED, State.FAILED},
        State.SEALED: {State.READY, State.FAILED},
        State.READY: {State.RETIRED},
    }

    image = models.ForeignKey(
        MasterImage, verbose_name=_("image"), on_delete=models.PROTECT, related_name="versions"
    )
    # Given when the version is sealed, so that numbers have no gaps.
    number = models.PositiveIntegerField(_("version"), null=True, editable=False)
    state = models.CharField(
        _("state"), max_length=10, choices=State, default=State.UPLOADING, editable=False
    )
    note = models.CharField(_("note"), max_length=500, blank=True)
    published_by = models.CharField(_("published by"), max_length=150)
    # A raw or qcow2 file came through the browser and a worker has yet to cut it.
    source = models.CharField(max_length=200, blank=True, editable=False)
    manifest = models.CharField(_("digest"), max_length=64, blank=True, editable=False)
    publisher_key = models.CharField(_("signed by key"), max_length=32, blank=True, editable=False)
    size_bytes = models.BigIntegerField(_("size"), default=0, editable=False)
    data_bytes = models.BigIntegerField(_("data"), default=0, editable=False)
    packed_bytes = models.BigIntegerField(_("packed"), default=0, editable=False)
    new_bytes = models.BigIntegerField(_("new bytes"), default=0, editable=False)
    failure_code = models.CharField(max_length=60, blank=True, editable=False)
    failure_words = models.CharField(max_length=500, blank=True, editable=False)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    touched_at = models.DateTimeField(auto_now_add=True, editable=False)
    ready_at = models.DateTimeField(_("ready since"), null=True, editable=False)

    objects = ImageVersionQuerySet.as_manager()

    class Meta:
        ordering = ["image", "-number"]
        verbose_name = _("image version")
        verbose_name_plural = _("image versions")
        constraints = [
            models.UniqueConstraint(fields=["image", "number"], name="version_number_is_unique_in_image"),
            models.CheckConstraint(
                condition=~Q(state="ready") | ~Q(manifest=""),
                name="ready_version_has_a_manifest",
                violation_error_message=_("A version without a manifest cannot be ready."),
            ),
        ]
        indexes = [models.Index(fields=["manifest"], name="version_manifest")]

    def __str__(self) -> str:
        return f"{self.image.name}@{self.number or '-'}"

    @property
    def saved_by_dedup_bytes(self) -> int:
        """Packed bytes that were in the store before this version came."""
        return max(0, self.packed_bytes - self.new_bytes)


class Pack(models.Model):
    """An immutable file of frames in the store. Condemned first, deleted a grace period later."""

    class Kind(models.TextChoices):
        PLAIN = "plain", _("whole chunks")
        DELTA = "delta", _("delta frames")

    id = models.CharField(primary_key=True, max_length=64)
    kind = models.CharField(_("kind"), max_length=10, choices=Kind, default=Kind.PLAIN)
    size_bytes = models.BigIntegerField()
    created_at = models.DateTimeField()
    condemned_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["created_at"]
        verbose_name = _("pack")
        verbose_name_plural = _("packs")

    def __str__(self) -> str:
        return self.id[:12]
