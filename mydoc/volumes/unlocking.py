"""How user data is opened and locked, in the order it is lived: proof, key, lock.

A proven logon is an `Opening`; while it is current, the PC's slice names it, and the PC may ask for the
server's half of the key. Nothing here reaches a PC: what it holds open it closes when the slice no longer
says so.
"""

import logging
import re
import uuid
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils.translation import gettext_lazy as _

from clients import auditing, networks, nudge, presence
from clients.errors import Refusal, WrongState
from clients.models import Client
from mydoc.models import Lockout, Opening, Volume
from mydoc.volumes import accounts, halves, recovering
from mydoc.volumes.recovering import no_session
from vrasnode import sealing
from vrasnode.wire.mydoc import KeyAnswer, KeyRequest

if TYPE_CHECKING:
    from django.contrib.auth.models import User

log = logging.getLogger("openvras.mydoc")

NONCE = re.compile(r"[0-9a-f]{32,64}")


class NotProven(Refusal):
    """Nobody has logged on by this."""

    status = 401


def prove(user: "User", client: Client | None, *, nonce: str, address: str, now: datetime) -> Opening:
    """`user` has proven who they are, from `address`, with a nonce that they say this PC gave them.

    That it did, the PC itself sees: the nonce comes back to it and to no other. A logon takes the place of
    the one before it. Raises Refusal: not_on_the_lan, unknown_client, locked_out, no_custodians,
    half_deleted, nonce_used, a `No`.
    """
    if not networks.inside(address):
        raise not_on_the_lan()
    if client is None or client.state != Client.State.APPROVED:
        raise Refusal("unknown_client", _("This PC is not a member here. Enrol it."), status=404)
    if not NONCE.fullmatch(nonce):
        raise Refusal("bad_nonce", _("This is no nonce: 32 hexadecimal digits."), status=400)
    _stand(user, now=now)
    if Opening.objects.filter(nonce=nonce).exists():
        raise _nonce_used()
    try:
        with transaction.atomic():
            hold(client)
            volume = _volume(user, client)
            for before in Opening.objects.current().filter(volume=volume):
                with suppress(WrongState):  # closed meanwhile, by whatever it was
                    before.end(reason="logged_on_again", now=now)
            opening = Opening.objects.create(volume=volume, nonce=nonce, address=address, asked_at=now)
            auditing.record("opening.asked", opening, after={"address": address})
    except IntegrityError as error:  # the same nonce, or two logons, at the same moment
        raise _nonce_used() from error
    _tell(opening.volume)
    return opening


def give_key(client: Client, request: KeyRequest, *, now: datetime) -> KeyAnswer:
    """The server's half of a volume's key, sealed for this one answer; the opening is open from now on.

    The directory is asked again, whatever was proven before. Raises Refusal: no_session, locked_out,
    not_on_the_lan, half_deleted, bad_reply_key, a `No` (the opening is closed then), DirectoryFailed.
    """
    opening = _opening(client, request)
    if Lockout.objects.current().filter(client=client).exists():
        raise locked_out()
    if not on_the_lan(client, now=now):
        raise not_on_the_lan()
    found = accounts.ask(opening.volume.owner, now=now)
    if found.no is not None:
        close(opening, reason=found.no, now=now)
        raise _refused(found.no)
    half = halves.half_of(opening.volume)
    try:
        purpose = sealing.half_purpose(request.volume, request.session)
        sealed = sealing.seal(half, request.reply_key, purpose=purpose)
    except ValueError as error:
        raise Refusal("bad_reply_key", _("The reply key is no X25519 public key."), status=400) from error
    _open(opening, found, now=now)
    return KeyAnswer(sealed=sealed)


def close(opening: Opening, *, reason: str, now: datetime) -> bool:
    """The volume is to be locked; False when it was closed before."""
    try:
        opening.end(reason=reason, now=now)
    except WrongState:
        return False
    log.info("%s closed: %s", opening.volume, reason)
    _tell(opening.volume)
    return True


def close_by_hand(opening: Opening, *, reason: str, now: datetime) -> None:
    """An administrator locks it now. Raises WrongState when it is locked."""
    opening.end(reason="by_hand", words=reason, now=now)
    _tell(opening.volume)


def close_all_of(client: Client, *, reason: str, now: datetime) -> int:
    """Every opening on this PC; returns how many there were."""
    rows = Opening.objects.current().filter(volume__client=client).select_related("volume__owner")
    return sum(close(opening, reason=reason, now=now) for opening in rows)


def forget_half(volume: Volume, *, reason: str, confirm: str, now: datetime) -> None:
    """Deletes the server's half for good and locks the volume. `confirm` is the volume's name, typed.

    Raises Refusal: not_confirmed (its words say what will happen), half_deleted.
    """
    if confirm != str(volume):
        raise Refusal("not_confirmed", _preview(volume), status=400, confirm=str(volume))
    with transaction.atomic():
        halves.forget(volume, reason=reason)
        for opening in Opening.objects.current().filter(volume=volume):
            close(opening, reason="half_deleted", now=now)


