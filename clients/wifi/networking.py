"""Which Wi-Fi the PCs of a group join: kept with its secret wrapped, told to each PC with it sealed.

How a PC joins is vrasnode.network.wireless; whether an address is the company's, `networks`.
"""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from cryptography import x509
from django.db import transaction
from django.utils.translation import get_language
from django.utils.translation import gettext_lazy as _

from clients import auditing, nudge
from clients.enrolment import nodeslice, signing
from clients.errors import Refusal
from clients.models import Client, Group, WifiNetwork, WifiSecret, WifiStanding
from vrasnode import sealing, words
from vrasnode.wire import codec
from vrasnode.wire import network as wire
from vrasnode.wire.devices import DeviceFacts, Need
from vrasnode.wire.network import WifiSecurity

SSID_BYTES = 32  # IEEE 802.11
PASSPHRASE_BYTES = range(8, 64)  # the same, J.4
MAX_CERTIFICATE_CHARS = 16_384
MAX_SECRET_BYTES = 200


@dataclass(frozen=True, kw_only=True)
class Wish:
    """The Wi-Fi of a group, as somebody wants it. `secret`: the password or passphrase; "": as it is."""

    ssid: str
    security: WifiSecurity
    ca_certificate: str = ""
    server_name: str = ""
    identity: str = ""
    hidden: bool = False
    secret: str = ""

    def __repr__(self) -> str:
        return f"Wish({self.ssid!r}, {self.security})"


def register() -> None:
    """The slice `network` is ours: called once when Django starts."""
    nodeslice.register("network", provide=lambda client, _now: slice_of(client), hear=_hear)


def network_of(group: Group | None) -> WifiNetwork | None:
    """The row of a group's Wi-Fi; None: its PCs join none."""
    return WifiNetwork.objects.filter(group=group).first() if group is not None else None


def slice_of(client: Client) -> wire.NetworkSlice:
    """What this PC is to join; the secret is sealed to it the first time and kept so."""
    row = network_of(client.group)
    if row is None:
        return wire.NetworkSlice()
    profile = wire.WifiProfile(
        ssid=row.ssid,
        security=WifiSecurity(row.security),
        ca_certificate=row.ca_certificate,
        server_name=row.server_name,
        identity=row.identity,
        sealed_secret=_sealed(row, client),
        hidden=row.hidden,
    )
    return wire.NetworkSlice(wifi=profile)


def keep(group: Group, wish: Wish, *, reason: str, now: datetime) -> None:
    """Makes it the Wi-Fi of the group's PCs. Raises Refusal: bad_ssid, bad_passphrase, secret_missing,
    bad_certificate, server_unnamed, identity_missing."""
    before = network_of(group)
    check(wish, has_secret=before is not None and before.secret is not None)
    secret = before.secret if before is not None else None
    if wish.security is WifiSecurity.EAP_TLS:
        secret = None
    elif wish.secret:
        secret = signing.store().wrap(wish.secret.encode(), _context(group))
    enterprise = wish.security is not WifiSecurity.PSK
    values = {
        "ssid": wish.ssid,
        "security": wish.security.value,
        "ca_certificate": wish.ca_certificate.strip() if enterprise else "",
        "server_name": wish.server_name if enterprise else "",
        "identity": wish.identity if enterprise else "",
        "hidden": wish.hidden,
        "secret": secret,
    }
    with transaction.atomic():
        row, _new = WifiNetwork.objects.update_or_create(
            group=group, defaults={**values, "changed_at": now, "changed_by": auditing.actor().name}
        )
        if before is None or before.secret != secret:
            WifiSecret.objects.filter(network=row).delete()
        after = brief(row) | ({"secret": "changed"} if wish.secret and secret is not None else {})
        auditing.record(
            "group.wifi_changed", group, before=brief(before) if before else {}, after=after, reason=reason
        )
    _tell(group)


def forget(group: Group, *, reason: str) -> None:
    """The PCs of the group join no Wi-Fi any more; the secret is deleted. Raises Refusal(no_wifi)."""
    row = network_of(group)
    if row is None:
        raise Refusal("no_wifi", _("This group has no Wi-Fi."), status=404)
    with transaction.atomic():
        auditing.record("group.wifi_removed", group, before=brief(row), reason=reason)
        row.delete()
    _tell(group)


