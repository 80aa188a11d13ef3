"""The company's networks, as ranges of addresses: who merely reaches the server is not on its LAN."""

import ipaddress
from collections.abc import Sequence

from django.conf import settings

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# Where nothing is set (development): this machine and private addresses, benches' too (RFC 2544 §C.2.2).
PRIVATE = ",".join(
    (
        *("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "198.18.0.0/15"),
        *("::1/128", "fc00::/7", "fe80::/10"),
    )
)


def ranges(text: str) -> list[Network]:
    """The ranges in a list like `10.0.0.0/8, 2001:db8::/32`. Raises ValueError."""
    return [ipaddress.ip_network(part.strip()) for part in text.split(",") if part.strip()]


def inside(address: str | None) -> bool:
    """Whether this address is the company's. What is no address is not."""
    return _inside(address, settings.COMPANY_NETWORKS)


def _inside(address: str | None, networks: Sequence[Network]) -> bool:
    try:
        found = ipaddress.ip_address((address or "").partition("%")[0])
    except ValueError:
        return False
    plain = getattr(found, "ipv4_mapped", None) or found
    return any(plain in network for network in networks)
