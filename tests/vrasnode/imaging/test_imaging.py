"""From the server's word to a staged version: what is followed, what is refused, what is told."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from tests.vrasnode.office import CHUNK, CLIENT_ID, LIFE, Keys, Office, Published, publish, raw
from vrasnode.contact.identity import Identity
from vrasnode.contact.server import Server
from vrasnode.errors import Refused
from vrasnode.imaging.part import Imaging
from vrasnode.imaging.slots import Slots
from vrasnode.wire import codec
from vrasnode.wire.imaging import SLICES, DeliveryReport, DeliveryStage, ImagingSlice, Machine
from vrasnode.wire.signatures import Role, seal

STEPS = 2000


class Clock:
    """Counts on when it is looked at, so that waiting takes no time."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        self.seconds += 0.01
        return self.seconds


class Pc:
    """The part with what it needs, and what it told."""

    kind = Imaging
    threads = 2

    def __init__(self, office: Office, identity: Identity, directory: Path) -> None:
        self.office = office
        self.identity = identity
        self.directory = directory
        self.told: list[DeliveryReport] = []
        self.kept: list[DeliveryReport] = []
        self.looks = 0
        self.clock = Clock()
        self.now = datetime.now(UTC)
        self.restart()

    def restart(self, machine: Machine = Machine.CLIENT_VM) -> None:
        self.slots = self.open_slots()
        self.imaging = self.kind(
            slots=self.slots,
            source=Server(self.office.url, identity=self.identity),
            client_id=CLIENT_ID,
            root_key=raw(self.office.keys.root),
            get_slice=lambda app: self.office.slices.get(app),  # noqa: PLW0108 - tests replace the dict
            report=self._report,
            look=self._look,
            clock=self.clock,
            now=lambda: self.now,
            threads=self.threads,
            clones=False,
            machine=machine,
        )

    def open_slots(self) -> Slots:
        return Slots(self.directory)

    def _report(self, report: DeliveryReport, keep: bool) -> None:
        self.told.append(report)
        if keep:
            self.kept.append(report)

    def _look(self) -> None:
        self.looks += 1

    def work(self, *, until: Callable[[], bool] | None = None) -> None:
        """Steps until it has nothing more to do, or until `until`."""
        for _ in range(STEPS):
            more = self.imaging.step()
            if until() if until else not more:
                return
        if until:
            pytest.fail(f"it never came: {self.told[-3:]}")

    def run(self, version: Published, *, serial: int) -> None:
        """Gets a version and lets it run and be proven."""
        self.office.assign(version, serial=serial)
        self.work()
        self.slots.switch()
        self.slots.mark(proven=True, told=True)
        self.told.clear()

    @property
    def stages(self) -> list[DeliveryStage]:
        found: list[DeliveryStage] = []
        for report in self.told:
            if found[-1:] != [report.stage]:
                found.append(report.stage)
        return found

    def next_image(self) -> bytes:
        assert self.slots.boot.next is not None
        return self.slots.image(self.slots.boot.next.slot).read_bytes()


@pytest.fixture
def pc(office: Office, identity: Identity, tmp_path: Path) -> Pc:
    return Pc(office, identity, tmp_path / "images")


def test_an_assigned_version_is_fetched_staged_and_told(
    pc: Pc,
    office: Office,
    old: Published,
) -> None:
    office.assign(old, serial=1)

    pc.work()

    assert pc.next_image() == old.data
    assert pc.stages == [DeliveryStage.FETCHING, DeliveryStage.STAGED]
    assert [report.stage for report in pc.kept] == [DeliveryStage.STAGED]
    assert pc.told[-1].done_bytes == pc.told[-1].total_bytes == old.packed_bytes


def test_in_the_steady_state_nothing_is_asked_or_told(pc: Pc, office: Office, old: Published) -> None:
    pc.run(old, serial=1)
    asked = len(office.asked)

    assert not pc.imaging.step()

    assert len(office.asked) == asked
    assert pc.told == []


