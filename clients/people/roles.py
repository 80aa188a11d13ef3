"""What a person may do here: roles, kept as Django groups of these names.

An administrator may do everything, an auditor and the help desk may look; whoever has no role may do nothing.
Local accounts with Django's staff or superuser flag are administrators.
"""

import logging
from collections.abc import Collection
from typing import Any

from django.contrib.auth.models import Group, User
from django.db import models

from clients import auditing
from clients.people.rolenames import Role

SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
logger = logging.getLogger(__name__)


READERS = {Role.ADMINISTRATOR, Role.AUDITOR, Role.HELP_DESK}


def role_of(user: Any) -> set[Role]:
    """Everything this account is; nothing for a stranger and for an account that is switched off."""
    if not (user.is_authenticated and user.is_active):
        return set()
    found = {Role(name) for name in user.groups.filter(name__in=Role.values).values_list("name", flat=True)}
    return found | {Role.ADMINISTRATOR} if _flagged(user) else found


def may_look(user: Any) -> bool:
    """Whether the portal and REST show things to this account."""
    return _flagged(user) or not READERS.isdisjoint(role_of(user))


def may_change(user: Any) -> bool:
    """Whether this account may act: administrators only, so far."""
    return _flagged(user) or Role.ADMINISTRATOR in role_of(user)


def may(user: Any, method: str | None) -> bool:
    """Whether this account may send such a request."""
    return may_look(user) if method in SAFE_METHODS else may_change(user)


def keep(user: User, wanted: Collection[Role]) -> set[Role]:
    """Gives `user` these roles and no other; returns what they have now. Call it inside a transaction.

    The last administrator keeps that role, whatever is wanted: else nobody could ever give it again.
    """
    before, after = role_of(user), set(wanted)
    if Role.ADMINISTRATOR in before - after and not others_administer(user):
        logger.warning("%s stays administrator: there is no other one. Make a local one first.", user)
        after.add(Role.ADMINISTRATOR)
    if after == before:
        return after
    user.groups.remove(*Group.objects.filter(name__in=before - after))
    user.groups.add(*(Group.objects.get_or_create(name=role.value)[0] for role in sorted(after - before)))
    # Django's own doors (its admin, its checks) know administrators by this flag.
    user.is_staff = Role.ADMINISTRATOR in after
    user.save(update_fields=["is_staff"])
    auditing.record("user.roles", user, before={"roles": sorted(before)}, after={"roles": sorted(after)})
    return after


def local_administrator() -> bool:
    """Whether an account of this server itself, with a password of its own, is administrator."""
    rows = User.objects.filter(is_active=True, is_superuser=True, directory_user=None)
    return any(row.has_usable_password() for row in rows)


def others_administer(user: User) -> bool:
    """Whether somebody else could still log in as administrator."""
    others = User.objects.filter(is_active=True).exclude(pk=user.pk)
    flagged = models.Q(is_superuser=True) | models.Q(is_staff=True)
    rows = others.filter(flagged | models.Q(groups__name=Role.ADMINISTRATOR))
    # A local account needs a password of ours; one of the directory has its password there.
    return any(row.has_usable_password() or hasattr(row, "directory_user") for row in rows.distinct())


def _flagged(user: Any) -> bool:
    return bool(user.is_authenticated and user.is_active and (user.is_superuser or user.is_staff))
