"""Rows of whom PCs and the server trust: tokens to join by, publishers' keys."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from clients.models.pcs import Client, Group
from clients.stateful import Stateful


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
