"""The crank: every part gets its bite, whatever the others do."""

import logging
import threading
from pathlib import Path

import pytest

from tests.vrasnode.office import Office, Published
from vrasnode import world
from vrasnode.agent import Agent
from vrasnode.building import build
from vrasnode.contact.identity import Identity
from vrasnode.domainxml import Firmware
from vrasnode.errors import HostBroken, Refused, VrasError
from vrasnode.machines.options import Options, machine_of
from vrasnode.places import State


class Part:
    def __init__(self, name: str, *, more: int = 0, error: Exception | None = None) -> None:
        self.name = name
        self.more = more
        self.error = error
        self.steps = 0
        self.closed = False

    def step(self) -> bool:
        self.steps += 1
        if self.error:
            raise self.error
        return self.steps <= self.more

    def close(self) -> None:
        self.closed = True


def agent(*parts: Part) -> Agent:
    return Agent(parts, wake=threading.Event(), stop=threading.Event())


def test_every_part_has_its_bite_even_when_an_earlier_one_has_more() -> None:
    busy, idle = Part("busy", more=2), Part("idle")
    crank = agent(busy, idle)

    assert [crank.turn(), crank.turn(), crank.turn()] == [True, True, False]
    assert (busy.steps, idle.steps) == (3, 3)


@pytest.mark.parametrize("error", [HostBroken("disk_full", "Full."), ValueError("a bug")])
def test_a_broken_part_does_not_stop_the_others(error: Exception) -> None:
    broken, sound = Part("broken", error=error), Part("sound", more=1)
    crank = agent(broken, sound)

    assert crank.turn()
    assert not crank.turn()
    assert sound.steps == broken.steps == 2


def test_trouble_is_logged_when_it_comes_and_when_it_is_over(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    part = Part("imaging", error=Refused("lower_serial", "Too low."))
    crank = agent(part)
    for _ in range(5):
        crank.turn()
    part.error = ValueError("a bug")
    crank.turn()
    part.error = None
    crank.turn()
    crank.turn()

    assert [record.getMessage() for record in caplog.records] == [
        "imaging: Too low. [lower_serial]",
        "imaging: a bug of ours",
        "imaging: goes on",
    ]
    assert caplog.records[1].exc_info is not None


def test_a_stop_ends_it_and_every_part_lets_go() -> None:
    wake, stop = threading.Event(), threading.Event()
    parts = [Part("one"), Part("two", more=10**9)]
    crank = Agent(parts, wake=wake, stop=stop)
    turning = threading.Thread(target=crank.run)
    turning.start()

    stop.set()
    wake.set()
    turning.join(10)

    assert not turning.is_alive()
    assert all(part.closed for part in parts)


def test_a_wake_during_a_turn_is_not_lost() -> None:
    wake, stop = threading.Event(), threading.Event()

    class Waking(Part):
        def step(self) -> bool:
            wake.set()  # as another thread does while this one works
            if super().step() or self.steps >= 3:
                stop.set()
            return False

    Agent([Waking("waking")], wake=wake, stop=stop, tick_s=3600).run()


def test_the_machine_keeps_its_uuid_and_its_size_until_told_otherwise(tmp_path: Path) -> None:
    first = machine_of(tmp_path / "desktop", Options())
    second = machine_of(tmp_path / "desktop", Options(memory_mib=512, firmware=Firmware.EFI))

    assert (first.memory_mib, first.vcpus, first.firmware) == (192, 1, Firmware.BIOS)
    assert machine_of(tmp_path / "desktop", Options()) == second
    assert second.uuid == first.uuid
    assert (second.memory_mib, second.firmware) == (512, Firmware.EFI)


def test_a_machine_file_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    (tmp_path / "machine.json").write_bytes(b"{}")

    with pytest.raises(HostBroken) as broken:
        machine_of(tmp_path, Options())

    assert broken.value.code == "machine_unreadable"


def build_in(directory: Path) -> Agent:
    state = State(directory)
    return build(
        state,
        world=world.pc(
            directory, images=state.images, desktop=state.desktop, hypervisor_uri="test:///default"
        ),
        options=Options(),
        stop=threading.Event(),
        wake=threading.Event(),
    )


def test_a_pc_that_is_not_enrolled_does_not_run(tmp_path: Path) -> None:
    with pytest.raises(VrasError) as refused:
        build_in(tmp_path)

    assert refused.value.code == "not_enrolled"


def test_put_together_it_reaches_from_the_servers_word_to_a_staged_version(
    office: Office, identity: Identity, old: Published, tmp_path: Path
) -> None:
    office.assign(old, serial=1)
    crank = build_in(tmp_path)
    image = tmp_path / "images" / "a.raw"

    for _ in range(2000):
        if image.exists():
            break
        crank.turn()
    for part in crank.parts:
        part.close()

    assert image.read_bytes() == old.data
    assert office.beats[0].desktop == "absent"
