"""What other apps' pages show of Workgroup Desktop: `clients` imports none of it."""

from typing import Any

from django import template
from django.utils import timezone

from clients.models import Client, Group
from clients.presence import Presence
from imaging import reasons
from imaging.models import MACHINES, Delivery, ImageVersion

register = template.Library()


@register.simple_tag
def versions_of(presence: dict[Any, Presence]) -> dict[str, ImageVersion]:
    """Which version each digest that PCs said they run belongs to."""
    digests = {heard.version for heard in presence.values() if heard.version}
    found = ImageVersion.objects.filter(manifest__in=digests).select_related("image").order_by("pk")
    return {version.manifest: version for version in found}


@register.simple_tag
def version_of(digest: str | None) -> ImageVersion | None:
    """The version of a digest."""
    if not digest:
        return None
    return ImageVersion.objects.filter(manifest=digest).select_related("image").last()


@register.inclusion_tag("imaging/deliveries_of.html")
def deliveries_of(client: Client) -> dict[str, Any]:
    """The deliveries to one PC, the newest first."""
    rows = client.deliveries.select_related("distribution__version__image").order_by("-serial")
    return {"client": client, "deliveries": rows[:20]}


@register.inclusion_tag("imaging/group_card.html")
def group_card(group: Group) -> dict[str, Any]:
    """What a group is sent: by itself, and lately."""
    last = group.distributions.select_related("version__image")[:10]
    return {
        "group": group,
        "machines": [
            (machine, label, group.subscriptions.filter(machine=machine).select_related("image").first())
            for machine, label in MACHINES
        ],
        "distributions": last,
    }


@register.filter
def reason(delivery: Delivery) -> reasons.Reason | None:
    """Why it has not come to its end, or how it failed, in the reader's language."""
    return reasons.why(delivery, now=timezone.now())


@register.filter
def told(delivery: Delivery) -> str:
    """What happened, in the reader's language where its code is known; else a PC's own words as they came."""
    found = reasons.why(delivery, now=timezone.now())
    return found.words if found is not None else delivery.words
