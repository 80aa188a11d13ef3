"""DHCP and names for what is plugged into a LAN of the lab, as a company's network has them: by dnsmasq.

PCs have fixed addresses of their own; this is for the machines inside them. Needs root.
"""

from collections.abc import Mapping
from pathlib import Path

from config.demo.lan import NETWORK, Lan
from config.demo.processes import Child

FIRST, LAST = NETWORK[25_600], NETWORK[25_856]  # far from PCs
LEASE = "1h"


def serving(lan: Lan, directory: Path, *, hosts: Mapping[str, str]) -> Child:
    """The process, to be entered. `hosts` says the address of each name; no other name is known."""
    directory.mkdir(parents=True, exist_ok=True)
    return Child(
        "dnsmasq",
        lan.command(
            [
                *("dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--no-hosts", "--no-resolv"),
                *("--user=root", "--group=", "--log-facility=-", "--quiet-dhcp", "--interface=br0"),
                *("--bind-interfaces", "--except-interface=lo", "--local=//"),
                f"--dhcp-range={FIRST},{LAST},{NETWORK.netmask},{LEASE}",
                f"--dhcp-leasefile={directory / 'leases'}",
                f"--pid-file={directory / 'pid'}",
                *(f"--host-record={name},{address}" for name, address in hosts.items()),
            ]
        ),
        log=directory / "log",
    )
