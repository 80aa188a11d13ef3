"""kill -9 while a volume is made, opened, locked: the next process goes on, and nothing is lost or left."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from tests.vrasnode.conftest import member_of
from tests.vrasnode.mydoccast import DataOffice
from vrasnode.mydoc.naming import serial_of
from vrasnode.mydoc.record import Record, kept
from vrasnode.mydoc.volumes import Volumes
from vrasnode.wire import codec

pytestmark = pytest.mark.slow

LIMIT_S = 180.0


class KilledPc:
    """A PC whose agent a test kills."""

    def __init__(self, directory: Path, office: DataOffice) -> None:
        self.directory, self.office, self.volume = directory, office, str(uuid4())
        self.volumes = Volumes(directory / "mydoc")
        member_of(office, directory / "identity")
        (directory / "custodians").write_bytes(codec.encode(office.custodians))

    @property
    def record(self) -> Record:
        return dict(kept(self.directory / "mydoc")).get(self.volume, Record())

    def lies(self, pattern: str) -> bool:
        return any(self.directory.glob(pattern.format(volume=self.volume, serial=serial_of(self.volume))))

    def run(self, act: str, killed_when: Callable[[], bool] = lambda: False) -> bool:
        """An agent that opens or locks it; whether it came to its end before it was killed."""
        command = [sys.executable, "-m", "tests.vrasnode.mydoc_pc", act, str(self.directory), self.volume]
        with subprocess.Popen(command) as process:
            deadline = time.monotonic() + LIMIT_S
            while process.poll() is None and not killed_when():
                if time.monotonic() > deadline:
                    process.kill()
                    raise AssertionError(self.record)
                time.sleep(0.001)
            process.kill()
        return process.returncode == 0

    def check_open(self) -> None:
        """It is open, and the newest that the server has opens it, too."""
        deposit = self.office.deposits[-1]
        assert self.volumes.serving(self.volume)
        assert deposit.luks_uuid == self.volumes.luks_uuid(self.volume)
        assert self.volumes.opens(self.volume, self.office.recovered(deposit))


@pytest.fixture
def pc(office: DataOffice, tmp_path: Path) -> Iterator[KilledPc]:
    pc = KilledPc(tmp_path, office)
    yield pc
    pc.volumes.stop(pc.volume)


def test_killed_at_each_step_from_nothing_to_open_it_goes_on(pc: KilledPc) -> None:
    seen = [
        "mydoc/{volume}/record.json",
        "mydoc/{volume}/half.key",
        "mydoc/{volume}/*.part",
        "mydoc/{volume}/volume.luks",
        "mydoc/open/{serial}",
        "guest/{volume}/plugged",
        "guest/{volume}/files",
        "guest/{volume}/mounted",
    ]

    kills = sum(not pc.run("open", lambda: pc.lies(pattern)) for pattern in seen)  # noqa: B023 - called at once
    assert pc.run("open")

    pc.check_open()
    assert kills == len(seen)
    assert not pc.volumes.prove_locked(pc.volume)


def test_killed_while_it_is_open_it_stays_open_for_the_same_logon(pc: KilledPc) -> None:
    assert pc.run("open")
    session, keys_given = pc.record.session, len(pc.office.keys_given)

    assert not pc.run("open", lambda: True)
    assert pc.run("open")

    pc.check_open()
    assert pc.record.session == session
    assert len(pc.office.keys_given) == keys_given


@pytest.mark.parametrize("point", ["asked", "unplugged", "daemon gone"])
def test_killed_while_it_is_locked_the_next_one_locks_it_again(point: str, pc: KilledPc) -> None:
    assert pc.run("open")
    reached = {
        "asked": lambda: bool(pc.record.locking),
        "unplugged": lambda: not pc.lies("guest/{volume}/plugged"),
        "daemon gone": lambda: not pc.lies("mydoc/open/{serial}"),
    }[point]
    pc.run("lock", reached)

    assert pc.run("lock")

    assert pc.volumes.prove_locked(pc.volume)
    assert pc.record.proof is not None
    assert pc.record.proof.read_failed
    assert pc.record.session == pc.record.locking == ""