def check(wish: Wish, *, has_secret: bool) -> None:
    """Raises what `keep` does. `has_secret`: there is one that may stay."""
    if not 0 < len(wish.ssid.encode()) <= SSID_BYTES or not wish.ssid.isprintable():
        raise Refusal("bad_ssid", _("The name of a Wi-Fi has 1 to 32 bytes."), status=400)
    if wish.security is not WifiSecurity.PSK:
        _check_server(wish)
    if wish.security is WifiSecurity.PEAP and not wish.identity:
        raise Refusal("identity_missing", _("PEAP needs a user name."), status=400)
    if wish.security is WifiSecurity.EAP_TLS:
        return
    if not wish.secret and not has_secret:
        raise Refusal("secret_missing", _("Give the password or passphrase of this Wi-Fi."), status=400)
    bounds = PASSPHRASE_BYTES if wish.security is WifiSecurity.PSK else range(1, MAX_SECRET_BYTES + 1)
    if wish.secret and len(wish.secret.encode()) not in bounds:
        raise Refusal(
            "bad_passphrase",
            _("A password or passphrase of this kind has %(least)d to %(most)d bytes.")
            % {"least": bounds.start, "most": bounds.stop - 1},
            status=400,
        )


def _check_server(wish: Wish) -> None:
    """Without both, whoever puts up an access point of that name would be taken for the company."""
    try:
        if len(wish.ca_certificate) > MAX_CERTIFICATE_CHARS:
            raise ValueError
        x509.load_pem_x509_certificates(wish.ca_certificate.encode())
    except ValueError as error:
        raise Refusal(
            "bad_certificate",
            _("Paste the certificate of the company's CA that the RADIUS server's comes from, as PEM."),
            status=400,
        ) from error
    name = wish.server_name
    if not name or ";" in name or not all(32 < ord(char) < 127 for char in name):
        raise Refusal(
            "server_unnamed",
            _("Give the name that the RADIUS server's certificate is for, such as radius.example.com."),
            status=400,
        )


def brief(row: WifiNetwork) -> dict[str, Any]:
    """What the audit log may know."""
    return {"ssid": row.ssid, "security": row.security, "server_name": row.server_name, "hidden": row.hidden}


def cards(clients: Iterable[Client]) -> list[tuple[Client, bool | None]]:
    """Whether each PC has a Wi-Fi card, by what it told of its devices; None: it did not tell."""
    return [(client, _has_card(client)) for client in clients]


def standing_of(client: Client) -> wire.NetworkReport | None:
    """What a PC told of its Wi-Fi; None: nothing that we can read."""
    return standings([client.pk]).get(client.pk)


def standings(clients: Iterable[UUID]) -> dict[UUID, wire.NetworkReport]:
    """The same for many, by their ids; those that told nothing that we can read are absent."""
    found = {}
    for row in WifiStanding.objects.filter(client__in=list(clients)):
        with suppress(msgspec.ValidationError):  # of another version of the product
            found[row.client_id] = msgspec.convert(row.report, wire.NetworkReport)
    return found


def words_of(told: wire.NetworkReport) -> str:
    """How a PC's Wi-Fi stands, and why it is not connected, in the reader's language."""
    language = (get_language() or "en").partition("-")[0]
    said = words.say(f"wifi_{told.wifi}", language, {"ssid": told.ssid})
    if not told.code:
        return said
    return f"{said} {words.say(told.code, language) if told.code in words.known_codes() else told.words}"


def standing_json(client: Client) -> dict[str, Any] | None:
    """The same, plain."""
    told = standing_of(client)
    plain: dict[str, Any] | None = msgspec.to_builtins(told) if told else None
    return plain


def _has_card(client: Client) -> bool | None:
    facts = client.host_facts()
    devices: DeviceFacts | None = facts.devices if facts else None
    if devices is None:
        return None
    needs = [*(one.needed_for for one in devices.pci), *(one.needed_for for one in devices.usb)]
    return any(Need.WIFI in found for found in needs)


def _sealed(row: WifiNetwork, client: Client) -> bytes | None:
    if row.secret is None:
        return None
    kept = WifiSecret.objects.filter(network=row, client=client).first()
    if kept is None:
        secret = signing.store().unwrap(bytes(row.secret), _context(row.group))
        sealed = sealing.seal(secret, bytes(client.hpke_key), purpose=wire.SECRET_PURPOSE)
        kept, _new = WifiSecret.objects.get_or_create(network=row, client=client, defaults={"sealed": sealed})
    return bytes(kept.sealed)


def _context(group: Group) -> str:
    return f"openvras wifi secret v1 {group.pk}"


def _tell(group: Group) -> None:
    nudge.nodes(list(Client.objects.approved().filter(group=group).only("pk")))
    nudge.pages(f"group.{group.pk}")


def _hear(client: Client, body: bytes, now: datetime) -> None:
    report = codec.decode(body, wire.NetworkReport)
    plain: dict[str, Any] = msgspec.to_builtins(report)
    with transaction.atomic():
        before = standing_of(client)
        WifiStanding.objects.update_or_create(client=client, defaults={"report": plain, "reported_at": now})
        if report.code and (before is None or before.code != report.code):
            auditing.record("client.wifi_failed", client, after={"ssid": report.ssid, "code": report.code})
    nudge.pages(f"client.{client.pk}")
