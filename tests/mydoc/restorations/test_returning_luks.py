"""Everything comes back into a real encrypted volume, though workers are killed at it: cryptsetup,
qemu-storage-daemon, ext4, the agent's and the virtual server's own programs, restic. Root.
"""

import hashlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connections

from clients import nudge
from clients.models import Group
from mydoc.models import Opening, Restoration, Volume
from mydoc.restorations import bringing, returning
from tests.mydoc.answering import AnsweringPc, beat, tell
from tests.mydoc.keeping import Copies
from tests.mydoc.test_whole_way import VOLUME, Housing
from tests.pcs import FakePc
from tests.vrasnode.servicevm.volume import SERIAL, Guest
from tests.vrasnode.volumecast import MIB, Made
from vrasnode.mydoc.answering import Answering
from vrasnode.servicevm.guest import filewriting

pytestmark = [pytest.mark.soak, pytest.mark.django_db(transaction=True)]
BEGUN = os.fsdecode(filewriting.BEGUN)
FILES, SEEDS, STARTS_S = 60, 3, 30.0


class Device:
    """The open volume as a file of this machine, as a machine of its own would have it as a disk."""

    def __init__(self, made: Made, at: Path) -> None:
        self.at = at
        at.touch()
        server = f"server.type=unix,server.path={made.socket},export={made.name}"
        self._daemon = subprocess.Popen(
            [
                *("qemu-storage-daemon", "--blockdev", f"driver=nbd,node-name=volume,{server}"),
                *("--export", f"type=fuse,id=file,node-name=volume,mountpoint={at},writable=on"),
            ]
        )
        ends = time.monotonic() + STARTS_S
        while at.stat().st_size < MIB:
            assert time.monotonic() < ends
            time.sleep(0.05)

    def close(self) -> None:
        self._daemon.terminate()
        self._daemon.wait()


@pytest.fixture
def luks(tmp_path: Path) -> Made:
    made = Made(tmp_path / "mydoc", name=str(VOLUME)).create(limit_bytes=96 * MIB)
    made.serve()
    return made


@pytest.fixture
def guest(luks: Made, tmp_path: Path) -> Iterator[Guest]:
    device = Device(luks, tmp_path / "device")
    try:
        with Guest() as guest:
            guest.plug(device.at)
            guest.open(fresh=True)
            yield guest
    finally:
        device.close()
        luks.stop()


@pytest.fixture
def there(  # noqa: PLR0917
    guest: Guest, enrol: Callable[..., FakePc], sales: Group, sato: User, now: datetime, monkeypatch: Any
) -> AnsweringPc:
    """Sato's new PC: it answers as its agent does, when it is looked at."""
    pc = enrol("pc-sales-02", group=sales)
    beat(pc, now=now)
    row = Volume.objects.create(pk=VOLUME, owner=sato, client=pc.client, limit_bytes=96 * MIB)
    tell(row, now=now, used_bytes=0, size_bytes=96 * MIB)
    Opening.objects.create(volume=row, state=Opening.State.OPEN, nonce="n", asked_at=now, opened_at=now)
    agent = Answering(
        server=None,  # type: ignore[arg-type]  # the doors are knocked at by the PC of the tests
        housing=Housing(guest),  # type: ignore[arg-type]  # all that is asked of it
        is_open=lambda asked: asked == str(VOLUME),
        wake=lambda: None,
        clock=lambda: 0.0,
    )
    monkeypatch.setattr(nudge, "node", lambda _client: None)
    return AnsweringPc(pc, answer=agent.answer_to)


def worker(at: datetime) -> int:
    """A worker of its own, which can be killed."""
    connections.close_all()
    child = os.fork()
    if not child:
        try:
            bringing.sweep(clock=lambda: at)
        finally:
            os._exit(0)
    return child


def ended(child: int) -> bool:
    return os.waitpid(child, os.WNOHANG)[0] == child


@pytest.mark.parametrize("seed", range(SEEDS))
def test_it_survives_kills_and_every_file_is_there_once_and_whole_after_a_lock(  # noqa: PLR0917
    copies: Copies, luks: Made, guest: Guest, there: AnsweringPc, now: datetime, seed: int
) -> None:
    for number in range(FILES):
        copies.put(f"営業/{number % 5}/見積 {number}.bin".encode(), os.urandom(number * 4000))
    copies.replicate(now=now - timedelta(hours=1))
    target = Volume.objects.select_related("owner", "client").get(pk=VOLUME)
    plan = returning.preview(copies.volume, target)
    row = returning.begin(copies.volume, target, reason="stolen", confirm=plan.confirm, now=now)

    for kill_at in (7 + seed, 41 + 5 * seed, 0):
        child, asked = worker(now), len(there.asked)
        while not ended(child):
            there.look()
            if kill_at and len(there.asked) - asked >= kill_at:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
                break
        Restoration.objects.update(until=now - timedelta(minutes=1))  # three minutes later

    row.refresh_from_db()
    wanted = {path: hashlib.sha256(data).hexdigest() for path, data in copies.files().items()}
    assert (row.state, row.written + row.same, row.beside, row.left_out) == ("done", len(wanted), 0, 0)
    guest.volumes.close(SERIAL)
    guest.open()
    found = {
        os.fsencode(path.relative_to(guest.root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in guest.root.rglob("*")
        if path.is_file() and not path.name.startswith(BEGUN)  # what a kill left: hidden, and swept up later
    }
    assert found == wanted
    assert all(path.stat().st_uid == 1000 for path in guest.root.rglob("見積*"))
