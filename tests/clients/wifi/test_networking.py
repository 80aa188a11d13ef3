"""The Wi-Fi of a group: kept, told with its secret for each PC alone, refused where it proves nothing."""

from datetime import datetime
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from django.contrib.auth.models import User
from django.test import Client as Browser
from django.urls import reverse
from msgspec.structs import replace

from clients.models import Client, Event, Group, WifiNetwork, WifiSecret
from clients.wifi import networking
from clients.wifi.networking import Wish
from tests.pcs import FakePc, facts_with_devices
from vrasnode import sealing
from vrasnode.errors import Refused
from vrasnode.wire import clients as registry
from vrasnode.wire import codec
from vrasnode.wire.devices import Need, PciDevice
from vrasnode.wire.network import (
    SECRET_PURPOSE,
    NetworkReport,
    NetworkSlice,
    WifiProfile,
    WifiSecurity,
    WifiState,
)

pytestmark = pytest.mark.django_db

WORDS = "correct horse battery"
PSK = Wish(ssid="branch", security=WifiSecurity.PSK, secret=WORDS)


@pytest.fixture
def key(pc: FakePc) -> X25519PrivateKey:
    """What opens what is sealed to the PC."""
    key = X25519PrivateKey.generate()
    Client.objects.filter(pk=pc.client.pk).update(hpke_key=key.public_key().public_bytes_raw())
    return key


@pytest.fixture
def browser(client: Browser, admin: User, key: X25519PrivateKey) -> Browser:
    """A browser in which the administrator is logged in."""
    client.force_login(admin)
    return client


@pytest.fixture
def certificate(installation: Any) -> str:
    """Of some certificate authority."""
    pem: str = codec.decode(installation.installation, registry.Installation).ca_certificate
    return pem


def told(pc: FakePc) -> WifiProfile | None:
    desired = codec.decode(pc.get("/node/v1/desired").content, registry.Desired)
    return codec.decode(desired.slices["network"], NetworkSlice).wifi


def keep(group: Group, wish: Wish, now: datetime) -> None:
    networking.keep(group, wish, reason="", now=now)


def test_a_pc_is_told_its_groups_wifi_with_the_secret_for_itself_alone(
    pc: FakePc, sales: Group, key: X25519PrivateKey, now: datetime
) -> None:
    assert told(pc) is None

    keep(sales, PSK, now)

    profile = told(pc)
    assert profile is not None
    assert (profile.ssid, profile.security) == ("branch", WifiSecurity.PSK)
    assert profile.sealed_secret is not None
    assert sealing.open_sealed(profile.sealed_secret, key, purpose=SECRET_PURPOSE) == WORDS.encode()
    with pytest.raises(Refused):
        sealing.open_sealed(profile.sealed_secret, X25519PrivateKey.generate(), purpose=SECRET_PURPOSE)


def test_what_a_pc_is_told_stays_the_same_until_somebody_changes_it(
    pc: FakePc, sales: Group, key: X25519PrivateKey, now: datetime
) -> None:
    keep(sales, PSK, now)
    first = told(pc)

    assert told(pc) == first
    keep(sales, Wish(ssid="office", security=WifiSecurity.PSK), now)  # another name, the same secret
    again = told(pc)
    assert again is not None and first is not None
    assert (again.ssid, again.sealed_secret) == ("office", first.sealed_secret)

    keep(sales, replace_secret("another horse"), now)
    changed = told(pc)
    assert changed is not None and changed.sealed_secret is not None
    assert sealing.open_sealed(changed.sealed_secret, key, purpose=SECRET_PURPOSE) == b"another horse"


def replace_secret(words: str) -> Wish:
    return Wish(ssid="office", security=WifiSecurity.PSK, secret=words)


def test_with_the_pcs_own_certificate_no_secret_is_kept_or_told(
    pc: FakePc, sales: Group, key: X25519PrivateKey, certificate: str, now: datetime
) -> None:
    keep(sales, PSK, now)
    assert told(pc) is not None
    by_key = Wish(
        ssid="office",
        security=WifiSecurity.EAP_TLS,
        ca_certificate=certificate,
        server_name="radius.example.com",
    )
    keep(sales, by_key, now)

    profile = told(pc)
    assert profile is not None and profile.sealed_secret is None
    assert WifiNetwork.objects.get().secret is None
    assert not WifiSecret.objects.exists()


