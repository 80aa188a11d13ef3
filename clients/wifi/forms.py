"""What people fill in about Wi-Fi."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from clients.errors import Refusal
from clients.models import WifiNetwork
from clients.wifi.networking import MAX_CERTIFICATE_CHARS, MAX_SECRET_BYTES, Wish
from vrasnode.wire.network import WifiSecurity

# Which field a refusal is about.
FIELDS = {
    "bad_ssid": "ssid",
    "bad_passphrase": "secret",
    "secret_missing": "secret",
    "bad_certificate": "ca_certificate",
    "server_unnamed": "server_name",
    "identity_missing": "identity",
}


class WifiForm(forms.Form):
    """One network."""

    ssid = forms.CharField(label=_("Name of the network (SSID)"), max_length=32)
    hidden = forms.BooleanField(label=_("It does not tell its name by itself"), required=False)
    security = forms.ChoiceField(
        label=_("Security"),
        choices=WifiNetwork.Security.choices,
        help_text=_(
            "With the PC's own certificate no secret travels: let the RADIUS server trust the certificate"
            " authority of this installation. A password or passphrase is sealed for each PC and lies there"
            " on the disk beside the key that opens it: who takes a disk that is not encrypted has it."
        ),
    )
    ca_certificate = forms.CharField(
        label=_("Certificate of the company's CA"),
        required=False,
        max_length=MAX_CERTIFICATE_CHARS,
        widget=forms.Textarea(attrs={"rows": 4, "spellcheck": "false"}),
        help_text=_("PEM. For 802.1X: the RADIUS server's certificate has to come from it."),
    )
    server_name = forms.CharField(
        label=_("Name of the RADIUS server"),
        required=False,
        max_length=253,
        help_text=_("For 802.1X: the name in its certificate, such as radius.example.com."),
    )
    identity = forms.CharField(
        label=_("User name"),
        required=False,
        max_length=200,
        help_text=_(
            "For PEAP; with certificates, where the RADIUS server wants another name than the PC's id."
        ),
    )
    secret = forms.CharField(
        label=_("Password or passphrase"),
        required=False,
        max_length=MAX_SECRET_BYTES,
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
        help_text=_("Left empty: as it was. It is never shown again."),
    )
    reason = forms.CharField(
        label=_("Reason"), required=False, max_length=500, help_text=_("Kept in the audit log.")
    )

    @staticmethod
    def initial_of(row: WifiNetwork | None) -> dict[str, Any]:
        if row is None:
            return {"security": WifiSecurity.EAP_TLS.value}
        names = ("ssid", "hidden", "security", "ca_certificate", "server_name", "identity")
        return {name: getattr(row, name) for name in names}

    def wish(self) -> Wish:
        """What was asked for, once it is valid."""
        said = {name: value for name, value in self.cleaned_data.items() if name != "reason"}
        return Wish(**{**said, "security": WifiSecurity(said["security"])})

    def refuse(self, refusal: Refusal) -> None:
        """Shows a refusal where it belongs."""
        self.add_error(FIELDS.get(refusal.code), str(refusal))
