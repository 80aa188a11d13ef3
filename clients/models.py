"""The registry's rows: groups, PCs, enrolment tokens, people's tokens, publishers' keys, the audit log."""

import uuid
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import IntegrityError, models, transaction
from django.utils.translation import gettext_lazy as _

from clients.errors import Refusal
from clients.stateful import Stateful
from vrasnode.errors import Refused
from vrasnode.wire import names


def check_name(name: str) -> None:
    """A model validator for names of groups, PCs and images. Raises ValidationError."""
    try:
        names.check_name(name)
    except Refused as error:
        raise ValidationError(error.words, code=error.code) from error


class Group(models.Model):
    """PCs that share one master image and one set of policies."""

    name = models.CharField(_("name"), max_length=64, validators=[check_name])
    skeleton = models.CharField(max_length=128, unique=True, editable=False)
    note = models.CharField(_("note"), max_length=200, blank=True)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)

    class Meta:
        ordering = ["name"]
        verbose_name = _("group")
        verbose_name_plural = _("groups")

    def __str__(self) -> str:
        return self.name

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Raises Refusal(name_taken)."""
        self.skeleton = names.skeleton(self.name)
        try:
            with transaction.atomic():
                super().save(*args, **kwargs)
        except IntegrityError as error:
            raise Refusal(
                "name_taken", _("A group of this name, or of one that looks the same, exists.")
            ) from error


class ClientQuerySet(models.QuerySet["Client"]):
    def approved(self) -> "ClientQuerySet":
        return self.filter(state=Client.State.APPROVED)

    def pending(self) -> "ClientQuerySet":
        return self.filter(state=Client.State.PENDING)


class Client(Stateful):
    """One physical PC that runs vRAS.

    pending -> approved -> revoked
            -> revoked
    """

    class State(models.TextChoices):
        PENDING = "pending", _("waiting for approval")
        APPROVED = "approved", _("approved")
        REVOKED = "revoked", _("revoked")

    ARROWS = {
        State.PENDING: {State.APPROVED, State.REVOKED},
        State.APPROVED: {State.REVOKED},
    }

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(_("name"), max_length=64, validators=[check_name])
    group = models.ForeignKey(
        Group,
        verbose_name=_("group"),
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="clients",
    )
    state = models.CharField(_("state"), max_length=10, choices=State, default=State.PENDING, editable=False)
    signing_key = models.BinaryField(editable=False)  # P-256, DER SubjectPublicKeyInfo
    hpke_key = models.BinaryField(editable=False)  # X25519, raw
    csr = models.TextField(editable=False)
    certificate = models.TextField(blank=True, editable=False)
    certificate_expires = models.DateTimeField(_("certificate expires"), null=True, editable=False)
    facts = models.JSONField(_("facts"), default=dict, editable=False)
    enrolled_at = models.DateTimeField(_("enrolled"), auto_now_add=True)
    last_seen = models.DateTimeField(_("last contact"), null=True, editable=False)
    # The serial of the last assignment that was signed for this PC; only ever grows.
    highest_serial = models.PositiveIntegerField(default=0, editable=False)
    # What the PC itself said it runs: the digest of a manifest.
    running = models.CharField(max_length=64, blank=True, editable=False)

    objects = ClientQuerySet.as_manager()

    class Meta:
        ordering = ["name", "id"]
        verbose_name = _("client PC")
        verbose_name_plural = _("client PCs")
        constraints = [
            models.UniqueConstraint(
                fields=["name"],
                condition=~models.Q(state="revoked"),
                name="client_name_is_unique_unless_revoked",
                violation_error_message=_("Another PC has this name."),
            )
        ]

    def __str__(self) -> str:
        return self.name


class EnrolmentToken(models.Model):
    """Lets one PC ask to join, once, until it expires. Only a hash of its secret is kept."""

    id = models.CharField(primary_key=True, max_length=16)
    secret_hash = models.CharField(max_length=64, editable=False)
    group = models.ForeignKey(
        Group, null=True, blank=True, on_delete=models.SET_NULL, verbose_name=_("group")
    )
    approved = models.BooleanField(_("approved beforehand"), default=False)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    created_by = models.CharField(_("created by"), max_length=150)
    expires_at = models.DateTimeField(_("expires"))
    used_by = models.ForeignKey(
        Client,
        null=True,
        editable=False,
        on_delete=models.CASCADE,
        verbose_name=_("used by"),
        related_name="+",
    )

    class Meta:
        ordering = ["-created_at"]
        verbose_name = _("enrolment token")
        verbose_name_plural = _("enrolment tokens")

    def __str__(self) -> str:
        return self.id


class ApiToken(models.Model):
    """A person's key to REST: hashed, scoped, expiring, with its last use."""

    class Scope(models.TextChoices):
        READ = "read", _("read")
        WRITE = "write", _("read and write")

    id = models.CharField(primary_key=True, max_length=16)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="api_tokens")
    name = models.CharField(_("name"), max_length=100)
    secret_hash = models.CharField(max_length=64, editable=False)
    scope = models.CharField(_("scope"), max_length=5, choices=Scope, default=Scope.WRITE)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    expires_at = models.DateTimeField(_("expires"))
    last_used = models.DateTimeField(_("last used"), null=True, editable=False)

    class Meta:
        ordering = ["-created_at"]
        verbose_name = _("API token")
        verbose_name_plural = _("API tokens")

    def __str__(self) -> str:
        return f"{self.name} ({self.id})"


