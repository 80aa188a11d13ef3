"""At which site a PC is, by its address."""

import ipaddress
from collections.abc import Iterable
from typing import Any

from clients.models import Site
from clients.networks import Network, ranges


class Sites:
    """All sites, read once, to find those of many addresses."""

    def __init__(self, rows: Iterable[Site] | None = None) -> None:
        self.rows = list(Site.objects.all() if rows is None else rows)
        narrow_first = [(network, site) for site in self.rows for network in ranges(site.ranges)]
        narrow_first.sort(key=lambda one: one[0].prefixlen, reverse=True)
        self._networks: list[tuple[Network, Site]] = narrow_first
        self._known: dict[str, Site | None] = {}

    def of(self, address: str | None) -> Site | None:
        """The site of an address; None where it is in no site, or no address."""
        text = address or ""
        if text not in self._known:
            self._known[text] = self._find(text)
        return self._known[text]

    def _find(self, text: str) -> Site | None:
        try:
            found: Any = ipaddress.ip_address(text.partition("%")[0])
        except ValueError:
            return None
        plain = getattr(found, "ipv4_mapped", None) or found
        return next((site for network, site in self._networks if plain in network), None)


def site_of(address: str | None) -> Site | None:
    """The site of one address. For many, make a `Sites` once."""
    return Sites().of(address)
