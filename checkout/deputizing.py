"""Who decides in whose place: named by the one who goes away, or by an administrator."""

from datetime import date

from django.contrib.auth.models import User
from django.db import transaction
from django.utils.translation import gettext_lazy as _

from checkout.models import Deputy
from clients import auditing
from clients.errors import Refusal
from clients.people import roles


def appoint(principal: User, *, deputy: User, starts: date, ends: date, by: User) -> Deputy:
    """Raises Refusal: not_for_you, bad_deputy, bad_days."""
    if by.pk != principal.pk and not roles.may_change(by):
        raise _not_for_you()
    if deputy.pk == principal.pk or not roles.role_of(deputy):
        raise Refusal("bad_deputy", _("A deputy is somebody else, who has a role here."), status=400)
    if ends < starts:
        raise Refusal("bad_days", _("The last day is before the first."), status=400)
    with transaction.atomic():
        row = Deputy.objects.create(
            principal=principal, deputy=deputy, starts=starts, ends=ends, created_by=by.get_username()
        )
        auditing.record(
            "deputy.appointed", row, after={"starts": starts.isoformat(), "ends": ends.isoformat()}
        )
    return row


def dismiss(row: Deputy, *, by: User) -> None:
    """Raises Refusal(not_for_you)."""
    if by.pk != row.principal_id and not roles.may_change(by):
        raise _not_for_you()
    with transaction.atomic():
        auditing.record("deputy.dismissed", row)
        row.delete()


def _not_for_you() -> Refusal:
    return Refusal(
        "not_for_you", _("Only they themselves and administrators name who stands in."), status=403
    )
