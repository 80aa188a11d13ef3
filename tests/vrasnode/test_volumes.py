"""Encrypted volumes on real cryptsetup and qemu-storage-daemon: who can read them, and when nobody can."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.vrasnode.volumecast import MIB, Made, holds, qemu_io, write
from vrasnode.errors import Refused
from vrasnode.volumes import Slot, Volumes

pytestmark = pytest.mark.slow


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Made]:
    """A volume that was just made."""
    volume = Made(Volumes(tmp_path / "mydoc"), tmp_path / "mydoc").create()
    yield volume
    volume.volumes.stop(volume.name)


def test_what_is_written_is_read_again_after_a_lock(made: Made) -> None:
    socket = made.volumes.serve(made.name, made.lan_key)
    write(made, 7)
    made.volumes.stop(made.name)

    made.volumes.serve(made.name, made.lan_key)

    assert socket == made.socket
    assert holds(made, 7)
    assert made.volumes.size(made.name) == 16 * MIB


def test_another_key_opens_nothing(made: Made) -> None:
    with pytest.raises(Refused) as refused:
        made.volumes.serve(made.name, os.urandom(32))

    assert refused.value.code == "wrong_key"
    assert made.volumes.serving(made.name) is None
    assert made.volumes.prove_locked(made.name)


def test_the_recovery_key_opens_what_the_lan_key_wrote(made: Made) -> None:
    made.volumes.serve(made.name, made.lan_key)
    write(made, 7)
    made.volumes.stop(made.name)

    made.volumes.serve(made.name, made.recovery_key)

    assert holds(made, 7)


def test_a_key_opens_until_its_slot_is_killed(made: Made) -> None:
    lease = os.urandom(32)
    made.volumes.set_key(made.name, Slot.LEASE, lease, key=made.lan_key)
    assert made.volumes.serve(made.name, lease)
    made.volumes.stop(made.name)

    made.volumes.kill_slot(made.name, Slot.LEASE)

    with pytest.raises(Refused) as refused:
        made.volumes.serve(made.name, lease)
    assert refused.value.code == "wrong_key"
    assert made.volumes.serve(made.name, made.lan_key)


def test_a_lock_is_proven_only_once_nothing_can_be_read(made: Made) -> None:
    made.volumes.serve(made.name, made.lan_key)
    write(made, 7)
    assert not made.volumes.prove_locked(made.name)

    made.volumes.stop(made.name)

    assert qemu_io(made, "read 0 512").returncode != 0
    assert made.volumes.prove_locked(made.name)
