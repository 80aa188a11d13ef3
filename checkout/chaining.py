"""Whose word it takes: a group's chain and terms, kept by administrators and copied into each submission."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction
from django.utils.translation import gettext_lazy as _

from checkout import approvers
from checkout.models import ChainLink, CheckoutRequest, CheckoutTerms, Kind, RequestStep
from clients import auditing, nudge
from clients.errors import Refusal
from clients.models import Group
from clients.people import directory
from clients.people.directorysettings import DirectorySettings

MAX_STEPS = 6


@dataclass(frozen=True)
class Link:
    """One step as somebody writes it down."""

    kind: str
    directory_group: str = ""
    person: User | None = None

    @property
    def words(self) -> str:
        return self.directory_group or (self.person.get_username() if self.person else self.kind)


@dataclass(frozen=True)
class Terms:
    """What holds for a group's PCs."""

    software: bool
    max_days: int
    chain: tuple[Link, ...]
    revision: int = 0


ROLE_ALONE = (Link(Kind.ROLE),)


def of(group: Group | None) -> Terms:
    """What holds for this group now; for PCs without group, and groups that say nothing, the default."""
    row = CheckoutTerms.objects.filter(group=group).prefetch_related("links__person").first()
    if group is None or row is None:
        return Terms(software=False, max_days=31, chain=ROLE_ALONE)
    links = tuple(Link(link.kind, link.directory_group, link.person) for link in row.links.all())
    return Terms(row.software, row.max_days, links or ROLE_ALONE, row.revision)


def save(group: Group, terms: Terms, *, reason: str) -> None:
    """From the next submission on; what was submitted keeps its own chain.

    Raises Refusal: no_step, too_many_steps, no_such_group, changed_meanwhile; DirectoryFailed.
    """
    if not terms.chain:
        raise Refusal("no_step", _("A chain has one step at least."), status=400)
    if len(terms.chain) > MAX_STEPS:
        raise Refusal(
            "too_many_steps", _("A chain has at most %(count)d steps.") % {"count": MAX_STEPS}, status=400
        )
    _check_groups(terms.chain)
    before = of(group)
    with transaction.atomic():
        row, _made = CheckoutTerms.objects.get_or_create(group=group)
        fields = {"software": terms.software, "max_days": terms.max_days, "revision": terms.revision + 1}
        if not CheckoutTerms.objects.filter(pk=row.pk, revision=terms.revision).update(**fields):
            raise Refusal(
                "changed_meanwhile",
                _("Somebody changed this chain meanwhile. Look at it again; nothing of yours was saved."),
                status=412,
            )
        row.links.all().delete()
        for position, link in enumerate(terms.chain, 1):
            ChainLink.objects.create(
                terms=row,
                position=position,
                kind=link.kind,
                directory_group=link.directory_group,
                person=link.person,
            )
        auditing.record(
            "group.checkout_changed", group, before=_plain(before), after=_plain(terms), reason=reason
        )
    nudge.pages(f"group.{group.pk}")


def people_of(chain: Sequence[Link], requester: User) -> list[Link]:
    """The same chain with the manager's own name. Asks the directory, so call it outside of a transaction.
    Raises Refusal: no_manager, own_chain (a step that only the requester themselves could decide)."""
    named = []
    for link in chain:
        person = approvers.manager_of(requester) if link.kind == Kind.MANAGER else link.person
        if person is not None and person.pk == requester.pk:
            raise Refusal(
                "own_chain",
                _("The chain of this PC's group leads to yourself. Ask your administrator to change it."),
            )
        named.append(Link(link.kind, link.directory_group, person))
    return named


def freeze(request: CheckoutRequest, chain: Sequence[Link]) -> None:
    """The steps of this submission."""
    for position, link in enumerate(chain, 1):
        RequestStep.objects.create(
            request=request,
            round=request.round,
            position=position,
            kind=link.kind,
            directory_group=link.directory_group,
            person=link.person,
            requester_id=request.requester_id,
        )


def _check_groups(chain: Sequence[Link]) -> None:
    """A name that the directory does not know would be a step at which nobody ever decides."""
    place: DirectorySettings | None = settings.DIRECTORY
    named = {link.directory_group for link in chain if link.kind == Kind.GROUP}
    if place is None or not named:
        return
    with directory.asked(place) as link:
        gone = [name for name in sorted(named) if directory.group_sid(link, name) is None]
    if gone:
        raise Refusal(
            "no_such_group",
            _("The company's directory has no security group “%(name)s”. Copy its distinguished name.")
            % {"name": gone[0]},
            status=400,
        )


def _plain(terms: Terms) -> dict[str, object]:
    chain = [f"{link.kind}: {link.words}" for link in terms.chain]
    return {"software": terms.software, "max_days": terms.max_days, "chain": chain}
