"""Whether somebody may have their user data open, now: the directory's word, else ours."""

import uuid
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from django.conf import settings
from django.contrib.auth.models import User
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from ldap.ldapobject import LDAPObject

from clients.people import directory, roles
from clients.people.directorysettings import DirectorySettings
from clients.people.rolenames import Role


class No(StrEnum):
    """Why not. Codes: an opening that is closed for it keeps it as its reason."""

    GONE = "account_gone"
    DISABLED = "account_disabled"
    LOCKED_OUT = "account_locked_out"
    EXPIRED = "account_expired"
    NO_ROLE = "no_employee"
    SWITCHED_OFF = "switched_off"
    LOCAL = "not_in_directory"


WORDS: dict[No, str | Promise] = {
    No.GONE: _("This account is not in the company's directory any more."),
    No.DISABLED: _("The company's directory has disabled this account."),
    No.LOCKED_OUT: _("The company's directory has locked this account out. Wait, or ask your IT department."),
    No.EXPIRED: _("This account has expired in the company's directory."),
    No.NO_ROLE: _("This account is no employee here: it has no user data. Ask your IT department."),
    No.SWITCHED_OFF: _("This account is switched off here. Ask your administrator."),
    No.LOCAL: _("User data is for people of the company's directory: this is a local account."),
}


@dataclass(frozen=True)
class Standing:
    """`no` is None while nothing speaks against it; `expires` says until when at most."""

    no: No | None
    expires: datetime | None = None


def ask(user: User, *, now: datetime) -> Standing:
    """Asks the directory, right now. Raises DirectoryFailed when it does not answer."""
    place: DirectorySettings | None = settings.DIRECTORY
    if place is None or not user.is_active:
        return of_row(user)
    guid = guid_of(user)
    if guid is None:
        return Standing(No.LOCAL)
    with directory.asked(place) as link:
        return of_person(directory.find_again(link, place, guid), employees(link, place), link, now=now)


def of_person(
    person: directory.Person | None, employees: bytes | None, link: LDAPObject, *, now: datetime
) -> Standing:
    """What the directory says of a person that it was asked for; `employees` is that group's security id."""
    if person is None:
        return Standing(No.GONE)
    if not person.enabled:
        return Standing(No.DISABLED)
    if person.locked_out:
        return Standing(No.LOCKED_OUT)
    if person.expires is not None and person.expires <= now:
        return Standing(No.EXPIRED)
    if employees is None or employees not in directory.sids_of(link, person.dn):
        return Standing(No.NO_ROLE)
    return Standing(None, person.expires)


def of_row(user: User) -> Standing:
    """What this server says by itself: all there is to say of a local account without a directory."""
    if not user.is_active:
        return Standing(No.SWITCHED_OFF)
    return Standing(None if Role.EMPLOYEE in roles.role_of(user) else No.NO_ROLE)


def employees(link: LDAPObject, place: DirectorySettings) -> bytes | None:
    """The security id of the group of employees; None where there is none: then nobody is one."""
    group = place.roles.get(Role.EMPLOYEE)
    return directory.group_sid(link, group) if group else None


def guid_of(user: User) -> uuid.UUID | None:
    """The objectGUID; None for a local account."""
    row = getattr(user, "directory_user", None)
    return row.guid if row is not None else None
