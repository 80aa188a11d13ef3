"""Who else than its owner may read or change which folder: what is wanted lies here, what is so tells the PC.

A PC that is off has applied nothing, and that is said: pending is never done.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.utils.translation import gettext_lazy as _

from clients import auditing, nudge
from clients.errors import Refusal
from clients.people import admitting, directory
from clients.people.directorysettings import DirectorySettings
from mydoc import bytepaths
from mydoc.models import FolderGrant, Volume
from mydoc.tree import browsing
from mydoc.volumes.standing import Standing
from vrasnode.wire import mydoc as wire

MAX_GRANTS = 500  # of one volume: its PC is told all of them at once
MAX_SUGGESTED = 20


class Progress(StrEnum):
    """How far the wanted sharing has come."""

    NOTHING = "nothing"  # never shared
    APPLIED = "applied"  # the PC set it and read it back
    PENDING = "pending"
    FAILED = "failed"


@dataclass(frozen=True)
class Applied:
    """Whether what is wanted is so, and if not, why."""

    progress: Progress
    words: Any = ""


def applied(standing: Standing) -> Applied:
    """How far this volume's sharing has come."""
    volume, told = standing.volume, standing.told
    if not volume.grants_revision:
        return Applied(Progress.NOTHING)
    if told is not None and told.grants_revision == volume.grants_revision:
        return Applied(Progress.APPLIED)
    if standing.state == "off":
        return Applied(
            Progress.PENDING, _("The PC is off. It is done when the PC is on and its user logs on.")
        )
    if not standing.open:
        return Applied(Progress.PENDING, _("The data is locked. It is done when its user logs on."))
    if told is not None and told.grants_failed:
        return Applied(Progress.FAILED, bytepaths.readable(told.grants_failed, 300))
    return Applied(Progress.PENDING, _("The PC was told. It takes a few seconds."))


def on_folder(volume: Volume, path: bytes) -> tuple[list[FolderGrant], list[FolderGrant]]:
    """The grants on this folder itself, and those that it has from the folders above it."""
    above = [b"", *bytepaths.steps(path)]
    rows = list(volume.grants.select_related("person").filter(path__in=above))
    return [row for row in rows if bytes(row.path) == path], [row for row in rows if bytes(row.path) != path]


def with_person(user: Any) -> QuerySet[FolderGrant]:
    """What is shared with somebody."""
    rows = FolderGrant.objects.filter(person=user.pk)
    return rows.select_related("volume__owner", "volume__client", "person").order_by("volume", "path")


def people(words: str, *, volume: Volume) -> QuerySet[User]:
    """Those known here whose name holds all of `words`, the owner excepted."""
    rows = get_user_model()._default_manager.filter(is_active=True).exclude(pk=volume.owner_id)
    for part in words.split():
        rows = rows.filter(
            Q(username__icontains=part) | Q(first_name__icontains=part) | Q(last_name__icontains=part)
        )
    return rows.order_by("username")


def from_directory(name: str) -> User | None:
    """Somebody of the company's directory who logs on by exactly this name, and may never have been here.

    Raises DirectoryFailed, and what `admitting.introduce` raises.
    """
    place: DirectorySettings | None = settings.DIRECTORY
    if place is None:
        return None
    with directory.asked(place) as link:
        person = directory.find(link, place, name)
        if person is None:
            return None
        return admitting.introduce(
            person,
            wanted=directory.roles_of(link, place, person.dn),
            find_again=lambda guid: directory.find_again(link, place, guid),
        )


def share(
    volume: Volume,
    path: bytes,
    *,
    person: User,
    access: wire.Access,
    revision: int | None,
    reason: str,
    now: datetime,
) -> FolderGrant:
    """`person` may read, or change, a folder and all below it; instead of what they might before.

    Raises Refusal: sharing_changed when somebody was faster than `revision` (None: whatever it is), bad_path,
    is_owner, too_many_grants.
    """
    try:
        bytepaths.checked(path)
    except ValueError as error:
        raise Refusal("bad_path", _("There can be no such folder."), status=400) from error
    if person.pk == volume.owner_id:
        raise Refusal("is_owner", _("It is their own data: they may change it anyway."), status=400)
    with transaction.atomic():
        _step(volume, revision)
        grant, _new = FolderGrant.objects.update_or_create(
            volume=volume,
            path=path,
            person=person,
            defaults={
                "access": access.value,
                "reason": reason[:200],
                "created_by": auditing.actor().name,
                "created_at": now,
            },
        )
        if volume.grants.count() > MAX_GRANTS:
            raise Refusal(
                "too_many_grants",
                _("One user's data is shared at most %(count)d times. Share a folder further up.")
                % {"count": MAX_GRANTS},
            )
        _record(grant, "share", reason=reason, now=now)
    _tell(volume, person)
    return grant


def withdraw(grant: FolderGrant, *, revision: int | None, reason: str, now: datetime) -> None:
    """They may it no longer. Raises Refusal(sharing_changed)."""
    volume = grant.volume
    with transaction.atomic():
        _step(volume, revision)
        _record(grant, "unshare", reason=reason, now=now)
        FolderGrant.objects.filter(pk=grant.pk).delete()
    _tell(volume, grant.person)


def _step(volume: Volume, revision: int | None) -> None:
    """The one UPDATE by which of two who save at once only one does."""
    rows = Volume.objects.filter(pk=volume.pk)
    if revision is not None:
        rows = rows.filter(grants_revision=revision)
    if not rows.update(grants_revision=F("grants_revision") + 1):
        raise Refusal(
            "sharing_changed",
            _("Somebody changed this sharing meanwhile. Look at it again; nothing of yours was saved."),
            status=412,
        )
    volume.refresh_from_db(fields=["grants_revision"])


def _record(grant: FolderGrant, act: str, *, reason: str, now: datetime) -> None:
    """For the owner and the audit log: with whom, how, why."""
    about = {"person": grant.person.get_username(), "access": grant.access}
    browsing.record(grant.volume, act, bytes(grant.path), reason=reason, now=now, about=about)


def _tell(volume: Volume, person: User) -> None:
    nudge.node(volume.client)
    nudge.pages("volumes", f"volume.{volume.pk}", f"my.{volume.owner_id}", f"my.{person.pk}")
