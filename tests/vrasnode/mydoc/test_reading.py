"""A locked volume is opened for its replica and nothing else: real volumes, a virtual server that reads.

The server's half is that of the office; who copies is the test.
"""

import subprocess

import pytest
from msgspec.structs import replace

from tests.vrasnode.mydoccast import DataOffice, DataPc
from vrasnode.errors import Refused, Unreachable, VrasError
from vrasnode.mydoc import cutoff
from vrasnode.mydoc.reading import FAILED
from vrasnode.wire.mydoc import VolumeState

pytestmark = pytest.mark.slow
RUN = "0b6f2e0e-9a5b-4a83-8d6c-0a5f6b8f3a11"


def locked(pc: DataPc) -> str:
    """A volume that was used and is locked."""
    wish = pc.opened()
    pc.say(replace(wish, session="", nonce=""))
    pc.until_state(VolumeState.LOCKED)
    return wish.volume


def is_readable(pc: DataPc, volume: str) -> bool:
    try:
        return pc.mydoc.is_readable(volume, RUN)
    except VrasError:
        return False


def read(pc: DataPc, office: DataOffice, volume: str, *, within_s: float = 600) -> None:
    pc.mydoc.read(volume, RUN, office.halves[volume], within_s=within_s)
    pc.until(lambda: is_readable(pc, volume))


def test_it_is_read_only_and_shared_with_nobody_and_locked_again_with_its_proof(
    pc: DataPc, office: DataOffice
) -> None:
    volume = locked(pc)
    pc.guest.calls.clear()

    read(pc, office, volume)
    socket = pc.volumes.serving(volume)
    write = ["qemu-io", "-f", "raw", f"nbd+unix:///{volume}?socket={socket}", "-c", "write 0 512"]
    written = subprocess.run(write, capture_output=True, text=True, check=False)

    assert pc.report().state is VolumeState.LOCKED
    assert pc.report().code == "being_copied"
    assert "volume_open" in pc.guest.calls
    assert "share_open" not in pc.guest.calls
    assert written.returncode != 0

    pc.mydoc.finish_reading(volume, RUN)
    pc.until(lambda: not pc.readable(volume))

    proof = pc.report().proof
    assert proof is not None
    assert (proof.reason, proof.read_failed, proof.daemon_gone) == ("replica_ended", True, True)
    assert pc.report().code == ""
    with pytest.raises(Unreachable, match="volume_locked"):
        pc.mydoc.is_readable(volume, RUN)


def test_a_logon_comes_first_and_finds_the_volume_to_write_to(pc: DataPc, office: DataOffice) -> None:
    volume = locked(pc)
    read(pc, office, volume)
    pc.guest.told.clear()

    pc.log_on(volume)
    pc.until_state(VolumeState.OPEN)

    socket = pc.volumes.serving(volume)
    write = ["qemu-io", "-f", "raw", f"nbd+unix:///{volume}?socket={socket}", "-c", "write 8M 512"]
    assert subprocess.run(write, capture_output=True, check=False).returncode == 0
    assert not is_readable(pc, volume)


@pytest.mark.parametrize("why", ["replica_took_too_long", "left_the_lan", "server_said"])
def test_it_is_locked_when_its_time_is_over_the_lan_is_left_or_the_server_says_so(
    pc: DataPc, office: DataOffice, why: str
) -> None:
    volume = locked(pc)
    read(pc, office, volume, within_s=600)
    if why == "server_said":
        pc.welcome = False
    elif why == "left_the_lan":
        pc.heard_at = pc.time()
        pc.time.ahead = cutoff.LINK_S + 1  # type: ignore[attr-defined]
    else:
        pc.time.ahead = 601.0  # type: ignore[attr-defined]

    pc.until(lambda: not pc.readable(volume))

    proof = pc.report().proof
    assert proof is not None
    assert proof.reason == why


def test_the_next_agent_locks_what_was_being_read(pc: DataPc, office: DataOffice) -> None:
    volume = locked(pc)
    read(pc, office, volume)

    pc.restart()
    pc.until(lambda: not pc.readable(volume))

    assert pc.report().state is VolumeState.LOCKED


def test_a_wrong_half_opens_nothing_and_breaks_nothing(pc: DataPc, office: DataOffice) -> None:
    volume = locked(pc)

    pc.mydoc.read(volume, RUN, bytes(32), within_s=600)
    pc.until(lambda: pc.report().proof is not None and pc.report().proof.reason == FAILED)

    assert not pc.readable(volume)
    assert pc.report().state is VolumeState.LOCKED
    pc.log_on(volume)
    pc.until_state(VolumeState.OPEN)


def test_a_volume_that_is_open_is_not_read_that_way(pc: DataPc, office: DataOffice) -> None:
    volume = pc.opened().volume

    pc.mydoc.read(volume, RUN, office.halves[volume], within_s=600)
    pc.step()

    assert not pc.mydoc.is_locked(volume)
    assert not is_readable(pc, volume)
    assert pc.report().state is VolumeState.OPEN


def test_on_a_pc_whose_state_is_not_encrypted_nothing_is_read(pc: DataPc, office: DataOffice) -> None:
    volume = locked(pc)
    pc.blocked = ("unencrypted", "The state directory is not encrypted.")
    pc.restart()
    pc.say(*pc.wishes)
    pc.step()

    pc.mydoc.read(volume, RUN, office.halves[volume], within_s=600)
    pc.step()

    with pytest.raises((Refused, Unreachable)):
        pc.mydoc.is_readable(volume, RUN)
    assert not pc.readable(volume)
