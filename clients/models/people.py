"""Rows of people: who of them is the company directory's, and their keys to REST."""

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _


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


class DirectoryUser(models.Model):
    """An account whose person is the company directory's: the same row through every change of name."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, primary_key=True, on_delete=models.CASCADE, related_name="directory_user"
    )
    guid = models.UUIDField(unique=True, editable=False)  # objectGUID
    # No longer administrator there, still here: there is no other one.
    kept_administrator = models.BooleanField(default=False, editable=False)

    def __str__(self) -> str:
        return str(self.user)
