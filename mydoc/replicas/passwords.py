"""The secrets of each volume's replica, wrapped in its row by a key that is not in the database.

What opens the repository is wrapped for the two custodians as well: with their keys and a plain restic a
replica is read without this server.
"""

import secrets

from django.utils.translation import gettext_lazy as _

from clients import auditing
from clients.enrolment import signing
from clients.errors import Refusal
from mydoc.models import Replica, Volume
from mydoc.volumes import recovering
from vrasnode import sealing

SECRET_BYTES = 32


def replica_of(volume: Volume) -> Replica:
    """The volume's replica, made with its secrets where there is none."""
    found = Replica.objects.filter(volume=volume).first()
    if found is not None:
        return found
    keys, opens = signing.store(), secrets.token_hex(SECRET_BYTES)
    if not Volume.objects.exclude(server_half=None).exists():
        keys.make_wrapping_key()
    custodians = recovering.active()
    row, _made = Replica.objects.get_or_create(
        volume=volume,
        defaults={
            "password": keys.wrap(secrets.token_hex(SECRET_BYTES).encode(), _context(volume, "password")),
            "repository_password": keys.wrap(opens.encode(), _context(volume, "repository")),
            "recovery": sealing.wrap_for_custodians(
                opens.encode(), [bytes(one.public_key) for one in custodians], volume=f"replica {volume.pk}"
            )
            if custodians
            else None,
            "recovery_custodians": recovering.fingerprints(custodians),
        },
    )
    return row


def hand_out(volume: Volume, *, reason: str) -> Replica:
    """The replica with what opens it, wrapped for both custodians together; audited. With it and a plain
    restic a replica is read without this server. Raises Refusal(no_recovery)."""
    replica = Replica.objects.filter(volume=volume).first()
    if replica is None or replica.recovery is None:
        raise Refusal(
            "no_recovery",
            _("No recovery key of this replica was wrapped: there were no two custodians then."),
        )
    after = {"custodians": replica.recovery_custodians}
    auditing.record("replica.recovered", volume, after=after, reason=reason)
    return replica


def password_of(replica: Replica) -> str:
    """What the gateway wants to hear. Raises Refusal: not_unwrapped, no_keys."""
    context = f"openvras replica password v1 {replica.volume_id}"
    return signing.store().unwrap(bytes(replica.password), context).decode()


def repository_password_of(replica: Replica) -> str:
    """What opens the repository. Raises Refusal: not_unwrapped, no_keys."""
    context = f"openvras replica repository v1 {replica.volume_id}"
    return signing.store().unwrap(bytes(replica.repository_password), context).decode()


def _context(volume: Volume, what: str) -> str:
    return f"openvras replica {what} v1 {volume.pk}"
