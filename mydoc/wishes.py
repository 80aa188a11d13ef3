"""What My Doc Manager tells a PC, and hears of its volumes.

What a PC may have open is derived here, every time: no approval, no place on the LAN, an account that is
switched off: no session, and the PC locks. No key is in it, for slices lie on disks.
"""

from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
from django.conf import settings
from django.db import transaction

from clients import nudge
from clients.enrolment import nodeslice
from clients.models import Client
from clients.people.directorysettings import DirectorySettings
from clients.signals import client_revoked
from mydoc.models import FolderGrant, Opening, Volume, person_id
from mydoc.tree import asking
from mydoc.volumes import recovering, unlocking
from vrasnode.wire import codec
from vrasnode.wire.mydoc import (
    Access,
    Custodian,
    Grant,
    MydocReport,
    MydocSlice,
    VolumeReport,
    VolumeState,
    VolumeWish,
)

SLICE = "mydoc"
LOGON_PATH = "/mydoc/logon"
LOCKED = {VolumeState.LOCKED, VolumeState.ABSENT, VolumeState.BROKEN}


def register() -> None:
    """Joins the registry: called once when Django starts."""
    nodeslice.register(SLICE, provide=slice_of, hear=_hear)
    client_revoked.connect(_revoked, dispatch_uid="mydoc")


def slice_of(client: Client, now: datetime) -> MydocSlice:
    """This PC's volumes, and what it has to know to open and to lock them."""
    place: DirectorySettings | None = settings.DIRECTORY
    return MydocSlice(
        volumes=_wishes(client, now),
        custodians=[
            Custodian(fingerprint=row.fingerprint, public_key=bytes(row.public_key))
            for row in recovering.active()
        ],
        controllers=[f"{place.host}:{place.port}"] if place else [],
        authority=_authority(place.authority) if place else "",
        logon_url=logon_url(client),
        asked=asking.asked(client),
    )


def hear(client: Client, report: MydocReport, *, now: datetime) -> None:
    """Keeps how each volume stands. A lock that the PC made by itself ends the logon, too."""
    mine = {
        str(row.pk): row for row in Volume.objects.filter(client=client).select_related("owner", "client")
    }
    for told in report.volumes:
        volume = mine.get(told.volume)
        if volume is None:
            continue  # of another PC, or none: not for this one to say
        with transaction.atomic():
            _close_what_is_locked(volume, told, now=now)
            plain = msgspec.to_builtins(told)
            Volume.objects.filter(pk=volume.pk).update(told=plain, told_at=now)
    owners = {f"my.{row.owner_id}" for row in mine.values()}
    nudge.pages("volumes", f"client.{client.pk}", *(f"volume.{pk}" for pk in mine), *sorted(owners))


def logon_url(client: Client) -> str:
    """Where the client VM's logon script goes: the address at which this PC itself reaches the server."""
    if client.called_at and urlsplit(client.called_at).hostname:
        return client.called_at + LOGON_PATH
    host = settings.ALLOWED_HOSTS[0]
    return "" if host == "*" else f"https://{host}{LOGON_PATH}"


def _wishes(client: Client, now: datetime) -> list[VolumeWish]:
    volumes = list(
        Volume.objects.filter(client=client).select_related("owner__directory_user", "client").order_by("pk")
    )
    current = {row.volume_id: row for row in Opening.objects.current().filter(volume__in=volumes)}
    grants = _grants(volumes)
    allowed = client.state == Client.State.APPROVED and (not current or unlocking.on_the_lan(client, now=now))

    def wish(volume: Volume) -> VolumeWish:
        opening = current.get(volume.pk)
        if opening is not None:
            opening.volume = volume
        open_ = opening is not None and allowed and unlocking.may_be_open(opening, now=now)
        return VolumeWish(
            volume=str(volume.pk),
            owner=person_id(volume.owner),
            owner_name=volume.owner.get_full_name() or volume.owner.get_username(),
            limit_bytes=volume.limit_bytes,
            session=str(opening.pk) if opening is not None and open_ else "",
            nonce=opening.nonce if opening is not None and open_ else "",
            grants=grants.get(volume.pk, []),
            grants_revision=volume.grants_revision,
            account=volume.owner.get_username(),
        )

    return [wish(volume) for volume in volumes]


def _grants(volumes: list[Volume]) -> dict[object, list[Grant]]:
    found: dict[object, list[Grant]] = {}
    rows = FolderGrant.objects.filter(volume__in=volumes).select_related("person__directory_user")
    for row in rows.order_by("pk"):
        grant = Grant(path=bytes(row.path), person=person_id(row.person), access=Access(row.access))
        found.setdefault(row.volume_id, []).append(grant)
    return found


def _authority(file: Path) -> str:
    return file.read_text()


def _close_what_is_locked(volume: Volume, told: VolumeReport, *, now: datetime) -> None:
    """A report may be older than a new logon: only one about the session that is current closes it. A PC that
    refuses a session names it, too."""
    if told.state not in LOCKED:
        return
    about = Opening.objects.of_session(told.session)
    if not told.session:
        about = Opening.objects.of_session(volume.told.get("session", "")).filter(state=Opening.State.OPEN)
    for opening in about.filter(volume=volume):
        opening.volume = volume
        reason = told.proof.reason if told.proof else told.code
        unlocking.close(opening, reason=(reason or "pc_locked")[:40], now=now)


def _hear(client: Client, body: bytes, now: datetime) -> None:
    hear(client, codec.decode(body, MydocReport), now=now)


def _revoked(*, client: Client, now: datetime, **_signal: object) -> None:
    unlocking.close_all_of(client, reason="pc_revoked", now=now)
