"""What may pass between a routed network of this PC's machines, the control base and the world: nftables.

One table of our own, replaced as a whole, so nothing of anybody else's is touched. A machine on the network
gets an address and names from the control base and nothing else of it; it reaches the world by one interface
alone, and nobody from there reaches it. libvirt's own rules, which translate addresses, stand beside this.
"""

import subprocess

from vrasnode.errors import HostBroken

TABLE = "openvras_routed"
RUN_S = 20.0

_RULES = """\
table inet {table} {{}}
delete table inet {table}
table inet {table} {{
    chain input {{
        type filter hook input priority filter - 5; policy accept;
        iifname "{bridge}" udp dport {{ 53, 67 }} accept
        iifname "{bridge}" tcp dport 53 accept
        iifname "{bridge}" counter drop
    }}
    chain forward {{
        type filter hook forward priority filter - 5; policy accept;
        iifname "{bridge}" oifname != "{outward}" counter drop
        oifname "{bridge}" iifname != "{outward}" counter drop
        oifname "{bridge}" ct state new counter drop
    }}
}}
"""


def rules(*, bridge: str, outward: str) -> str:
    """What nft(8) is told. Both are names of interfaces of this PC."""
    return _RULES.format(table=TABLE, bridge=bridge, outward=outward)


def hold(*, bridge: str, outward: str) -> None:
    """Makes it so, also again. Raises HostBroken(firewall_failed): then nobody may be let through."""
    try:
        done = subprocess.run(
            ["nft", "-f", "-"],
            input=rules(bridge=bridge, outward=outward),
            capture_output=True,
            text=True,
            timeout=RUN_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        words = f"nft cannot be used: {error}. Install nftables; the client VM has no Wi-Fi until then."
        raise HostBroken("firewall_failed", words) from error
    if done.returncode:
        raise HostBroken(
            "firewall_failed", f"nft refused the rules for {bridge}: {done.stderr.strip()[-500:]}"
        )
