"""A request as its requester lives it: submitted, mended when it was sent back, withdrawn, given back."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from django.utils.translation import gettext_lazy as _

from checkout import chaining, lending
from checkout.chaining import Link, Terms
from checkout.models import CheckoutRequest
from clients import auditing, nudge
from clients.errors import Refusal
from clients.models import Client
from mydoc import bytepaths
from mydoc.models import Volume

State = CheckoutRequest.State
AHEAD = timedelta(days=180)
MAX_FOLDERS = 50


@dataclass(frozen=True)
class Wish:
    """What somebody asks for. `folders` are paths from the volume's root; none is everything."""

    starts: datetime
    ends: datetime
    purpose: str
    destination: str
    contact: str
    folders: Sequence[bytes] = ()


def volumes_of(user: User) -> list[Volume]:
    """The data that somebody may ask for: their own, on PCs that are members here."""
    rows = Volume.objects.filter(owner=user.pk, client__state=Client.State.APPROVED)
    return list(rows.select_related("client__group").order_by("client__name"))


def submit(volume: Volume, wish: Wish, *, by: User, now: datetime) -> CheckoutRequest:
    """It waits for the first step of the chain of the PC's group.

    Raises Refusal: not_yours, no_tpm, bad_period, too_long, overlaps, bad_folders, no_manager, own_chain …
    """
    terms = _checked(volume, wish, by=by, now=now)
    chain = chaining.people_of(terms.chain, by)
    with transaction.atomic():
        _hold(volume, wish)
        request = CheckoutRequest.objects.create(
            requester=by,
            volume=volume,
            client=volume.client,
            group=volume.client.group,
            asked_ends=wish.ends,
            steps_total=len(chain),
            created_at=now,
            waits_since=now,
            **_fields(wish),
        )
        chaining.freeze(request, chain)
        auditing.record("checkoutrequest.submitted", request, after=_plain(request, chain))
    _show(request)
    return request


def mend(request: CheckoutRequest, wish: Wish, *, by: User, now: datetime) -> None:
    """Submits it anew, after it was sent back: by the chain of now, from its first step.

    Raises the same as `submit`, and WrongState.
    """
    if request.requester_id != by.pk:
        raise not_yours()
    terms = _checked(request.volume, wish, by=by, now=now)
    chain = chaining.people_of(terms.chain, by)
    with transaction.atomic():
        _hold(request.volume, wish, besides=request)
        request.move(
            State.WAITING,
            start=State.SENT_BACK,
            round=request.round + 1,
            group=request.client.group,
            asked_ends=wish.ends,
            steps_total=len(chain),
            steps_done=0,
            waits_since=now,
            **_fields(wish),
        )
        chaining.freeze(request, chain)
    _show(request)


def withdraw(request: CheckoutRequest, *, by: User, now: datetime) -> None:
    """As if it had not been asked for. What is lent is given back instead. Raises not_yours, WrongState."""
    if request.requester_id != by.pk:
        raise not_yours()
    request.move(State.WITHDRAWN, ended_at=now)
    _show(request)


def give_back(request: CheckoutRequest, *, by: User, now: datetime) -> None:
    """Early: the PC locks at once when it hears of it, and throws its part of the key away.

    Raises not_yours, WrongState.
    """
    if request.requester_id != by.pk:
        raise not_yours()
    with transaction.atomic():
        request.move(State.RETURNED, ended_at=now)
        lending.end(request, code="returned", now=now)
    _show(request)


def last_of(user: User) -> CheckoutRequest | None:
    """The one to copy: what they asked for last."""
    return CheckoutRequest.objects.filter(requester=user.pk).order_by("-pk").first()


def not_yours() -> Refusal:
    return Refusal("not_yours", _("This is somebody else's request, or somebody else's data."), status=403)


def _checked(volume: Volume, wish: Wish, *, by: User, now: datetime) -> Terms:
    """The terms that hold. Raises Refusal for what cannot be asked for."""
    if volume.owner_id != by.pk or volume.client.state != Client.State.APPROVED:
        raise not_yours()
    terms = chaining.of(volume.client.group)
    if lending.keeper_missing(volume.client, software=terms.software):
        raise Refusal("no_tpm", lending.OBSTACLES["no_tpm"])
    if not now < wish.ends or not wish.starts < wish.ends or wish.starts > now + AHEAD:
        raise Refusal(
            "bad_period",
            _("The period has to end after it begins, after now, and to begin within half a year."),
            status=400,
        )
    if wish.ends - max(wish.starts, now) > timedelta(days=terms.max_days):
        raise Refusal(
            "too_long",
            _("PCs of this group are lent for at most %(days)d days.") % {"days": terms.max_days},
            status=400,
        )
    _check_folders(wish.folders)
    return terms


def _check_folders(folders: Sequence[bytes]) -> None:
    try:
        good = len(folders) <= MAX_FOLDERS and all(bytepaths.checked(path) for path in folders)
    except ValueError:
        good = False
    if not good:
        raise Refusal(
            "bad_folders",
            _("Name at most %(count)d folders, each from the top, such as Documents/plans.")
            % {"count": MAX_FOLDERS},
            status=400,
        )


def _hold(volume: Volume, wish: Wish, *, besides: CheckoutRequest | None = None) -> None:
    """Keeps others from asking for the same volume meanwhile. Raises Refusal(overlaps)."""
    Volume.objects.select_for_update(of=("self",)).get(pk=volume.pk)
    rows = CheckoutRequest.objects.live().filter(volume=volume, starts__lt=wish.ends, ends__gt=wish.starts)
    if besides is not None:
        rows = rows.exclude(pk=besides.pk)
    if (other := rows.first()) is not None:
        raise Refusal(
            "overlaps",
            _("Request %(number)s is about the same days. Withdraw it or give it back first.")
            % {"number": f"#{other.pk}"},
        )


def _fields(wish: Wish) -> dict[str, Any]:
    return {
        "starts": wish.starts,
        "ends": wish.ends,
        "purpose": wish.purpose,
        "destination": wish.destination,
        "contact": wish.contact,
        "folders": [bytepaths.word(path) for path in wish.folders],
    }


def _plain(request: CheckoutRequest, chain: Sequence[Link]) -> dict[str, Any]:
    return {
        "starts": request.starts.isoformat(),
        "ends": request.ends.isoformat(),
        "purpose": request.purpose,
        "destination": request.destination,
        "chain": [f"{link.kind}: {link.words}" for link in chain],
    }


def _show(request: CheckoutRequest) -> None:
    nudge.node(request.client)
    nudge.pages("checkouts", f"my.{request.requester_id}", f"client.{request.client_id}")