def test_an_update_takes_what_it_has_and_the_running_slot_is_only_read(
    pc: Pc,
    office: Office,
    old: Published,
    new: Published,
) -> None:
    pc.run(old, serial=1)
    assert pc.slots.boot.current is not None
    running = pc.slots.image(pc.slots.boot.current.slot)
    before = running.stat().st_mtime_ns

    office.assign(new, serial=2)
    pc.work()

    assert pc.next_image() == new.data
    assert pc.told[-1].done_bytes == new.packed_bytes
    assert running.read_bytes() == old.data
    assert running.stat().st_mtime_ns == before


def test_a_rollback_is_a_higher_serial_and_finds_the_old_bytes_in_the_other_slot(
    pc: Pc, office: Office, old: Published, new: Published
) -> None:
    pc.run(old, serial=1)
    pc.run(new, serial=2)

    office.assign(old, serial=3)
    pc.work()

    assert pc.next_image() == old.data
    assert pc.told[-1].done_bytes == 0


def test_not_its_turn_yet_means_waiting(pc: Pc, office: Office, old: Published) -> None:
    office.assign(old, serial=1, released=False)
    pc.work()
    assert pc.told == []
    assert pc.slots.boot.serial == 1

    office.assign(old, serial=1)
    pc.work()

    assert pc.stages[-1] is DeliveryStage.STAGED


def test_a_newer_assignment_ends_the_one_under_way(
    pc: Pc,
    office: Office,
    old: Published,
    new: Published,
) -> None:
    office.assign(old, serial=1)
    pc.work(until=lambda: bool(pc.told))

    office.assign(new, serial=2)
    pc.work()

    assert pc.next_image() == new.data
    assert pc.told[-1].serial == 2


def test_no_assignment_means_to_keep_what_is_there(pc: Pc, office: Office, old: Published) -> None:
    pc.run(old, serial=1)
    before = pc.slots.boot

    office.say(ImagingSlice(assignment=None))
    pc.work()

    assert pc.slots.boot == before


def test_the_version_that_runs_already_stays_under_the_new_serial(
    pc: Pc, office: Office, old: Published
) -> None:
    pc.run(old, serial=1)

    office.assign(old, serial=2)
    pc.work()

    current = pc.slots.boot.current
    assert current is not None
    assert (current.serial, current.told) == (2, False)
    assert pc.slots.boot.next is None


@pytest.mark.parametrize(
    ("code", "changes"),
    [
        ("lower_serial", {"serial": 4}),
        ("serial_reused", {"serial": 5}),
        ("not_ours", {"serial": 6, "client_id": "another"}),
        ("assignment_expired", {"serial": 6, "expires": datetime.now(UTC) - timedelta(seconds=1)}),
    ],
)
def test_an_assignment_that_must_not_be_followed_is_refused_told_once_and_changes_nothing(
    code: str, changes: dict[str, Any], pc: Pc, old: Published, new: Published
) -> None:
    pc.run(old, serial=5)
    before = pc.slots.boot

    pc.office.assign(new, **changes)
    with pytest.raises(Refused) as refused:
        pc.work()
    pc.clock.seconds += 3600
    with pytest.raises(Refused):
        pc.work()

    assert refused.value.code == code
    assert pc.slots.boot == before
    assert [(report.serial, report.code) for report in pc.told] == [(changes["serial"], code)]


@pytest.mark.parametrize("machine", list(Machine))
def test_an_assignment_for_the_other_machine_is_refused_told_once_and_changes_nothing(
    pc: Pc, office: Office, old: Published, machine: Machine
) -> None:
    pc.restart(machine)
    other = next(one for one in Machine if one is not machine)
    office.assign(old, serial=3, machine=other)
    office.slices[SLICES[machine]] = office.slices.pop(SLICES[other])  # replayed where it does not belong

    for _ in range(2):
        with pytest.raises(Refused) as refused:
            pc.work()
        pc.clock.seconds += 3600

    assert refused.value.code == "wrong_machine"
    assert pc.slots.boot.serial == 0
    assert [(report.serial, report.code) for report in pc.told] == [(3, "wrong_machine")]


