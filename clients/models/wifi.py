"""Rows of Wi-Fi: which network a group's PCs join, its secret sealed for each PC, how each PC stands.

No row gives a secret away: it is wrapped by a key outside the database, and sealed to the PC that needs it.
"""

from django.db import models
from django.utils.translation import gettext_lazy as _

from vrasnode.wire import network as wire


class WifiNetwork(models.Model):
    """The Wi-Fi of a group's PCs."""

    class Security(models.TextChoices):
        EAP_TLS = wire.WifiSecurity.EAP_TLS.value, _("802.1X with the PC's certificate (EAP-TLS)")
        PEAP = wire.WifiSecurity.PEAP.value, _("802.1X with a password (PEAP)")
        PSK = wire.WifiSecurity.PSK.value, _("one passphrase for all (WPA2/WPA3-Personal)")

    group = models.OneToOneField(
        "clients.Group", primary_key=True, on_delete=models.CASCADE, related_name="wifi_network"
    )
    ssid = models.CharField(_("name of the network"), max_length=32)
    security = models.CharField(_("security"), max_length=10, choices=Security)
    ca_certificate = models.TextField(_("certificate of the company's CA"), blank=True)
    server_name = models.CharField(_("name of the RADIUS server"), max_length=253, blank=True)
    identity = models.CharField(_("user name"), max_length=200, blank=True)
    hidden = models.BooleanField(_("does not tell its name"), default=False)
    secret = models.BinaryField(null=True, editable=False)  # wrapped
    changed_at = models.DateTimeField(_("changed"))
    changed_by = models.CharField(_("changed by"), max_length=150, blank=True)

    class Meta:
        verbose_name = _("Wi-Fi network")
        verbose_name_plural = _("Wi-Fi networks")

    def __str__(self) -> str:
        return self.ssid


class WifiSecret(models.Model):
    """A network's secret for one PC. Kept, for each sealing gives other bytes, and what PCs are told must not
    change by itself."""

    network = models.ForeignKey(WifiNetwork, on_delete=models.CASCADE, related_name="sealed")
    client = models.ForeignKey("clients.Client", on_delete=models.CASCADE, related_name="+")
    sealed = models.BinaryField(editable=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["network", "client"], name="wifi_secret_is_sealed_once_for_each_pc"
            )
        ]

    def __str__(self) -> str:
        return f"{self.network} {self.client}"


class WifiStanding(models.Model):
    """What a PC told of its Wi-Fi."""

    client = models.OneToOneField(
        "clients.Client", primary_key=True, on_delete=models.CASCADE, related_name="wifi_standing"
    )
    report = models.JSONField(default=dict)  # wire NetworkReport
    reported_at = models.DateTimeField()

    def __str__(self) -> str:
        return str(self.client)
