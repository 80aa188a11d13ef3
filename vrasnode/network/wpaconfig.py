"""What wpa_supplicant is told of the network to join: its configuration file as text. Pure.

Every word that came from outside is written in hex, which wpa_supplicant.conf(5) takes in place of a string,
so none of it can say more than it should. What is secret is in the text: see `wifi` for where that lies.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from vrasnode.errors import Refused
from vrasnode.wire.network import WifiProfile, WifiSecurity

SSID_BYTES = 32  # IEEE 802.11
PASSPHRASE_BYTES = range(8, 64)  # IEEE 802.11, J.4
_ROUNDS = 4096  # the same
_WPA3 = "ieee80211w=1"  # frames of management are protected where the network can


@dataclass(frozen=True)
class Files:
    """Where wpa_supplicant finds what is not in its configuration, and makes its control socket."""

    control: Path
    ca_certificate: Path
    certificate: Path
    key: Path


def check(profile: WifiProfile) -> None:
    """Raises Refused(bad_wifi), with words that say what is missing or too long."""
    if not 0 < len(profile.ssid.encode()) <= SSID_BYTES:
        raise _bad(f"its name has 1 to {SSID_BYTES} bytes")
    if profile.security is not WifiSecurity.PSK and not (profile.ca_certificate and profile.server_name):
        raise _bad("802.1X needs the certificate of the company's CA and the name of its RADIUS server")
    if profile.security is WifiSecurity.PEAP and not profile.identity:
        raise _bad("PEAP needs a name")
    if profile.security is not WifiSecurity.EAP_TLS and profile.sealed_secret is None:
        raise _bad("its password is missing")
    if not all(32 < ord(char) < 127 for char in profile.server_name) or ";" in profile.server_name:
        raise _bad("the name of the RADIUS server is a name in DNS")


def config_text(profile: WifiProfile, *, secret: bytes, files: Files, pc: str) -> str:
    """The whole file. `secret` is what the profile's sealed one held; `pc` the PC's id.

    Raises Refused(bad_wifi).
    """
    check(profile)
    ways = {WifiSecurity.EAP_TLS: _eap_tls, WifiSecurity.PEAP: _peap, WifiSecurity.PSK: _psk}
    network = [
        f"ssid={profile.ssid.encode().hex()}",
        f"scan_ssid={int(profile.hidden)}",
        _WPA3,
        *ways[profile.security](profile, secret, files, pc),
    ]
    lines = "".join(f"    {line}\n" for line in network)
    return f"ctrl_interface=DIR={_quoted(files.control)}\nupdate_config=0\nnetwork={{\n{lines}}}\n"


def _eap_tls(profile: WifiProfile, _secret: bytes, files: Files, pc: str) -> list[str]:
    return [
        *_enterprise(profile, "TLS", files),
        f"identity={(profile.identity or pc).encode().hex()}",
        f'client_cert="{_quoted(files.certificate)}"',
        f'private_key="{_quoted(files.key)}"',
    ]


def _peap(profile: WifiProfile, secret: bytes, files: Files, _pc: str) -> list[str]:
    """The name travels inside the tunnel only, the password never."""
    return [
        *_enterprise(profile, "PEAP", files),
        f"identity={profile.identity.encode().hex()}",
        f"anonymous_identity={b'anonymous'.hex()}",
        'phase2="auth=MSCHAPV2"',
        f"password={secret.hex()}",
    ]


def _enterprise(profile: WifiProfile, method: str, files: Files) -> list[str]:
    return [
        "key_mgmt=WPA-EAP WPA-EAP-SHA256",
        f"eap={method}",
        f'ca_cert="{_quoted(files.ca_certificate)}"',
        f'domain_match="{profile.server_name}"',
    ]


def _psk(profile: WifiProfile, secret: bytes, _files: Files, _pc: str) -> list[str]:
    if len(secret) not in PASSPHRASE_BYTES:
        raise _bad(f"a passphrase has {PASSPHRASE_BYTES.start} to {PASSPHRASE_BYTES.stop - 1} bytes")
    key = hashlib.pbkdf2_hmac("sha1", secret, profile.ssid.encode(), _ROUNDS, 32)
    return ["key_mgmt=WPA-PSK WPA-PSK-SHA256 SAE", f"psk={key.hex()}", f"sae_password={secret.hex()}"]


def _quoted(path: Path) -> str:
    """A path as it stands between quotes; nothing escapes there."""
    text = str(path)
    if not path.is_absolute() or any(char in text for char in '"\n\r#'):
        raise _bad(f"the state directory {text!r} cannot be written down for wpa_supplicant")
    return text


def _bad(why: str) -> Refused:
    return Refused("bad_wifi", f"This Wi-Fi cannot be joined: {why}. Correct it on the group's page.")
