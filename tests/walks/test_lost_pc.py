"""A lost PC from end to end: a real server, a real agent process, a real LUKS volume that nothing opens any
more but the custodians' key."""

import base64
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import urllib3
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from tests.lab.server import ROOT, Server
from tests.walks.losing_pc import HYPERVISOR
from tests.walks.test_simulated_pcs import vrasnode
from vrasnode import sealing
from vrasnode.host.tpm import Tpm
from vrasnode.mydoc.naming import is_volume
from vrasnode.mydoc.pchalf import Halves
from vrasnode.mydoc.volumes import Volumes

pytestmark = pytest.mark.slow

NAME, USER, PASSWORD = "pc-taxi-01", "noguchi", "correct horse battery"
LIMIT_S = 180.0
_USER = f"""
from django.contrib.auth.models import Group, User
user = User.objects.create_user({USER!r}, password={PASSWORD!r})
user.groups.add(Group.objects.get_or_create(name="employee")[0])
"""
_HALF = """
from mydoc.volumes import halves
from mydoc.models import Volume
print(halves.half_of(Volume.objects.get(owner__username={user!r})).hex())
"""


@pytest.fixture
def state() -> Iterator[Path]:
    """The PC's state directory, where the paths of sockets stay short; whatever serves a volume is ended."""
    with TemporaryDirectory(prefix="openvras-pc-") as near:
        yield Path(near, "pc")
        mydoc = Path(near, "pc", "mydoc")
        for path in mydoc.iterdir() if mydoc.exists() else []:
            if is_volume(path.name):
                Volumes(mydoc).stop(path.name)


@pytest.fixture
def agent(server: Server, state: Path, tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    """The agent of a PC that has joined, in a process of its own."""
    wish = {"group": None, "approved": True}
    token = tmp_path / "token"
    token.write_text(
        server.rest("POST", "/api/v1/enrolment-tokens/", wish, token=server.new_token())["token"]
    )
    joined = ["--token-file", str(token), "--name", NAME, "--hypervisor", HYPERVISOR, "--state", str(state)]
    vrasnode("enroll", "--server", server.url, *joined)
    command = [sys.executable, "-m", "tests.walks.losing_pc", str(state)]
    process = subprocess.Popen(command, cwd=ROOT, env=dict(os.environ), stdout=subprocess.PIPE, text=True)
    yield process
    process.terminate()
    process.wait(20)


def until(what: str, reached: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + LIMIT_S
    while not (found := reached()):
        assert time.monotonic() < deadline, what
        time.sleep(0.2)
    return found


def log_on(server: Server, client: str, nonce: str) -> str:
    """The logon script's part; the volume that opens."""
    headers = urllib3.make_headers(basic_auth=f"{USER}:{PASSWORD}")
    wish = {"nonce": nonce, "client": client}
    answer = urllib3.request("POST", f"{server.url}/mydoc/logon", json=wish, headers=headers, retries=False)
    assert answer.status == 200, answer.data
    return str(answer.json()["volume"])


def test_a_pc_that_was_declared_lost_locks_forgets_and_says_so(
    server: Server, state: Path, agent: "subprocess.Popen[str]"
) -> None:
    rest = lambda method, path, body=None: server.rest(method, path, body, token=server.new_token())  # noqa: E731
    custodians = [X25519PrivateKey.generate() for _ in range(2)]
    for place, key in enumerate(custodians, 1):
        public = key.public_key().public_bytes_raw().hex()
        rest("POST", "/api/v1/custodians/", {"name": f"c{place}", "place": place, "public_key": public})
    server.shell(_USER)
    (pc,) = rest("GET", f"/api/v1/clients/?name={NAME}")["results"]
    assert agent.stdout is not None
    volume = log_on(server, pc["id"], agent.stdout.readline().strip())
    place = f"/api/v1/volumes/{volume}/"
    until("the volume is open", lambda: rest("GET", place)["state"] == "open")
    volumes, halves = Volumes(state / "mydoc"), Halves(state / "mydoc", tpm=Tpm())
    pc_half = halves.get(volume)
    assert pc_half is not None
    key = sealing.lan_key(
        bytes.fromhex(server.shell(_HALF.format(user=USER)).strip()), pc_half, volume=volume
    )
    assert volumes.opens(volume, key)
    assert not volumes.prove_locked(volume)

    lost = {"reason": "left in a taxi", "confirm": NAME}
    loss = rest("POST", f"/api/v1/clients/{pc['id']}/lost/", lost)
    until(
        "the PC has obeyed",
        lambda: rest("GET", f"/api/v1/losses/{loss['id']}/")["order"] == "acknowledged",
    )

    assert volumes.prove_locked(volume)
    assert halves.get(volume) is None
    assert not volumes.opens(volume, key)
    recovered = base64.b64decode(rest("POST", f"{place}recover/", {"reason": "it was found"})["wrapped"])
    for custodian in custodians:
        purpose = sealing.recovery_purpose(volume)
        recovered = sealing.open_sealed(recovered, custodian, purpose=purpose)
    assert volumes.opens(volume, recovered)
