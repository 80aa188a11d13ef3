"""The certificate of what was erased of a lost PC: what the server heard and what it did, no more, signed by
the installation. Anybody with its root's public key can check it (`vrasctl pc check-erasure`).
"""

from datetime import datetime
from uuid import UUID

import msgspec
from django.utils.translation import gettext_lazy as _

from clients.enrolment import signing
from clients.errors import Refusal
from mydoc.models import Loss
from vrasnode.wire.mydoc import Erasure, ErasureCertificate, KillReport
from vrasnode.wire.signatures import Role

NOTHING_ERASED = Refusal(
    "nothing_erased",
    _(
        "Nothing is erased yet: the PC has not been heard since it was declared lost, and the time to undo, "
        "after which the server deletes its own halves of the keys, is not over."
    ),
    status=409,
)


def may_be_certified(loss: Loss) -> bool:
    """Whether something was erased that no longer can be undone."""
    return loss.acknowledged_at is not None or loss.halves_deleted_at is not None


def certificate(loss: Loss, *, now: datetime) -> ErasureCertificate:
    """Signed anew each time, for more may have been erased since. Raises Refusal: nothing_erased, no_keys."""
    if not may_be_certified(loss):
        raise NOTHING_ERASED
    told = KillReport(serial=loss.pk, volumes=[])
    if loss.acknowledged_at is not None:
        told = msgspec.convert(loss.acknowledged, KillReport)
    volumes = told.volumes
    if loss.halves_deleted_at is not None:  # of all that were on the PC then
        volumes = sorted({*volumes, *(stood["volume"] for stood in loss.then)})
    keys = signing.store()
    erasure = Erasure(
        erases=UUID(str(loss.client_id)),
        pc=loss.client.name,
        serial=loss.pk,
        declared=loss.declared_at,
        obeyed=loss.acknowledged_at,
        volumes=volumes,
        unread=told.unread,
        wiped=told.wiped,
        halves_deleted=loss.halves_deleted_at,
        issued=now,
    )
    return ErasureCertificate(erasure=keys.seal(erasure, Role.ASSIGNMENT), keyring=keys.statements())
