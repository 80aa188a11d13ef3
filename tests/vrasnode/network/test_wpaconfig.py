"""What wpa_supplicant is told: nothing that came from outside says more than it should."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from vrasnode.errors import Refused
from vrasnode.network.wpaconfig import Files, config_text
from vrasnode.wire.network import WifiProfile, WifiSecurity

FILES = Files(
    control=Path("/run/w/control"),
    ca_certificate=Path("/run/w/ca.pem"),
    certificate=Path("/state/certificate.pem"),
    key=Path("/state/signing.key"),
)
OFFICE = WifiProfile(
    ssid="office",
    security=WifiSecurity.EAP_TLS,
    ca_certificate="-----BEGIN CERTIFICATE-----",
    server_name="radius.example.com",
)


def text(profile: WifiProfile, secret: bytes = b"") -> str:
    return config_text(profile, secret=secret, files=FILES, pc="pc-1")


def test_802_1x_checks_the_networks_certificate_and_name_and_shows_the_pcs_own() -> None:
    said = text(OFFICE)

    assert 'ca_cert="/run/w/ca.pem"' in said
    assert 'domain_match="radius.example.com"' in said
    assert 'private_key="/state/signing.key"' in said
    assert f"identity={b'pc-1'.hex()}" in said
    assert "password" not in said


def test_a_password_is_for_the_tunnel_alone_and_nobody_outside_reads_the_name() -> None:
    said = text(
        replace(OFFICE, security=WifiSecurity.PEAP, identity="pcs", sealed_secret=b"x"), b'pass"word\n'
    )

    assert "password=" + b'pass"word\n'.hex() in said
    assert f"anonymous_identity={b'anonymous'.hex()}" in said
    assert 'ca_cert="/run/w/ca.pem"' in said


def test_a_passphrase_becomes_the_key_of_the_standard() -> None:
    # IEEE 802.11, J.4.2, test vector 1
    said = text(WifiProfile(ssid="IEEE", security=WifiSecurity.PSK, sealed_secret=b"x"), b"password")

    assert "psk=f42c6fc52df0ebef9ebb4b90b38a5f902e83fe1b135a70e23aed762e9710a12e" in said


@pytest.mark.parametrize("ssid", ['x"\n}\nnetwork={', "日本", "# no comment"])
def test_no_name_breaks_out_of_its_place(ssid: str) -> None:
    said = text(replace(OFFICE, ssid=ssid))

    assert f"ssid={ssid.encode().hex()}\n" in said
    assert said.count("network={") == 1


@pytest.mark.parametrize(
    "bad",
    [
        replace(OFFICE, ssid=""),
        replace(OFFICE, ssid="x" * 33),
        replace(OFFICE, ca_certificate=""),
        replace(OFFICE, server_name=""),
        replace(OFFICE, server_name="a;b"),
        replace(OFFICE, server_name="a\nb"),
        replace(OFFICE, security=WifiSecurity.PEAP, sealed_secret=b"x"),
        replace(OFFICE, security=WifiSecurity.PEAP, identity="pcs"),
        replace(OFFICE, security=WifiSecurity.PSK),
        replace(OFFICE, security=WifiSecurity.PSK, sealed_secret=b"x"),  # which opens to nothing
    ],
)
def test_a_profile_that_cannot_be_or_proves_nothing_is_refused(bad: WifiProfile) -> None:
    with pytest.raises(Refused) as refused:
        text(bad)

    assert refused.value.code == "bad_wifi"


def test_a_path_that_breaks_out_is_refused() -> None:
    with pytest.raises(Refused):
        config_text(
            OFFICE,
            secret=b"",
            files=Files(FILES.control, FILES.ca_certificate, Path('/a"b'), FILES.key),
            pc="pc-1",
        )
