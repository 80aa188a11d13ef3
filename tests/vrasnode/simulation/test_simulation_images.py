"""A simulated PC without image bytes: it fetches and checks like a PC, and keeps a hole."""

from pathlib import Path

import pytest

from tests.vrasnode.imaging.test_imaging import Pc
from tests.vrasnode.office import Office, Published
from vrasnode.chunks import framemap
from vrasnode.contact.identity import Identity
from vrasnode.imaging import checking
from vrasnode.imaging.slots import Slots
from vrasnode.simulation.images import EmptySlots, FetchingAlone
from vrasnode.wire.imaging import DeliveryStage


class BareBonesPc(Pc):
    """The same part over slots that keep nothing, and what its pointer was watched to do."""

    kind = FetchingAlone
    threads = 1

    def open_slots(self) -> Slots:
        self.watched: list[tuple[int, DeliveryStage]] = []
        return EmptySlots(self.directory, watch=lambda *seen: self.watched.append(seen))


@pytest.fixture
def pc(office: Office, identity: Identity, tmp_path: Path) -> BareBonesPc:
    return BareBonesPc(office, identity, tmp_path / "images")


def staged(pc: BareBonesPc) -> Path:
    assert pc.slots.boot.next is not None
    return pc.slots.image(pc.slots.boot.next.slot)


def test_every_byte_is_fetched_and_none_is_kept(pc: BareBonesPc, office: Office, old: Published) -> None:
    office.assign(old, serial=1)

    pc.work()

    assert staged(pc).stat().st_size == len(old.data)
    assert staged(pc).stat().st_blocks == 0
    assert office.sent_bytes >= old.packed_bytes
    assert pc.watched == [(1, DeliveryStage.FETCHING), (1, DeliveryStage.STAGED)]
    assert pc.stages[-1] is DeliveryStage.STAGED


def test_what_is_kept_passes_the_check_before_the_switch(
    pc: BareBonesPc, office: Office, old: Published
) -> None:
    office.assign(old, serial=1)
    pc.work()
    assert pc.slots.boot.next is not None
    manifest = pc.slots.manifest(pc.slots.boot.next)
    assert manifest is not None

    looking = checking.verify(staged(pc), manifest, threads=1)
    with pytest.raises(StopIteration) as end:
        while True:
            next(looking)

    assert end.value.value.sound


def test_only_what_the_version_before_lacks_is_fetched(
    pc: BareBonesPc, office: Office, old: Published, new: Published
) -> None:
    pc.run(old, serial=1)
    before = office.sent_bytes
    office.assign(new, serial=2)

    pc.work()

    lists = len(new.encoded) + len(new.frames)
    assert 0 < office.sent_bytes - before - lists <= new.packed_bytes + (64 << 10)
    assert pc.told[-1].total_bytes < old.packed_bytes


def test_wrong_bytes_are_refused_though_none_are_kept(
    pc: BareBonesPc, office: Office, old: Published
) -> None:
    for pack in office.packs.values():
        for place in range(0, len(pack) - 512, 512):
            pack[place] ^= 0xFF
    office.assign(old, serial=1)

    pc.work()

    assert pc.told[-1].stage is DeliveryStage.FAILED
    assert pc.slots.boot.next is None
    assert pc.watched[-1] == (1, DeliveryStage.FAILED)


def test_the_bytes_of_another_chunk_are_wrong_bytes(pc: BareBonesPc, office: Office, old: Published) -> None:
    header = old.manifest.header
    frames = framemap.decode(old.frames, chunks=len(old.manifest), chunk_bytes=header.chunk_bytes)
    places = [frames.place(index) for index in range(len(frames))]
    places[0], places[1] = places[1], places[0]
    office.content[f"/f/{old.digest}"] = framemap.encode(framemap.build(places))
    office.assign(old, serial=1)

    pc.work()

    assert (pc.told[-1].stage, pc.told[-1].code) == (DeliveryStage.FAILED, "wrong_bytes")
