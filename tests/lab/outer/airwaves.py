"""Wi-Fi for the emulated PC: two radios of its own kernel (mac80211_hwsim), one of them with an access point.

The access point stands in a network namespace, so what reaches it came through the air; behind it is a world
with one address, which says who called. It is hostapd with an EAP server of its own: no RADIUS, the same
conversation.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.lab.outer.machine import Outer

CARD = "wlan0"
WORLD = "198.51.100.7"
WORLD_PORT = 7007
FOLDER = "/run/air"

_BEGIN = f"""
modprobe mac80211_hwsim radios=2
mkdir -p {FOLDER}
ip netns add air
iw phy "$(cat /sys/class/net/wlan1/phy80211/name)" set netns name air
ip -n air link set lo up
ip -n air address add {WORLD}/32 dev lo
ip -n air link set wlan1 up
ip -n air address add 192.0.2.1/24 dev wlan1
"""
_END = f"""
pkill -F {FOLDER}/hostapd.pid || true
pkill -F {FOLDER}/dnsmasq.pid || true
pkill -F {FOLDER}/world.pid || true
ip netns del air
modprobe -r mac80211_hwsim
rm -rf {FOLDER}
"""
_SERVE = f"""
ip netns exec air hostapd -B -P {FOLDER}/hostapd.pid -f {FOLDER}/hostapd.log {FOLDER}/hostapd.conf
ip netns exec air dnsmasq --conf-file=/dev/null --interface=wlan1 --bind-interfaces --port=0 \
    --dhcp-range=192.0.2.50,192.0.2.60,1h --dhcp-option=option:router,192.0.2.1 \
    --dhcp-leasefile={FOLDER}/leases --pid-file={FOLDER}/dnsmasq.pid
"""
_END_ONE = """
test -f "$1" || exit 0
pid=$(cat "$1")
kill "$pid" || true
while kill -0 "$pid" 2>/dev/null; do sleep 0.1; done
rm -f "$1"
"""
# Says to each caller from which address they came.
_CALLED = f"""\
import os, socket
open("{FOLDER}/world.pid", "w").write(str(os.getpid()))
server = socket.create_server(("{WORLD}", {WORLD_PORT}))
while True:
    line, peer = server.accept()
    line.sendall(peer[0].encode())
    line.close()
"""
_COMMON = """\
interface=wlan1
driver=nl80211
hw_mode=g
channel=1
ssid={ssid}
ignore_broadcast_ssid={hidden}
wpa=2
rsn_pairwise=CCMP
ieee80211w=1
"""
_ENTERPRISE = f"""\
wpa_key_mgmt=WPA-EAP
ieee8021x=1
eap_server=1
eap_user_file={FOLDER}/users
ca_cert={FOLDER}/trusted.pem
server_cert={FOLDER}/server.pem
private_key={FOLDER}/server.key
"""


@dataclass(frozen=True)
class Network:
    """What the access point offers. `conf` is of hostapd.conf(5), `files` lie beside it."""

    ssid: str
    conf: str
    hidden: bool = False
    files: dict[str, bytes] = field(default_factory=dict)


def passphrase(ssid: str, words: str) -> Network:
    """WPA2-Personal."""
    return Network(ssid, f"wpa_key_mgmt=WPA-PSK\nwpa_passphrase={words}\n")


def enterprise(ssid: str, *, users: str, trusted: bytes, certificate: bytes, key: bytes) -> Network:
    """WPA2-Enterprise: PCs with a certificate of `trusted`, or whom `users` (hostapd.eap_user) names."""
    files = {"users": users.encode(), "trusted.pem": trusted, "server.pem": certificate, "server.key": key}
    return Network(ssid, _ENTERPRISE, hidden=True, files=files)


@contextmanager
def radios(outer: Outer) -> Iterator[None]:
    """The PC has a Wi-Fi card inside the block, and there is a world behind the air."""
    outer.sh(_BEGIN)
    outer.write(f"{FOLDER}/world.py", _CALLED.encode())
    outer.spawn(f"{FOLDER}/world.log", "ip", "netns", "exec", "air", "python3", f"{FOLDER}/world.py")
    try:
        yield
    finally:
        outer.sh(_END)


def put_up(outer: Outer, network: Network) -> None:
    """The access point offers this, in place of what it offered before."""
    for name in ("hostapd", "dnsmasq"):
        pid_file = f"{FOLDER}/{name}.pid"
        outer.sh(_END_ONE, pid_file)
    for name, data in network.files.items():
        outer.write(f"{FOLDER}/{name}", data)
    common = _COMMON.format(ssid=network.ssid, hidden=int(network.hidden))
    outer.write(f"{FOLDER}/hostapd.conf", (common + network.conf).encode())
    outer.sh(_SERVE)


def log(outer: Outer) -> str:
    """What the access point said."""
    return outer.ask(["cat", f"{FOLDER}/hostapd.log"]).output