def test_each_machine_follows_its_own_slice(pc: Pc, office: Office, old: Published, new: Published) -> None:
    office.assign(old, serial=1)
    office.assign(new, serial=2, machine=Machine.VIRTUAL_SERVER)
    pc.restart(Machine.VIRTUAL_SERVER)

    pc.work()

    assert pc.next_image() == new.data
    assert pc.slots.boot.serial == 2


def test_an_assignment_by_a_key_that_the_root_never_vouched_for_is_refused(
    pc: Pc, office: Office, old: Published
) -> None:
    assignment = office.assign(old, serial=1)
    forged = seal(codec.encode(assignment), Role.ASSIGNMENT, Keys().assignment)
    office.say(replace(codec.decode(office.slices["imaging"], ImagingSlice), assignment=forged))

    with pytest.raises(Refused) as refused:
        pc.work()

    assert refused.value.code == "unknown_key"
    assert pc.slots.boot.serial == 0


def test_a_manifest_signed_for_another_purpose_or_by_nobody_is_refused(
    pc: Pc, office: Office, old: Published, new: Published
) -> None:
    office.assign(old, serial=1)
    office.content[f"/m/{old.digest}"] = new.encoded

    pc.work()

    assert pc.told[-1].stage is DeliveryStage.FAILED
    assert pc.told[-1].code == "wrong_manifest"
    assert pc.slots.boot.next is None


def test_an_expired_assignment_stops_fetching_but_not_what_is_staged(
    pc: Pc, office: Office, old: Published, new: Published
) -> None:
    office.assign(old, serial=1)
    pc.work()

    pc.now += 2 * LIFE
    pc.restart()
    with pytest.raises(Refused):  # the role key has expired as well
        pc.work()

    assert pc.next_image() == old.data


def test_an_assignment_that_expires_under_way_is_not_gone_on_with(
    pc: Pc, office: Office, old: Published
) -> None:
    office.assign(old, serial=1, expires=pc.now + timedelta(hours=1))
    office.refuse_ranges = (503, "maintenance")
    pc.work(until=lambda: bool(pc.told))

    pc.now += timedelta(hours=2)
    office.refuse_ranges = None
    with pytest.raises(Refused) as refused:
        pc.work(until=lambda: False)

    assert refused.value.code == "assignment_expired"
    assert pc.slots.boot.next is None


def test_a_failure_is_told_and_only_a_new_serial_is_tried_again(
    pc: Pc,
    office: Office,
    old: Published,
    new: Published,
) -> None:
    pc.run(old, serial=1)
    for pack_id in new.packs:
        office.packs[pack_id][100] ^= 1
    office.assign(new, serial=2)
    pc.work()
    assert (pc.told[-1].stage, pc.told[-1].code) == (DeliveryStage.FAILED, "wrong_bytes")
    assert pc.told[-1].refetched_chunks > 0
    current = pc.slots.boot.current
    assert current is not None
    assert pc.slots.image(current.slot).read_bytes() == old.data

    told = len(pc.told)
    pc.restart()
    pc.work()
    assert len(pc.told) == told

    for pack_id in new.packs:
        office.packs[pack_id][100] ^= 1
    office.assign(new, serial=3)
    pc.work()
    assert pc.next_image() == new.data


def test_a_full_disk_is_told_gives_its_room_back_and_leaves_what_runs(
    office: Office,
    identity: Identity,
    keys: Keys,
    old: Published,
    small_disk: Callable[[int], Path],
) -> None:
    disk = small_disk(48 << 20)
    pc = Pc(office, identity, disk / "images")
    pc.run(old, serial=1)
    large = publish(keys, b"".join(bytes([n]) * (1 << 20) for n in range(1, 60)), chunk_bytes=1 << 20)
    office.stock(large)

    office.assign(large, serial=2)
    pc.work()

    assert (pc.told[-1].stage, pc.told[-1].code) == (DeliveryStage.FAILED, "disk_full")
    assert not list((disk / "images").glob("*.raw.part"))
    assert pc.slots.boot.current is not None
    assert pc.slots.image(pc.slots.boot.current.slot).read_bytes() == old.data


