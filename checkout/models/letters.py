"""Rows of mails: each is written once, whatever sweeps twice, and stays until it is sent."""

from django.db import models
from django.utils.translation import gettext_lazy as _


class Letter(models.Model):
    """One mail to one address. `key` says what about, once for all."""

    key = models.CharField(max_length=200, unique=True)
    to = models.EmailField(_("to"), blank=True)  # "": nobody has an address
    subject = models.CharField(_("subject"), max_length=200)
    body = models.TextField(_("text"))
    made_at = models.DateTimeField(_("written"))
    sent_at = models.DateTimeField(_("sent"), null=True)

    class Meta:
        ordering = ["-made_at"]
        verbose_name = _("mail")
        verbose_name_plural = _("mails")

    def __str__(self) -> str:
        return self.key
