"""Whether the cable of this PC's LAN is in: the control base's bridge, and what of it leads out of the PC.

A bridge by itself always has a carrier once a machine is on it; what tells is the cards that lead outward, so
all its ports but those of machines (tap devices). Asked of iproute2, which sees the network that we are in.
"""

import json
import subprocess

RUN_S = 5.0
OF_MACHINES = "tun"  # the kind of a tap device (ip-link(8))


def carrier(bridge: str) -> bool | None:
    """Whether some cable is in; None: nothing leads outward, or nobody knows."""
    argv = ["ip", "-details", "-json", "link", "show", "master", bridge]
    try:
        done = subprocess.run(argv, capture_output=True, timeout=RUN_S, check=False)
        ports = json.loads(done.stdout) if done.returncode == 0 else []
        outward = [port for port in ports if port.get("linkinfo", {}).get("info_kind") != OF_MACHINES]
        return any("LOWER_UP" in port.get("flags", ()) for port in outward) if outward else None
    except (OSError, subprocess.TimeoutExpired, ValueError):
        return None
