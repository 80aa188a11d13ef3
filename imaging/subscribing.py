"""What groups get by themselves: when a version is published, and when a PC joins."""

from datetime import datetime, timedelta
from typing import Any

from clients.models import Client, Group
from imaging import distributing
from imaging.distributing import Terms
from imaging.models import Distribution, ImageVersion, Subscription
from vrasnode.wire.imaging import Apply


def on_published(version: ImageVersion, *, now: datetime) -> None:
    """Groups that take every new version of this image, each on its own terms."""
    for subscription in Subscription.objects.filter(image=version.image, on_publish=True).select_related(
        "group"
    ):
        if subscription.group.clients.approved().exists():
            distributing.start(
                version,
                subscription.group,
                now=now,
                kind=Distribution.Kind.ON_PUBLISH,
                terms=terms_of(subscription, now=now),
            )


def on_joined(client: Client, *, now: datetime) -> None:
    """A PC that comes to a group gets what the group has, for each machine; what pilots still try comes to it
    with the others."""
    if client.group is None:
        return
    for subscription in client.group.subscriptions.filter(on_join=True).select_related("image"):
        _on_joined(client, client.group, subscription, now=now)


def terms_of(subscription: Subscription, *, now: datetime) -> Terms:
    """On which terms a version comes to the group now. A named pilot that is no longer there is replaced: a
    version that was to be tried first is never brought to all at once."""
    named = subscription.pilots
    there = subscription.group.clients.approved().filter(name__in=named).values_list("name", flat=True)
    days = subscription.deadline_days
    return Terms(
        pilots=list(there),
        pilot_count=max(subscription.pilot_count, len(named)),
        deadline=None if days is None else now + timedelta(days=days),
        **_pace_of(subscription),
        approval=subscription.approval,
        halt_failures=subscription.halt_failures,
        halt_percent=subscription.halt_percent,
        postponements=subscription.postponements,
    )


def _on_joined(client: Client, group: Group, subscription: Subscription, *, now: datetime) -> None:
    sent = group.distributions.select_related("version").filter(version__image=subscription.image)
    sent = sent.exclude(kind=Distribution.Kind.ONE_PC)
    last = sent.for_all().first()
    if last is None and sent.open().exists():
        return  # only pilots have anything yet
    ready = last is not None and last.version.state == ImageVersion.State.READY
    version = last.version if last is not None and ready else subscription.image.latest()
    if version is not None:
        terms = Terms(**_pace_of(subscription))
        distributing.start(
            version, group, now=now, kind=Distribution.Kind.ON_JOIN, terms=terms, only=[client]
        )


def _pace_of(subscription: Subscription) -> dict[str, Any]:
    """What holds for one PC that joins, too."""
    names = ("wave_size", "rate_bytes_s", "fetch_hours", "switch_hours")
    return {"apply": Apply(subscription.apply), **{name: getattr(subscription, name) for name in names}}
