"""Encrypted volumes on real cryptsetup and qemu-storage-daemon: who can read them, and when nobody can."""

import os
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.vrasnode.volumecast import MIB, Made, holds, qemu_io, write
from vrasnode.errors import HostBroken, Refused
from vrasnode.mydoc.volumes import Slot

pytestmark = pytest.mark.slow


def test_what_was_written_is_there_again_after_a_lock(made: Made) -> None:
    made.serve()
    write(made, 7)
    made.stop()

    socket = made.volumes.serve(made.name, made.lan_key)

    assert socket == made.socket
    assert holds(made, 7)
    assert made.volumes.size(made.name) == 16 * MIB


def test_a_new_volume_lies_behind_its_owners_rights_and_takes_no_room(tmp_path: Path) -> None:
    made = Made(tmp_path / "mydoc").create()

    assert stat.S_IMODE(made.file.stat().st_mode) == 0o600
    assert stat.S_IMODE(made.file.parent.stat().st_mode) == 0o700
    assert made.file.stat().st_blocks * 512 < 3 * MIB
    assert not list(made.file.parent.glob("*.part"))


def test_a_volume_is_not_made_twice(made: Made) -> None:
    before = made.file.read_bytes()

    with pytest.raises(Refused) as refused:
        made.create()

    assert refused.value.code == "volume_exists"
    assert made.file.read_bytes() == before


def test_another_key_opens_nothing(made: Made) -> None:
    with pytest.raises(Refused) as refused:
        made.volumes.serve(made.name, os.urandom(32))

    assert refused.value.code == "wrong_key"
    assert made.volumes.serving(made.name) is None
    assert made.volumes.prove_locked(made.name)


def test_the_recovery_key_opens_what_the_lan_key_wrote(made: Made) -> None:
    made.serve()
    write(made, 7)
    made.stop()

    made.volumes.serve(made.name, made.recovery_key)

    assert holds(made, 7)


def test_a_key_opens_until_its_slot_is_killed(made: Made) -> None:
    lease = os.urandom(32)
    made.volumes.set_key(made.name, Slot.LEASE, lease, key=made.lan_key)
    assert made.volumes.opens(made.name, lease, Slot.LEASE)
    made.volumes.serve(made.name, lease)
    made.stop()

    made.volumes.kill_slot(made.name, Slot.LEASE)

    with pytest.raises(Refused) as refused:
        made.volumes.serve(made.name, lease)
    assert refused.value.code == "wrong_key"
    assert made.volumes.opens(made.name, made.lan_key)


def test_a_new_recovery_key_replaces_the_one_before(made: Made) -> None:
    newer = os.urandom(32)

    made.volumes.set_key(made.name, Slot.RECOVERY, newer, key=made.lan_key)

    assert made.volumes.opens(made.name, newer)
    assert not made.volumes.opens(made.name, made.recovery_key)
    with pytest.raises(Refused) as refused:
        made.volumes.set_key(made.name, Slot.RECOVERY, made.recovery_key, key=newer)
    assert refused.value.code == "wrong_key"
    assert made.volumes.opens(made.name, newer)  # its own slot was not killed first


def test_the_last_key_is_never_killed(made: Made) -> None:
    made.volumes.kill_slot(made.name, Slot.RECOVERY)

    with pytest.raises(Refused) as refused:
        made.volumes.kill_slot(made.name, Slot.LAN)

    assert refused.value.code == "last_slot"
    assert made.volumes.opens(made.name, made.lan_key)


def test_a_lock_is_proven_once_nothing_can_be_read_and_not_before(made: Made) -> None:
    made.serve()
    write(made, 7)
    assert not made.volumes.prove_locked(made.name)

    made.stop()

    assert qemu_io(made, "read 0 512").returncode != 0
    assert made.volumes.prove_locked(made.name)


def test_a_lock_is_not_proven_while_anybody_holds_the_file(made: Made) -> None:
    with made.file.open("rb"):
        assert not made.volumes.prove_locked(made.name)

    loop = subprocess.run(
        ["losetup", "--find", "--show", made.file], capture_output=True, text=True, check=True
    ).stdout.strip()
    try:
        assert not made.volumes.prove_locked(made.name)
    finally:
        subprocess.run(["losetup", "--detach", loop], check=True)


