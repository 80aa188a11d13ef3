"""What opens a volume when nothing else does: two custodians, the deposit of each new volume, and its use."""

from collections.abc import Sequence
from datetime import datetime

from django.db import IntegrityError, transaction
from django.utils.translation import gettext_lazy as _

from clients import auditing, nudge
from clients.errors import Refusal
from clients.models import Client
from mydoc.models import Custodian, Opening, Volume
from vrasnode.wire.mydoc import RecoveryDeposit, VolumeState
from vrasnode.wire.signatures import fingerprint

KEY_BYTES = 32
MAX_WRAPPED_BYTES = 1024
UNUSED = {"", VolumeState.ABSENT.value, VolumeState.OPENING.value}  # what was told of a volume not used yet


def appoint(*, name: str, place: int, public_key: bytes) -> Custodian:
    """A custodian takes a place; who had it is replaced. Raises Refusal: bad_key, key_known."""
    if len(public_key) != KEY_BYTES or not any(public_key):
        raise Refusal("bad_key", _("A custodian's key is an X25519 public key: 32 bytes."), status=400)
    mark = fingerprint(public_key)
    if Custodian.objects.filter(fingerprint=mark).exists():
        raise Refusal(
            "key_known", _("This key is, or was, a custodian's. Each place takes a key of its own, once.")
        )
    try:
        with transaction.atomic():
            for before in Custodian.objects.filter(place=place, state=Custodian.State.ACTIVE):
                before.move(Custodian.State.REPLACED)
            custodian = Custodian.objects.create(
                name=name, place=place, public_key=public_key, fingerprint=mark
            )
            auditing.record("custodian.appointed", custodian, after={"place": place, "fingerprint": mark})
    except IntegrityError as error:
        raise Refusal("place_taken", _("Somebody else took this place meanwhile. Look again.")) from error
    nudge.nodes(list(Client.objects.approved()))
    return custodian


def active() -> list[Custodian]:
    """Those of now, in their order; both or none: one alone recovers nothing."""
    found = list(Custodian.objects.filter(state=Custodian.State.ACTIVE).order_by("place"))
    return found if len(found) == len(Custodian.Place.values) else []


def deposit(client: Client, wish: RecoveryDeposit, *, now: datetime) -> None:
    """Keeps the wrapped recovery key of a volume of this PC. The same bytes may come again.

    Another key replaces it only while the volume was never used, or when the custodians are others by now.
    Raises Refusal: no_session, not_the_custodians, bad_deposit, recovery_there.
    """
    if not (0 < len(wish.wrapped) <= MAX_WRAPPED_BYTES and 0 < len(wish.luks_uuid) <= 36):
        raise Refusal("bad_deposit", _("This is no wrapped recovery key."), status=400)
    with transaction.atomic():
        volume = _volume(client, wish)
        if volume.recovery is not None and bytes(volume.recovery) == wish.wrapped:
            return
        if wish.custodians != fingerprints(active()) or not wish.custodians:
            raise Refusal(
                "not_the_custodians", _("The custodians are others by now. Wrap the recovery key for them.")
            )
        if not _may_replace(volume, wish):
            raise Refusal("recovery_there", _("This volume's recovery key was deposited before."))
        before = volume.recovery_custodians
        fields = {
            "luks_uuid": wish.luks_uuid,
            "recovery": wish.wrapped,
            "recovery_custodians": wish.custodians,
        }
        Volume.objects.filter(pk=volume.pk).update(**fields)
        auditing.record(
            "volume.recovery_deposited",
            volume,
            before={"custodians": before},
            after={"custodians": wish.custodians, "luks_uuid": wish.luks_uuid},
        )


def hand_out(volume: Volume, *, reason: str) -> bytes:
    """The wrapped recovery key, for both custodians together; audited. Raises Refusal(no_recovery)."""
    if volume.recovery is None:
        raise Refusal(
            "no_recovery", _("No recovery key of this volume was deposited: it was never used, then.")
        )
    auditing.record(
        "volume.recovered", volume, after={"custodians": volume.recovery_custodians}, reason=reason
    )
    return bytes(volume.recovery)


def fingerprints(custodians: Sequence[Custodian]) -> list[str]:
    """As a deposit names them: outer first."""
    return [custodian.fingerprint for custodian in custodians]


def _volume(client: Client, wish: RecoveryDeposit) -> Volume:
    opening = (
        Opening.objects.of_session(wish.session)
        .filter(volume__client=client)
        .select_related("volume__owner", "volume__client")
        .first()
    )
    if opening is None or str(opening.volume_id) != wish.volume:
        raise no_session()
    return Volume.objects.select_for_update(of=("self",)).get(pk=opening.volume_id)


def _may_replace(volume: Volume, wish: RecoveryDeposit) -> bool:
    if volume.recovery is None or volume.told.get("state", "") in UNUSED:
        return True
    return volume.recovery_custodians != wish.custodians and volume.luks_uuid == wish.luks_uuid


def no_session() -> Refusal:
    return Refusal(
        "no_session",
        _("This logon has ended, or was never proven here: the volume stays locked. Log on again."),
        status=403,
    )