class PublisherKey(Stateful):
    """A publisher's public key. Once the root vouches for it, PCs accept images that it signed.

    pending -> endorsed -> revoked
            -> revoked
    """

    class State(models.TextChoices):
        PENDING = "pending", _("waiting for the root's signature")
        ENDORSED = "endorsed", _("endorsed")
        REVOKED = "revoked", _("revoked")

    ARROWS = {State.PENDING: {State.ENDORSED, State.REVOKED}, State.ENDORSED: {State.REVOKED}}

    fingerprint = models.CharField(_("fingerprint"), primary_key=True, max_length=32)
    name = models.CharField(_("name"), max_length=100)
    public_key = models.BinaryField(editable=False)
    state = models.CharField(_("state"), max_length=10, choices=State, default=State.PENDING, editable=False)
    statement = models.BinaryField(null=True, editable=False)  # Signed[RoleKey]
    created_at = models.DateTimeField(_("created"), auto_now_add=True)

    class Meta:
        ordering = ["-created_at"]
        verbose_name = _("publisher's key")
        verbose_name_plural = _("publishers' keys")

    def __str__(self) -> str:
        return f"{self.name} {self.fingerprint}"


class Event(models.Model):
    """One line of the audit log. Appended, never changed."""

    at = models.DateTimeField(_("time"), auto_now_add=True, db_index=True)
    actor = models.CharField(_("who"), max_length=150)
    actor_kind = models.CharField(max_length=10)
    origin = models.CharField(_("from where"), max_length=200, blank=True)
    verb = models.CharField(_("act"), max_length=60)
    object_type = models.CharField(_("kind"), max_length=40)
    object_id = models.CharField(max_length=64)
    object_name = models.CharField(_("on what"), max_length=200)
    before = models.JSONField(_("before"), default=dict)
    after = models.JSONField(_("after"), default=dict)
    reason = models.CharField(_("reason"), max_length=500, blank=True)

    class Meta:
        ordering = ["-id"]
        verbose_name = _("event")
        verbose_name_plural = _("audit log")
        indexes = [models.Index(fields=["object_type", "object_id"], name="event_object")]

    def __str__(self) -> str:
        return f"{self.verb} {self.object_name}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        if self.pk is not None:
            raise Refusal("event_is_final", _("The audit log is only appended to."))
        super().save(*args, **kwargs)
