"""The pointer: what is current, what is next, and where to go back to."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.vrasnode.office import CLIENT_ID, IMAGE, Published
from vrasnode.errors import HostBroken, Refused
from vrasnode.imaging.slots import Slot, Slots, read_boot
from vrasnode.wire.imaging import Apply, Assignment, Health


def assignment(version: Published, serial: int) -> Assignment:
    return Assignment(
        client_id=CLIENT_ID,
        serial=serial,
        image=IMAGE,
        number=serial,
        manifest=version.digest,
        apply=Apply.NEXT_START,
        health=Health(within_s=60),
        expires=datetime.now(UTC) + timedelta(days=1),
    )


def fill(slots: Slots, version: Published, data: bytes, *, serial: int) -> None:
    """Accepts and stages a version without a network."""
    wish = assignment(version, serial)
    slots.accept(wish)
    slot = slots.open()
    slots.part(slot).write_bytes(data)
    slots.stage(wish, slot, version.encoded)


@pytest.fixture
def slots(tmp_path: Path) -> Slots:
    return Slots(tmp_path / "images")


@pytest.fixture
def running(slots: Slots, old: Published) -> Slots:
    """The old version runs and is proven."""
    fill(slots, old, old.data, serial=1)
    slots.switch()
    slots.mark(proven=True, told=True)
    return slots


def again(slots: Slots) -> Slots:
    """As the next process finds it."""
    found = Slots(slots.directory)
    assert found.boot == slots.boot
    return found


def test_a_new_pc_points_at_nothing(slots: Slots) -> None:
    assert again(slots).boot.current is None
    assert slots.free is Slot.A


def test_what_is_staged_is_there_for_the_next_process_and_cannot_be_written(
    slots: Slots,
    old: Published,
) -> None:
    fill(slots, old, old.data, serial=1)

    staged = again(slots).boot.next

    assert staged is not None
    assert slots.image(staged.slot).read_bytes() == old.data
    assert slots.image(staged.slot).stat().st_mode & 0o777 == 0o444
    found = slots.manifest(staged)
    assert found is not None
    assert found.digest == old.digest


def test_a_switch_keeps_the_way_back_and_counts_from_nought(
    running: Slots,
    new: Published,
) -> None:
    fill(running, new, new.data, serial=2)

    running.switch()

    boot = again(running).boot
    assert boot.current is not None
    assert boot.previous is not None
    assert (boot.current.serial, boot.previous.serial, boot.starts) == (2, 1, 0)
    assert not boot.current.proven
    assert boot.current.overlay != boot.previous.overlay


def test_the_running_slot_is_never_the_one_to_write(running: Slots, new: Published) -> None:
    for serial in range(2, 6):
        current = running.boot.current
        assert current is not None
        assert running.open() is not current.slot
        fill(running, new, new.data, serial=serial)
        running.switch()


def test_going_back_takes_the_old_version_with_its_own_overlay(
    running: Slots,
    new: Published,
) -> None:
    before = running.boot.current
    fill(running, new, new.data, serial=2)
    running.switch()

    running.go_back(Refused("unhealthy", "It did not start."))

    boot = again(running).boot
    assert boot.current == before
    assert boot.previous is None
    assert boot.failed is not None
    assert (boot.failed.serial, boot.failed.code) == (2, "unhealthy")


def test_opening_the_free_slot_lets_go_of_what_was_in_it_but_keeps_its_bytes(
    running: Slots,
    new: Published,
) -> None:
    fill(running, new, new.data, serial=2)

    slot = running.open()

    assert again(running).boot.next is None
    assert running.part(slot).read_bytes() == new.data
    assert not running.image(slot).exists()


def test_the_same_version_under_a_new_serial_stays_with_its_overlay(running: Slots, old: Published) -> None:
    before = running.boot.current
    assert before is not None
    wish = assignment(old, 7)
    running.accept(wish)

    running.keep(wish)

    current = again(running).boot.current
    assert current is not None
    assert (current.serial, current.overlay) == (7, before.overlay)
    assert current.proven
    assert not current.told


def test_a_late_failure_of_an_old_assignment_does_not_bring_a_newer_one_back(running: Slots) -> None:
    running.fail(5, HostBroken("disk_full", "Full."))
    running.fail(3, Refused("unhealthy", "Old."))

    failed = again(running).boot.failed
    assert failed is not None
    assert failed.serial == 5


def test_a_manifest_of_another_version_is_not_taken_for_this_one(running: Slots, new: Published) -> None:
    current = running.boot.current
    assert current is not None
    manifest = running.directory / f"{current.slot}.manifest"
    manifest.chmod(0o600)

    manifest.write_bytes(new.encoded)
    assert running.manifest(current) is None
    manifest.write_bytes(b"nonsense")
    assert running.manifest(current) is None


def test_a_pointer_that_cannot_be_read_is_said_and_not_overwritten(running: Slots) -> None:
    pointer = running.directory / "boot.json"
    pointer.write_bytes(b"{")

    with pytest.raises(HostBroken) as broken:
        Slots(running.directory)

    assert broken.value.code == "pointer_unreadable"
    assert pointer.read_bytes() == b"{"


def test_on_a_full_disk_the_pointer_stays_what_it_was(
    small_disk: Callable[[int], Path], old: Published
) -> None:
    directory = small_disk(256 << 10)
    slots = Slots(directory / "images")
    slots.accept(assignment(old, 1))
    before = slots.boot
    with pytest.raises(OSError, match="space"):
        (directory / "ballast").write_bytes(bytes(256 << 10))

    with pytest.raises(HostBroken) as broken:
        slots.fail(1, Refused("unhealthy", "It did not start."))

    assert broken.value.code == "disk_full"
    assert slots.boot == before == read_boot(slots.directory)
