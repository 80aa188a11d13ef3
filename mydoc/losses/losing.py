"""A lost PC, in the order it is lived: declared, refused, told to forget, its keys deleted; or found again.

Nothing is told to a PC that may never be heard again: that its state is `lost` is enough for every door to
refuse it and for every slice to hold no logon. What is open is closed in the same transaction. The one answer
that a lost PC still gets is the order to lock and to throw away its halves of the keys: it waits for a
contact that may never come. The server's halves go when the time to undo is over.
"""

import logging
from datetime import datetime
from typing import Any

import msgspec
from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from redis.exceptions import RedisError

from clients import auditing, nudge, presence
from clients.enrolment import identity, signing
from clients.errors import Refusal
from clients.models import Client
from clients.people import calling, roles
from clients.signals import client_joined, client_lost
from mydoc.models import Loss, Opening, Volume
from mydoc.replicas import lastreplica
from mydoc.volumes import halves
from vrasnode.wire.mydoc import KillNotice, KillOrder, KillReport
from vrasnode.wire.signatures import Role

log = logging.getLogger("openvras.mydoc")

NOT_LOST = Refusal("not_lost", gettext_lazy("This PC is not lost."), status=404)


def may_declare(user: User, client: Client) -> bool:
    """Administrators; and who has this PC, be it that it was given to them or that nobody else's data is on a
    PC that was given to nobody."""
    if roles.may_change(user):
        return True
    if not roles.role_of(user) or client.state != Client.State.APPROVED:
        return False
    if client.assigned_user_id is not None:
        return client.assigned_user_id == user.pk
    owners = set(Volume.objects.filter(client=client).values_list("owner", flat=True))
    return owners == {user.pk}


def declare(
    client: Client,
    *,
    by: User,
    reason: str,
    confirm: str,
    now: datetime,
    seen_at: datetime | None = None,
    seen_where: str = "",
) -> Loss:
    """From now on the PC is refused and gets no key. `confirm` is its name, typed.

    Raises Refusal: not_yours, not_confirmed (its words say what will happen), wrong_state.
    """
    if not may_declare(by, client):
        raise Refusal(
            "not_yours", _("Only administrators, and who has a PC, can say that it is lost."), status=403
        )
    if confirm != client.name:
        said = [*preview(client, now=now), _("To do it, give its name as `confirm`.")]
        raise Refusal("not_confirmed", " ".join(said), status=400, confirm=client.name)
    heard = _last_contact(client, now=now)
    with transaction.atomic():
        client.move(Client.State.LOST, reason=reason)
        volumes = list(Volume.objects.filter(client=client).order_by("pk"))
        current = Opening.objects.current().filter(volume__in=volumes).select_related("volume")
        openings = {opening.volume_id: opening for opening in current}
        loss = Loss.objects.create(
            client=client,
            declared_at=now,
            declared_by=by.get_username(),
            reason=reason,
            seen_at=seen_at,
            seen_where=seen_where,
            last_contact=heard,
            then=[_stood(volume, openings.get(volume.pk)) for volume in volumes],
            halves_until=now + settings.LOST_UNDO,
        )
        for opening in openings.values():
            opening.end(reason="pc_lost", now=now)
        client_lost.send(Client, client=client, now=now)
        auditing.record("loss.declared", loss, after={"where": seen_where}, reason=reason)
        # Without Redis no door opens to any PC, and the row says the same.
        transaction.on_commit(lambda: identity.forget(client), robust=True)
    log.info("%s is lost, says %s", client, by)
    _show(client)
    nudge.node(client)
    return loss


def find_again(client: Client, *, reason: str, now: datetime) -> None:
    """Lets the PC in again, also after its keys were deleted. Raises WrongState when it is not lost."""
    with transaction.atomic():
        client.move(Client.State.APPROVED, start=Client.State.LOST, reason=reason)
        ended = {"ended_at": now, "ended_by": auditing.actor().name, "ended_reason": reason}
        loss = Loss.objects.current().filter(client=client).first()
        if loss is not None:
            Loss.objects.filter(pk=loss.pk).update(**ended)
            auditing.record("loss.ended", loss, reason=reason)
        client_joined.send(Client, client=client, now=now)
        transaction.on_commit(lambda: identity.welcome(client))
    _show(client)
    nudge.node(client)