def on_the_lan(client: Client, *, now: datetime) -> bool:
    """Whether a PC calls from the company's networks: by the request at hand, else by its last heartbeat."""
    if client.seen_from:
        return networks.inside(client.seen_from)
    return not presence.of([client], now=now)[client.pk].outside


def may_be_open(opening: Opening, *, now: datetime) -> bool:
    """Whether the rows still allow it, by themselves: everything that needs no sweep."""
    ended = opening.expires_at is not None and opening.expires_at <= now
    half = opening.volume.server_half is not None
    return half and not ended and opening.volume.owner.is_active and opening.state != Opening.State.CLOSED


def locked_out() -> Refusal:
    return Refusal(
        "locked_out",
        _("This PC was away for too long: user data stays locked until an administrator lets it in again."),
        status=403,
    )


def not_on_the_lan() -> Refusal:
    return Refusal(
        "not_on_the_lan",
        _("User data opens on the company's network only, and this address is not of it."),
        status=403,
    )


def hold(client: Client) -> None:
    """Keeps the PC from being declared lost until this transaction is done; it was not until now. Raises
    Refusal: unknown_client, locked_out."""
    row = Client.objects.select_for_update(of=("self",)).get(pk=client.pk)
    if row.state != Client.State.APPROVED:
        raise Refusal("unknown_client", _("This PC is not a member here. Enrol it."), status=404)
    if Lockout.objects.current().filter(client=client).exists():
        raise locked_out()


def _stand(user: "User", *, now: datetime) -> None:
    found = accounts.ask(user, now=now)
    if found.no is not None:
        raise _refused(found.no)


def _volume(user: "User", client: Client) -> Volume:
    """This user's volume on this PC, made at the first logon."""
    volume = Volume.objects.select_related("owner", "client").filter(owner=user, client=client).first()
    if volume is not None:
        if volume.server_half is None:
            raise halves.half_deleted()
        if volume.recovery is None:
            _demand_custodians()
        return volume
    _demand_custodians()
    key = uuid.uuid4()
    volume = Volume.objects.create(
        pk=key,
        owner=user,
        client=client,
        server_half=halves.fresh(key),
        limit_bytes=settings.VOLUME_LIMIT_BYTES,
    )
    auditing.record("volume.created", volume)
    return volume


def _demand_custodians() -> None:
    if not recovering.active():
        raise Refusal(
            "no_custodians",
            _(
                "Two recovery custodians have to be registered before user data is kept: "
                "vrasctl recovery make-key, vrasctl recovery register."
            ),
            status=503,
        )


def _opening(client: Client, request: KeyRequest) -> Opening:
    opening = (
        Opening.objects.of_session(request.session)
        .filter(volume__client=client)
        .select_related("volume__owner__directory_user", "volume__client")
        .first()
    )
    if opening is None or str(opening.volume_id) != request.volume or client.state != Client.State.APPROVED:
        raise no_session()
    return opening


def _open(opening: Opening, found: accounts.Standing, *, now: datetime) -> None:
    """A PC that asks again for the same logon (it was killed meanwhile) is answered again."""
    asked_of: dict[str, Any] = {"checked_at": now, "expires_at": found.expires}
    with transaction.atomic():
        row = (
            Opening.objects.select_for_update(of=("self",))
            .select_related("volume__client")
            .get(pk=opening.pk)
        )
        # While the directory was asked: somebody closed it, or said that the PC is lost.
        if row.state == Opening.State.CLOSED or row.volume.client.state != Client.State.APPROVED:
            raise no_session()
        if row.state == Opening.State.ASKED:
            opening.move(Opening.State.OPEN, opened_at=now, **asked_of)
        else:
            Opening.objects.filter(pk=opening.pk).update(**asked_of)
            auditing.record("opening.key_given_again", opening)
    _show(opening.volume)


def _refused(no: accounts.No) -> Refusal:
    return Refusal(no.value, accounts.WORDS[no], status=403)


def _nonce_used() -> Refusal:
    return Refusal("nonce_used", _("This logon was used before. Log on again."), status=403)


def _preview(volume: Volume) -> str:
    if volume.recovery is None:
        after = _("No recovery key was deposited: what is in it will be lost for ever.")
    else:
        after = _("From then on only the two recovery custodians together can open it.")
    return _(
        "This deletes the server's half of the key of %(volume)s: it is locked and never opens again by a "
        "logon. %(after)s To do it, give its name as `confirm`."
    ) % {"volume": volume, "after": after}


def _tell(volume: Volume) -> None:
    nudge.node(volume.client)
    _show(volume)


def _show(volume: Volume) -> None:
    nudge.pages("volumes", f"client.{volume.client_id}")