def test_the_next_process_goes_on_with_the_manifest_that_is_there(
    pc: Pc, office: Office, old: Published
) -> None:
    office.assign(old, serial=1)
    office.refuse_ranges = (503, "maintenance")
    pc.work(until=lambda: any("/p/" in asked for asked in office.asked))
    pc.imaging.close()

    office.refuse_ranges = None
    pc.restart()
    pc.work()

    assert pc.next_image() == old.data
    assert office.asked.count(f"GET /m/{old.digest}") == 1


def test_while_the_server_is_away_it_waits_and_nothing_is_given_up(
    pc: Pc,
    office: Office,
    old: Published,
) -> None:
    office.assign(old, serial=1)
    office.refuse[f"/m/{old.digest}"] = (503, "maintenance")
    pc.work()
    assert pc.stages == []
    assert pc.slots.boot.failed is None

    del office.refuse[f"/m/{old.digest}"]
    pc.clock.seconds += 60
    pc.work()

    assert pc.next_image() == old.data


def test_when_its_permission_ends_it_looks_for_a_new_one_and_goes_on_with_it(
    pc: Pc,
    office: Office,
    old: Published,
) -> None:
    office.assign(old, serial=1)
    office.refuse_ranges = (403, "permission_ended")
    pc.work(until=lambda: pc.looks > 0)

    office.refuse_ranges = None
    wish = codec.decode(office.slices["imaging"], ImagingSlice)
    assert wish.fetch is not None
    office.say(replace(wish, fetch=replace(wish.fetch, rate_bytes_s=10_000_000)))
    pc.work(until=lambda: pc.slots.boot.next is not None)

    assert pc.next_image() == old.data
    assert pc.slots.boot.failed is None


def test_a_staged_version_that_turned_bad_is_made_whole_again_and_counted(
    pc: Pc,
    office: Office,
    old: Published,
    new: Published,
) -> None:
    pc.run(old, serial=1)
    office.assign(new, serial=2)
    pc.work()
    assert pc.slots.boot.next is not None
    image = pc.slots.image(pc.slots.boot.next.slot)
    image.chmod(0o600)
    with image.open("rb+") as file:
        file.seek(7 * CHUNK)
        file.write(b"flipped")
    pc.told.clear()

    pc.slots.spoil(1)  # as the desktop does when it finds that
    pc.work()

    assert pc.next_image() == new.data
    assert pc.told[-1].stage is DeliveryStage.STAGED
    assert pc.told[-1].refetched_chunks == 1
    assert 0 < pc.told[-1].done_bytes <= CHUNK


def test_while_a_new_version_has_to_prove_itself_the_way_back_is_not_written(
    pc: Pc, office: Office, keys: Keys, old: Published, new: Published
) -> None:
    pc.run(old, serial=1)
    office.assign(new, serial=2)
    pc.work()
    pc.slots.switch()
    third = publish(keys, old.data[: 20 * CHUNK], base=[old])
    office.stock(third)

    office.assign(third, serial=3)
    pc.work()
    assert pc.slots.boot.previous is not None
    assert pc.slots.image(pc.slots.boot.previous.slot).read_bytes() == old.data

    pc.slots.mark(proven=True, told=True)
    pc.work()
    assert pc.next_image() == old.data[: 20 * CHUNK]


def test_a_slice_that_cannot_be_read_is_refused_and_the_next_one_is_followed(
    pc: Pc, office: Office, old: Published
) -> None:
    office.slices = {"imaging": b"{", "clients": b"{}"}
    with pytest.raises(Refused):
        pc.work()

    office.assign(old, serial=1)
    pc.work()

    assert pc.slots.boot.next is not None
