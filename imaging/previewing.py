"""What a distribution would do, before it is begun. Changes nothing."""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime

from clients.models import Group
from clients.sites.finding import Sites
from imaging.distributing import Terms
from imaging.models import LATELY, Delivery, ImageVersion


@dataclass(frozen=True)
class Preview:
    """`pcs` would get it; `have_it` of them run it already; `superseded` have something else under way, which
    it would replace; `other_pcs` of the group would not get it, for they are not approved. `most_bytes` is
    what the server sends at most."""

    pcs: int
    pilots: list[str]
    heard: int
    have_it: int
    superseded: int
    other_pcs: int
    sites: list[tuple[str, int]]  # "": at no site
    most_bytes: int


def preview(version: ImageVersion, group: Group, *, now: datetime, terms: Terms) -> Preview:
    """Raises Refusal, as the start would."""
    terms.check(now)
    clients = list(group.clients.approved())
    pilots = terms.pilots_of(clients)
    sites = Sites()
    found = [sites.of(client.address) for client in clients]
    have_it = sum(client.running == version.manifest for client in clients)
    under_way = Delivery.objects.filter(client__in=clients).for_machine(version.image.machine).open()
    return Preview(
        pcs=len(clients),
        pilots=sorted(client.name for client in pilots),
        heard=sum(client.last_seen is not None and client.last_seen >= now - LATELY for client in clients),
        have_it=have_it,
        superseded=under_way.values("client").distinct().count(),
        other_pcs=group.clients.count() - len(clients),
        sites=sorted(Counter(site.name if site else "" for site in found).items()),
        most_bytes=version.packed_bytes * (len(clients) - have_it),
    )