def order_for(client: Client, *, now: datetime) -> KillNotice:
    """What a lost PC is told whenever it asks. Raises Refusal: not_lost, no_keys."""
    loss = Loss.objects.current().filter(client=client).first()
    if loss is None or client.state != Client.State.LOST:
        raise NOT_LOST
    keys = signing.store()
    order = KillOrder(kills=client.pk, serial=loss.pk, issued=loss.declared_at)
    notice = KillNotice(order=keys.seal(order, Role.ASSIGNMENT), keyring=keys.statements())
    with transaction.atomic():
        if Loss.objects.filter(pk=loss.pk, handed_out_at=None).update(handed_out_at=now):
            auditing.record("loss.handed_out", loss)
    _show(client)
    return notice


def acknowledge(client: Client, report: KillReport, *, now: datetime) -> None:
    """The PC has obeyed. Again is no harm. Raises Refusal(not_lost) for an order that it never had."""
    loss = Loss.objects.filter(pk=report.serial, client=client).first()
    if loss is None:
        raise NOT_LOST
    told = msgspec.to_builtins(report)
    with transaction.atomic():
        rows = Loss.objects.filter(pk=loss.pk, acknowledged_at=None)
        if report.failed:  # it tries again: until then nothing is acknowledged
            rows.update(acknowledged=told)
        elif rows.update(acknowledged_at=now, acknowledged=told):
            auditing.record("loss.acknowledged", loss, after=told)
    _show(client)


def delete_halves(*, now: datetime) -> int:
    """The sweep: deletes the server's halves of PCs whose time to undo is over; returns how many PCs."""
    done = 0
    for due in Loss.objects.current().filter(halves_until__lte=now, halves_deleted_at=None):
        with transaction.atomic():
            loss = Loss.objects.current().select_for_update(of=("self",)).filter(pk=due.pk).first()
            if loss is None or loss.halves_deleted_at is not None:
                continue  # found, or done, while we were looking
            for volume in Volume.objects.filter(client=loss.client_id).exclude(server_half=None):
                halves.forget(volume, reason=f"lost: {loss.reason}"[:500])
            Loss.objects.filter(pk=loss.pk).update(halves_deleted_at=now)
            auditing.record("loss.halves_deleted", loss)
        _show(loss.client)
        done += 1
    return done


def preview(client: Client, *, now: datetime) -> list[str]:
    """What it means to declare this PC lost, in words."""
    heard = _last_contact(client, now=now)
    said = [
        _("%(pc)s (%(owner)s), last heard: %(when)s")
        % {"pc": client, "owner": owner_of(client) or _("given to nobody"), "when": _when(heard)}
    ]
    for volume in Volume.objects.filter(client=client).select_related("owner", "client"):
        replica = lastreplica.last(volume, before=now)
        kept = _("last replica %(when)s") % {"when": _when(replica.at)} if replica else _("no replica")
        said.append(
            _("Data of %(owner)s: %(kept)s.") % {"owner": calling.name_of(volume.owner), "kept": kept}
        )
    said.append(
        _(
            "The server refuses this PC at once, locks its data and gives it no key. At its next contact "
            "the PC throws its own halves of the keys away: that cannot be undone. The server's halves are "
            "deleted %(when)s; after either only the two recovery custodians can open what is on it."
        )
        % {"when": _when(now + settings.LOST_UNDO)}
    )
    return said


def owner_of(client: Client) -> str:
    """Who has it, for people; "" when it was given to nobody."""
    user = client.assigned_user
    return calling.name_of(user) if user else ""


def _last_contact(client: Client, *, now: datetime) -> datetime | None:
    try:
        return presence.of([client], now=now)[client.pk].seen
    except RedisError:  # Redis does not answer: a PC is declared lost all the same
        return client.last_seen


def _stood(volume: Volume, opening: Opening | None) -> dict[str, Any]:
    """What is known of a volume in this moment, in plain values."""
    return {
        "volume": str(volume.pk),
        "told": volume.told,
        "told_at": volume.told_at.isoformat() if volume.told_at else None,
        "opening": str(opening.pk) if opening else None,
        "opening_state": str(opening.state) if opening else "",
        "address": opening.address if opening else None,
        "logged_on_at": opening.asked_at.isoformat() if opening else None,
    }


def _when(at: datetime | None) -> str:
    return date_format(timezone.localtime(at), "SHORT_DATETIME_FORMAT") if at else str(_("never"))


def _show(client: Client) -> None:
    owners = Volume.objects.filter(client=client).values_list("owner", flat=True)
    people = {*owners, client.assigned_user_id} - {None}
    nudge.pages("clients", "volumes", f"client.{client.pk}", *sorted(f"my.{pk}" for pk in people))
