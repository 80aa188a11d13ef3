"""Who may decide at a step, right now: nobody about their own request, whatever they are or stand in for.

A request's chain is a copy of its group's from when it was submitted. Whether somebody is who the chain means
is asked at the moment of the decision: of the directory for its people, of our rows for local accounts.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from django.conf import settings
from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from checkout.models import CheckoutRequest, Decider, Deputy, Kind, RequestStep
from clients.errors import Refusal
from clients.people import admitting, directory, roles
from clients.people.directorysettings import DirectorySettings
from clients.people.rolenames import Role
from mydoc.volumes import accounts


@dataclass
class Asked:
    """What the directory says of people, each thing asked once; what it says holds for this moment only.

    Raises DirectoryFailed from every question that it cannot answer."""

    _people: dict[UUID, tuple[set[bytes], set[Role], UUID | None] | None] = field(default_factory=dict)
    _groups: dict[str, bytes | None] = field(default_factory=dict)

    def roles_of(self, user: User) -> set[Role]:
        """What this account is. An administrator of this server alone is no approver by that."""
        if not user.is_active:
            return set()
        found = self._of(user)
        if accounts.guid_of(user) is None or settings.DIRECTORY is None:
            return roles.role_of(user)
        return found[1] if found else set()

    def in_group(self, user: User, group: str) -> bool:
        """Whether they are a member, also through other groups. A group that is gone has none."""
        found, place = self._of(user), settings.DIRECTORY
        if found is None or place is None:
            return False
        if group not in self._groups:
            with directory.asked(place) as link:
                self._groups[group] = directory.group_sid(link, group)
        return self._groups[group] in found[0]

    def manages(self, user: User, whom: User) -> bool:
        """Whether the directory still calls `user` the manager of `whom`."""
        found, guid = self._of(whom), accounts.guid_of(user)
        return found is not None and guid is not None and found[2] == guid

    def _of(self, user: User) -> tuple[set[bytes], set[Role], UUID | None] | None:
        place: DirectorySettings | None = settings.DIRECTORY
        guid = accounts.guid_of(user)
        if place is None or guid is None:
            return None
        if guid not in self._people:
            self._people[guid] = _read(place, guid)
        return self._people[guid]


def in_whose_place(step: RequestStep, user: User, *, asked: Asked, now: datetime) -> User | None:
    """None: this user decides by their own right; else the one for whom they stand in.

    Raises Refusal: own_request, not_the_approver.
    """
    if user.pk == step.requester_id:
        raise Refusal("own_request", _("Nobody decides about their own request."), status=403)
    if _is_meant(step, user, asked=asked):
        return None
    for principal in principals(user, now=now):
        if _is_meant(step, principal, asked=asked) and asked.roles_of(user):
            return principal
    raise Refusal(
        "not_the_approver",
        _("It is not for you to decide at this step: %(who)s does.") % {"who": step.words},
        status=403,
    )


def may(step: RequestStep, user: User, *, asked: Asked, now: datetime) -> bool:
    """The same as a question."""
    try:
        in_whose_place(step, user, asked=asked, now=now)
    except directory.DirectoryFailed:
        raise
    except Refusal:
        return False
    return True


def principals(user: User, *, now: datetime) -> list[User]:
    """In whose place this user decides today."""
    rows = Deputy.objects.on(timezone.localtime(now).date()).filter(deputy=user.pk)
    return [row.principal for row in rows.select_related("principal__directory_user")]


def waiting_for(user: User, *, asked: Asked, now: datetime) -> list[CheckoutRequest]:
    """The requests that this user may decide now, the oldest first. Raises DirectoryFailed."""
    rows = CheckoutRequest.objects.filter(state=CheckoutRequest.State.WAITING).exclude(requester=user.pk)
    found = []
    for request in full(rows).order_by("waits_since", "pk"):
        step = request.current_step
        if step is not None and may(step, user, asked=asked, now=now):
            found.append(request)
    return found


def full(rows: QuerySet[CheckoutRequest]) -> QuerySet[CheckoutRequest]:
    """Requests with what their pages show, in as many questions for all as for one."""
    return rows.select_related(
        "requester__directory_user", "volume__owner", "volume__client", "client", "group"
    ).prefetch_related(
        "leases",
        "steps__person__directory_user",
        "steps__decided_by",
        "steps__instead_of",
        "steps__requester",
    )


def manager_of(user: User) -> User:
    """The account of somebody's manager, who may never have been here. Raises Refusal(no_manager), and what
    the directory and `admitting.introduce` raise."""
    place: DirectorySettings | None = settings.DIRECTORY
    guid = accounts.guid_of(user)
    if place is not None and guid is not None:
        with directory.asked(place) as link:
            person = directory.find_again(link, place, guid)
            manager = directory.manager_of(link, person.dn) if person else None
            if manager is not None:
                return admitting.introduce(
                    manager,
                    wanted=directory.roles_of(link, place, manager.dn),
                    find_again=lambda other: directory.find_again(link, place, other),
                )
    raise Refusal(
        "no_manager",
        _("The company's directory names no manager of yours, and your manager has to approve. Ask your IT."),
    )


def addresses(step: RequestStep) -> list[str]:
    """Where whoever may decide at this step is reached by mail, the requester excepted."""
    found: Iterable[str]
    place: DirectorySettings | None = settings.DIRECTORY
    if step.person is not None:
        found = [step.person.email]
    elif step.kind == Kind.GROUP and place is not None:
        with directory.asked(place) as link:
            found = [person.mail for person in directory.members_of(link, place, step.directory_group)]
    else:
        found = User.objects.filter(groups__name=Role.APPROVER, is_active=True).values_list(
            "email", flat=True
        )
    return sorted({mail for mail in found if mail} - {step.requester.email})


def _is_meant(step: Decider, user: User, *, asked: Asked) -> bool:
    requester = getattr(step, "requester", None)
    if requester is not None and requester.pk == user.pk:
        return False
    has = asked.roles_of(user)
    if not has:
        return False
    match step.kind:
        case Kind.ROLE:
            return Role.APPROVER in has
        case Kind.GROUP:
            return asked.in_group(user, step.directory_group)
        case Kind.MANAGER:
            return step.person_id == user.pk and requester is not None and asked.manages(user, requester)
    return step.person_id == user.pk


def _read(place: DirectorySettings, guid: UUID) -> tuple[set[bytes], set[Role], UUID | None] | None:
    with directory.asked(place) as link:
        person = directory.find_again(link, place, guid)
        if person is None or not person.enabled:
            return None
        manager = directory.manager_of(link, person.dn)
        sids = directory.sids_of(link, person.dn)
        found = directory.roles_of(link, place, person.dn)
        return sids, found, manager.guid if manager else None
