"""The server's half of each volume's LAN key: wrapped in its row by a key that is not in the database.

A copy of the database gives nothing away, neither does a copy of the key directory. Once a half is deleted,
the volume is opened by the recovery custodians alone.
"""

import secrets
import uuid

from django.db import transaction
from django.utils.translation import gettext_lazy as _

from clients import auditing
from clients.enrolment import signing
from clients.errors import Refusal
from mydoc.models import Volume
from vrasnode import sealing


def fresh(volume_id: uuid.UUID) -> bytes:
    """A new half, wrapped for its row."""
    keys = signing.store()
    # Halves that are there were wrapped by a key: where that is missing, a new one would hide the loss.
    if not Volume.objects.exclude(server_half=None).exists():
        keys.make_wrapping_key()
    return keys.wrap(secrets.token_bytes(sealing.HALF_BYTES), _context(volume_id))


def half_of(volume: Volume) -> bytes:
    """The half itself, for one answer. Raises Refusal: half_deleted, not_unwrapped, no_keys."""
    if volume.server_half is None:
        raise half_deleted()
    return signing.store().unwrap(bytes(volume.server_half), _context(volume.pk))


def forget(volume: Volume, *, reason: str) -> None:
    """Deletes the half. Raises Refusal(half_deleted) when that was done before."""
    with transaction.atomic():
        if not Volume.objects.filter(pk=volume.pk).exclude(server_half=None).update(server_half=None):
            raise half_deleted()
        volume.server_half = None
        auditing.record("volume.half_deleted", volume, reason=reason)


def half_deleted() -> Refusal:
    return Refusal(
        "half_deleted",
        _("The server's half of this volume's key was deleted. Only the recovery custodians can open it."),
    )


def _context(volume_id: uuid.UUID) -> str:
    return f"openvras server half v1 {volume_id}"
