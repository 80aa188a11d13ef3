"""A distribution as a careful company runs it, on real guests: pilot first, at a rate, paused, approved by a
second person, and taken back in one act."""

import socket
from collections.abc import Iterator

import pytest
import urllib3

from config.demo import bootimage
from config.demo.bootimage import BootImages
from config.demo.office import GROUP, DemoPc, Office
from tests.lab.office import Walk
from vrasnode.errors import VrasError
from vrasnode.lowpriority import LOWER_EFFORT

pytestmark = [pytest.mark.slow, pytest.mark.soak]

RATE = "400k"
ANY_FRAME = 3  # ETH_P_ALL
_SATO = """
from django.contrib.auth.models import User
User.objects.create_superuser("sato", password="correct horse battery")
"""


@pytest.fixture
def walk(tmp_path_factory: pytest.TempPathFactory, boot_images: BootImages) -> Iterator[Walk]:
    """An office with two PCs."""
    data = tmp_path_factory.mktemp("steered")
    env = {"OPENVRAS_DELTA_BASES": "0", "OPENVRAS_SWARM": "off"}
    with Office(data, port=0, count=2, cache=bootimage.default_cache(), say=print, server_env=env) as office:
        office.furnish()
        yield Walk(office, boot_images)


def runs(walk: Walk, pc: DemoPc, name: str) -> bool:
    """Whether a PC's guest proves that it runs this version."""
    try:
        return pc.prove().sha256 == walk.images.marker[name]
    except VrasError:
        return False


def state(walk: Walk, distribution: int) -> str:
    return str(walk.rest("GET", f"/api/v1/distributions/{distribution}/")["state"])


def approve_as_sato(walk: Walk, distribution: int) -> int:
    """Another administrator approves; the answer's status."""
    url = walk.office.server.url
    wish = {"username": "sato", "password": "correct horse battery", "name": "approving", "scope": "write"}
    token = urllib3.request("POST", f"{url}/api/v1/tokens/login/", json=wish, timeout=30).json()["token"]
    path = f"/api/v1/distributions/{distribution}/approve/"
    headers = {"Authorization": f"Bearer {token}"}
    answer = urllib3.request("POST", url + path, json={"reason": "seen"}, headers=headers, timeout=30)
    return answer.status


def cable_of(pc: DemoPc) -> socket.socket:
    """Hears what passes a PC's cable."""

    def opened() -> socket.socket:
        made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ANY_FRAME))
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 << 20)
        made.bind(("eth0", ANY_FRAME))
        made.setblocking(False)
        return made

    return pc.lab.place.run_inside(opened)


def fields_sent(cable: socket.socket, address: str) -> set[int]:
    """The DSCPs of TCP packets that this address sent."""
    found: set[int] = set()
    while True:
        try:
            frame = cable.recv(1 << 16)
        except BlockingIOError:
            return found
        if (frame[12:14], frame[23], frame[26:30]) == (b"\x08\x00", 6, socket.inet_aton(address)):
            found.add(frame[15] >> 2)


def test_pilot_pause_approval_and_the_way_back_on_guests_that_boot(walk: Walk) -> None:
    pilot, other = walk.office.pcs
    walk.office.server.manage("shell", "-c", _SATO)
    walk.distribute("v1")
    for pc in (pilot, other):
        walk.wait(f"v1 on {pc.name}", lambda pc=pc: runs(walk, pc, "v1"), within_s=600)

    terms = ["--pilot", pilot.name, "--approval", "--halt-failures", "1", "--fetch-hours", "daily 0-24"]
    with cable_of(pilot) as cable:
        sent = walk.distribute("v2", "--rate", RATE, *terms)
        walk.wait("the pilot fetches", lambda: walk.deliveries(sent)[pilot.name]["done_bytes"] > 0)
        fields = fields_sent(cable, pilot.lab.place.address)
    walk.office.ctl("distribution", "pause", str(sent), "--reason", "a meeting")
    walk.wait("the reason why it waits", lambda: state(walk, sent) == "paused")
    fetched = walk.deliveries(sent)[pilot.name]["done_bytes"]

    assert LOWER_EFFORT in fields
    assert walk.deliveries(sent)[other.name]["state"] == "waiting"
    assert runs(walk, pilot, "v1")
    assert fetched < walk.deliveries(sent)[pilot.name]["total_bytes"]

    walk.office.ctl("distribution", "resume", str(sent))
    walk.wait("the pilots are through", lambda: state(walk, sent) == "piloted", within_s=600)
    assert runs(walk, pilot, "v2")
    assert runs(walk, other, "v1")
    with pytest.raises(VrasError):
        walk.office.ctl("distribution", "approve", str(sent))
    assert approve_as_sato(walk, sent) == 200
    walk.wait("v2 on the other", lambda: runs(walk, other, "v2"), within_s=600)
    walk.wait("its end", lambda: state(walk, sent) == "finished")

    walk.office.ctl("distribution", "rollback-ring", str(sent), "--reason", "the printer")
    for pc in (pilot, other):
        pc.shut_down_desktop()
        walk.wait(f"v1 again on {pc.name}", lambda pc=pc: runs(walk, pc, "v1"), within_s=600)
    group = walk.office.ctl("distribution", "list", "--group", GROUP)
    assert group[0]["kind"] == "rollback"
