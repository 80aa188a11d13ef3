"""People of the company's directory come in: a row of their own by objectGUID, their name, their roles.

A person who is renamed stays the same row; somebody new who has an old name is another. A local account is
never taken over, whatever its name.
"""

import uuid
from collections.abc import Callable, Collection

from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.utils.translation import gettext_lazy as _

from clients import auditing
from clients.auditing import Actor
from clients.errors import Refusal
from clients.models import DirectoryUser
from clients.people import roles
from clients.people.directory import Person
from clients.people.rolenames import Role

Finder = Callable[[uuid.UUID], Person | None]


def admit(person: Person, *, wanted: Collection[Role], find_again: Finder) -> User:
    """The account of `person`, who has just proved who they are, with the roles of this moment.

    `find_again` asks the directory for whoever else we know by that name. Raises Refusal: no_role (nothing is
    kept of a stranger), name_taken, switched_off.
    """
    known = DirectoryUser.objects.filter(guid=person.guid).exists()
    if not wanted and not known:
        raise _no_role()
    with auditing.acting(Actor(name=person.name, kind="user", origin="directory")):
        try:
            user, has = _keep(person, wanted, find_again)
        except IntegrityError:  # the same person logged in at the same moment, elsewhere
            user, has = _keep(person, wanted, find_again)
    if not has:
        raise _no_role()
    if not user.is_active:
        raise Refusal(
            "switched_off", _("This account is switched off here. Ask your administrator."), status=403
        )
    return user


def introduce(person: Person, *, wanted: Collection[Role], find_again: Finder) -> User:
    """The account of somebody whom another one names, before they ever logged in.

    Raises Refusal: no_role_there (they could not log in either), name_taken.
    """
    if not wanted or not person.enabled:
        raise Refusal(
            "no_role_there",
            _("%(name)s is in the directory, but has no role here, or is disabled there.")
            % {"name": person.name},
        )
    return _keep(person, wanted, find_again)[0]


@transaction.atomic
def _keep(person: Person, wanted: Collection[Role], find_again: Finder) -> tuple[User, set[Role]]:
    row = DirectoryUser.objects.select_related("user").filter(guid=person.guid).first()
    if row is None or row.user.username != person.name:
        _free(person, find_again)
    if row is None:
        user = User(username=person.name)
        user.set_unusable_password()
        user.save()
        row = DirectoryUser.objects.create(user=user, guid=person.guid)
        auditing.record("user.admitted", user, after={"guid": str(person.guid)})
    _rename(row.user, person)
    has = roles.keep(row.user, wanted) if row.user.is_active else {*wanted}
    row.kept_administrator = Role.ADMINISTRATOR in has and Role.ADMINISTRATOR not in wanted
    row.save(update_fields=["kept_administrator"])
    return row.user, has


def _rename(user: User, person: Person) -> None:
    before = user.username
    user.username, user.first_name, user.last_name = person.name, person.given_name, person.family_name
    user.email = person.mail
    user.save(update_fields=["username", "first_name", "last_name", "email"])
    if before != person.name:
        auditing.record("user.renamed", user, before={"name": before}, after={"name": person.name})


def _free(person: Person, find_again: Finder) -> None:
    """Makes the name free that the directory gave to `person`."""
    holder = User.objects.filter(username__iexact=person.name).select_related("directory_user").first()
    if holder is None:
        return
    try:
        row = holder.directory_user
    except DirectoryUser.DoesNotExist:
        raise Refusal(
            "name_taken",
            _("A local account has this name. An administrator has to rename one of the two."),
            status=403,
        ) from None
    if row.guid == person.guid:
        return
    before, other = holder.username, find_again(row.guid)
    aside = f"{before}~{row.guid.hex[:8]}"
    holder.username = aside if other is None or other.name.lower() == person.name.lower() else other.name
    if User.objects.filter(username__iexact=holder.username).exclude(pk=holder.pk).exists():
        holder.username = aside  # their new name waits until its holder or they log in
    holder.save(update_fields=["username"])
    auditing.record("user.renamed", holder, before={"name": before}, after={"name": holder.username})
    if other is None or not other.enabled:
        roles.keep(holder, [])


def _no_role() -> Refusal:
    return Refusal(
        "no_role",
        _("You are known to the directory, but have no role here. Ask your IT department."),
        status=403,
    )
