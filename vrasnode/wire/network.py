"""Messages about the networks of a PC: which Wi-Fi it joins, and how that stands."""

from enum import StrEnum

from vrasnode.wire.codec import Message

SECRET_PURPOSE = "wifi secret"  # noqa: S105  under which it is sealed to the PC's HPKE key


class WifiSecurity(StrEnum):
    """How PC and network prove themselves to each other.

    `eap_tls`: 802.1X by the PC's own certificate of this installation; no secret travels. `peap`: 802.1X by a
    name and a password (MSCHAPv2). `psk`: one passphrase for all (WPA2 or WPA3-Personal).
    """

    EAP_TLS = "eap_tls"
    PEAP = "peap"
    PSK = "psk"


class WifiProfile(Message, frozen=True):
    """The Wi-Fi that a PC joins. With 802.1X the network has to prove itself too: by a certificate of
    `ca_certificate` (PEM) for `server_name`. `sealed_secret`: password or passphrase, for this PC alone."""

    ssid: str
    security: WifiSecurity
    ca_certificate: str = ""
    server_name: str = ""
    identity: str = ""  # who the PC says it is; "": its id
    sealed_secret: bytes | None = None
    hidden: bool = False  # does not tell its name by itself


class NetworkSlice(Message, frozen=True):
    """The slice `network`: what this PC is to join; None: no Wi-Fi."""

    wifi: WifiProfile | None = None


class WifiState(StrEnum):
    """How the Wi-Fi of a PC stands."""

    NONE = "none"  # the PC has no card for it
    OFF = "off"  # it has one and is to join nothing
    SEARCHING = "searching"
    CONNECTED = "connected"


class NetworkReport(Message, frozen=True):
    """POST /node/v1/reports/network. `code` and `words`: why it is not connected, where that is known."""

    wifi: WifiState
    ssid: str = ""
    address: str = ""
    code: str = ""
    words: str = ""
