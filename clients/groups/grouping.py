"""How groups come and go."""

from django.db import transaction
from django.utils.translation import gettext_lazy as _

from clients import auditing, nudge
from clients.errors import Refusal
from clients.models import Group


def keep(group: Group) -> None:
    """Saves a new group, or a changed name or note."""
    before = Group.objects.filter(pk=group.pk).first()
    with transaction.atomic():
        group.save()
        auditing.record(
            "group.changed" if before else "group.created",
            group,
            before={"name": before.name, "note": before.note} if before else {},
            after={"name": group.name, "note": group.note},
        )
    nudge.pages("clients", f"group.{group.pk}")


def delete(group: Group) -> None:
    """Ends a group without PCs and without history. Raises Refusal(group_in_use)."""
    if group.clients.exists() or group.distributions.exists() or group.checkouts.exists():
        raise Refusal(
            "group_in_use",
            _("This group has PCs, or a history of distributions or checkouts. Move its PCs first."),
        )
    with transaction.atomic():
        auditing.record("group.deleted", group)
        group.delete()
    nudge.pages("clients")