def test_a_lock_is_not_proven_while_the_file_is_served_under_another_name(made: Made) -> None:
    made.serve()

    made.file.rename(made.file.with_name("moved"))

    assert not made.volumes.prove_locked(made.name)


def test_an_open_volume_stays_open_when_it_is_opened_again(made: Made) -> None:
    made.serve()
    daemon = made.daemon

    made.volumes.serve(made.name, os.urandom(32))

    assert made.daemon == daemon


def test_a_volume_outlives_its_agent_and_the_next_agent_locks_it(made: Made) -> None:
    with made.agent("serve") as agent:
        assert agent.stdout
        assert agent.stdout.readline() == "done\n"
        write(made, 7)
    assert made.volumes.serving(made.name) == made.socket
    assert holds(made, 7)

    made.stop()

    assert made.volumes.serving(made.name) is None
    assert made.volumes.prove_locked(made.name)


def test_a_killed_daemon_locks_the_volume_and_loses_nothing_that_it_acknowledged(made: Made) -> None:
    made.serve()
    write(made, 7)

    made.kill_daemon()

    assert made.volumes.serving(made.name) is None
    assert made.volumes.prove_locked(made.name)
    made.serve()
    assert holds(made, 7)


def test_a_daemon_that_hangs_is_ended_all_the_same(made: Made) -> None:
    made.serve()
    os.kill(made.daemon, 19)  # SIGSTOP

    made.stop()

    assert made.volumes.prove_locked(made.name)


def test_a_volume_grows_while_it_is_locked_and_is_never_made_smaller(made: Made) -> None:
    made.serve()
    write(made, 7)
    with pytest.raises(Refused) as refused:
        made.volumes.grow(made.name, 32 * MIB)
    assert refused.value.code == "volume_open"
    made.stop()

    made.volumes.grow(made.name, 32 * MIB)
    made.volumes.grow(made.name, 8 * MIB)

    assert made.volumes.size(made.name) == 32 * MIB
    made.serve()
    write(made, 8, at=31 * MIB)
    assert holds(made, 7)
    assert holds(made, 8, at=31 * MIB)


def test_the_name_of_a_volume_leads_nowhere_else(made: Made) -> None:
    for name in ("..", "", "../../etc", made.name.upper(), f"{made.name}/", "open"):
        with pytest.raises(Refused) as refused:
            made.volumes.exists(name)
        assert refused.value.code == "bad_volume"


def test_a_full_disk_is_said_when_a_volume_is_made(small_disk: Callable[[int], Path]) -> None:
    unmade = Made(small_disk(MIB) / "mydoc")

    with pytest.raises(HostBroken) as broken:
        unmade.create()

    assert broken.value.code == "disk_full"
    assert not unmade.volumes.exists(unmade.name)
    assert unmade.volumes.prove_locked(unmade.name)


def test_a_full_disk_keeps_what_was_acknowledged(small_disk: Callable[[int], Path]) -> None:
    disk = small_disk(6 * MIB)
    crowded = Made(disk / "mydoc").create()
    try:
        crowded.serve()
        write(crowded, 7, length=2 * MIB)

        failed = qemu_io(crowded, f"write -P 8 {2 * MIB} {8 * MIB}")

        assert "No space left on device" in failed.stdout + failed.stderr
        assert holds(crowded, 7, length=2 * MIB)
        subprocess.run(["mount", "-o", f"remount,size={64 * MIB}", disk], check=True)
        write(crowded, 8, at=2 * MIB, length=8 * MIB)
    finally:
        crowded.stop()


def test_a_place_too_deep_for_a_socket_is_said(tmp_path: Path) -> None:
    deep = Made(tmp_path / ("d" * 90)).create()

    with pytest.raises(HostBroken) as broken:
        deep.serve()

    assert broken.value.code == "storage_daemon_failed"
    assert "shorter" in broken.value.words


def test_a_volume_that_was_never_made_is_missing(tmp_path: Path) -> None:
    absent = Made(tmp_path / "mydoc")

    with pytest.raises(HostBroken) as broken:
        absent.serve()

    assert broken.value.code == "volume_missing"