def test_the_secret_is_in_no_row_as_it_is_and_not_in_the_audit_log(
    pc: FakePc, sales: Group, key: X25519PrivateKey, now: datetime
) -> None:
    keep(sales, PSK, now)
    told(pc)

    row, sealed = WifiNetwork.objects.get(), WifiSecret.objects.get()
    assert WORDS.encode() not in bytes(row.secret or b"") + bytes(sealed.sealed)
    event = Event.objects.get(verb="group.wifi_changed")
    assert WORDS not in f"{event.before} {event.after}"
    assert event.after["secret"] == "changed"
    assert WORDS not in repr(PSK)


@pytest.mark.parametrize(
    ("wish", "code"),
    [
        ({"ssid": "x" * 33}, "invalid"),
        ({"ssid": "日本語のとても長い名前"}, "bad_ssid"),
        ({"ssid": "a\nb"}, "bad_ssid"),
        ({"secret": ""}, "secret_missing"),
        ({"secret": "short"}, "bad_passphrase"),
        ({"secret": "x" * 64}, "bad_passphrase"),
        ({"security": "eap_tls"}, "bad_certificate"),
        ({"security": "eap_tls", "ca_certificate": "-----BEGIN nonsense"}, "bad_certificate"),
        ({"security": "eap_tls", "ca_certificate": "HERE"}, "server_unnamed"),
        ({"security": "eap_tls", "ca_certificate": "HERE", "server_name": 'a";b'}, "server_unnamed"),
        ({"security": "peap", "ca_certificate": "HERE", "server_name": "radius"}, "identity_missing"),
        ({"security": "none"}, "invalid"),
    ],
)
def test_a_network_that_cannot_be_or_proves_nothing_is_refused_in_words(
    browser: Browser, sales: Group, certificate: str, wish: dict[str, str], code: str
) -> None:
    body = {"ssid": "office", "security": "psk", "secret": WORDS, **wish}
    if body.get("ca_certificate") == "HERE":
        body["ca_certificate"] = certificate

    answer = browser.put("/api/v1/groups/sales/wifi/", body, content_type="application/json")

    assert (answer.status_code, answer.json()["code"]) == (400, code)
    assert not WifiNetwork.objects.exists()


def test_programs_set_look_and_end_it_and_see_which_pcs_can(
    browser: Browser, pc: FakePc, sales: Group
) -> None:
    path = "/api/v1/groups/sales/wifi/"
    assert browser.get(path).json()["pcs"][0]["has_card"] is None
    facts = facts_with_devices()
    assert facts.devices is not None
    pc.post("/node/v1/reports/clients", registry.FactsReport(facts=facts))
    assert browser.get(path).json()["pcs"][0]["has_card"] is False
    card = PciDevice(
        address="0000:05:00.0", device_class="028000", vendor="8086", product="2723", needed_for=[Need.WIFI]
    )
    more = replace(facts, devices=replace(facts.devices, pci=[*facts.devices.pci, card]))
    pc.post("/node/v1/reports/clients", registry.FactsReport(facts=more))

    body = {"ssid": "branch", "security": "psk", "secret": WORDS}
    said = browser.put(path, body, content_type="application/json").json()

    assert "secret" not in said
    assert (said["ssid"], said["has_secret"], said["pcs"][0]["has_card"]) == ("branch", True, True)
    assert browser.delete(path).status_code == 204
    assert told(pc) is None
    assert browser.delete(path).json()["code"] == "no_wifi"


def test_an_administrator_fills_it_in_and_never_sees_the_secret_again(browser: Browser, sales: Group) -> None:
    address = reverse("clients:group-wifi", args=[sales.pk])
    refused = browser.post(address, {"ssid": "branch", "security": "psk"}).content.decode()
    assert "[secret_missing]" in refused

    browser.post(address, {"ssid": "branch", "security": "psk", "secret": WORDS})
    page = browser.get(address).content.decode()

    assert 'value="branch"' in page
    assert WORDS not in page
    browser.post(address, {"act": "remove"})
    assert not WifiNetwork.objects.exists()


def test_a_pc_tells_why_it_is_not_connected_and_its_page_says_it_in_words(
    browser: Browser, pc: FakePc
) -> None:
    report = NetworkReport(wifi=WifiState.SEARCHING, ssid="office", code="wifi_server_unproven", words="w")
    for _ in range(2):
        assert pc.post("/node/v1/reports/network", report).status_code == 204

    page = browser.get(reverse("clients:pc", args=[pc.client.pk])).content.decode()

    assert "not connected to “office” The network cannot prove that it is the company" in page
    assert Event.objects.filter(verb="client.wifi_failed").count() == 1
    assert pc.post("/node/v1/reports/network", b'{"wifi": 5}').status_code == 400
