"""Power cuts and wrong bytes at any moment and anywhere (rows T2, T3): old or new, never neither."""

import random
from pathlib import Path

import pytest

from config.demo.office import GROUP, IMAGE, DemoPc
from tests.lab.office import Walk
from vrasnode.wire.imaging import CHUNK_BYTES

pytestmark = pytest.mark.slow

SLOW_RATE = "600k"  # makes the fetch of the demo's small update last about as long as the boot after it
WINDOW_S = 12.0  # fetch, assembly, shutdown, switch and boot
CONNECTIONS = 4
IN_TESTS, IN_SOAK = range(3), range(20)


def forget_the_other_slot(pc: DemoPc, walk: Walk) -> None:
    """Leaves the PC with its current version only, so that an update has to be fetched."""
    current = walk.slots().boot.current
    assert current is not None
    for path in (pc.state / "images").glob(f"{current.slot.other}.*"):
        path.unlink()


def cut_power_and_go_on(walk: Walk, seed: int) -> None:
    """One seeded kill -9 of the agent during an update, with every look that the row asks for."""
    here, there = walk.settle()
    walk.pc.agent.end()
    forget_the_other_slot(walk.pc, walk)
    walk.pc.agent.start()
    delta = walk.missing_bytes(there, has=here)
    received = walk.office.received_bytes()
    distribution = walk.distribute(there, "--rate", SLOW_RATE)
    moment = random.Random(seed).uniform(0, WINDOW_S)

    walk.pause(moment)
    walk.pc.agent.kill()

    boot = walk.slots().boot
    assert boot.current is not None
    assert walk.wrong_chunks(boot.current) == 0
    if boot.next is not None:
        assert walk.wrong_chunks(boot.next) == 0

    walk.pc.agent.start()
    walk.wait("a guest that runs old or new", lambda: walk.answers(here) or walk.answers(there))
    assert walk.ended(distribution)["state"] == "booted"
    assert walk.runs(there)
    current = walk.slots().boot.current
    assert current is not None
    assert walk.wrong_chunks(current) == 0
    # What was under way on each connection is fetched again, and the few lists that say what there is.
    again = walk.office.received_bytes() - received - delta
    assert again <= delta // 100 + CONNECTIONS * CHUNK_BYTES + 256 * 1024


@pytest.mark.parametrize("seed", IN_TESTS)
def test_an_agent_killed_at_a_random_point_goes_on_by_itself(walk: Walk, seed: int) -> None:
    cut_power_and_go_on(walk, seed)


@pytest.mark.soak
@pytest.mark.parametrize("seed", IN_SOAK)
def test_an_agent_killed_at_many_random_points_goes_on_by_itself(walk: Walk, seed: int) -> None:
    cut_power_and_go_on(walk, seed)


def test_the_desktop_runs_on_while_the_agent_is_dead_and_is_taken_over(walk: Walk) -> None:
    here, _there = walk.settle()
    begun = walk.pc.guest_boot_id()

    walk.pc.agent.kill()
    assert walk.runs(here)
    walk.pc.agent.start()

    walk.wait("presence", lambda: walk.office.ctl("pc", "show", walk.pc.name)["desktop"] == "running")
    assert walk.pc.guest_boot_id() == begun


@pytest.mark.parametrize("parts", [["web"], ["worker", "redis"]])
def test_a_part_of_the_server_killed_in_the_middle_costs_no_result(walk: Walk, parts: list[str]) -> None:
    walk.bring_to("v1")  # the way to v2 is long enough for a middle
    forget_the_other_slot(walk.pc, walk)
    distribution = walk.distribute("v2", "--rate", SLOW_RATE)
    walk.wait("the fetch", lambda: walk.delivery(distribution)["state"] == "fetching")

    for part in parts:
        walk.office.server.child(part).kill()
        walk.office.server.restart(part)

    assert walk.ended(distribution)["state"] == "booted"
    assert walk.runs("v2")


def flip(path: Path, offset: int) -> None:
    """Changes one bit on the disk, as age would."""
    mode = path.stat().st_mode
    path.chmod(0o600)
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 1]))
    path.chmod(mode)


def test_a_flipped_bit_in_a_staged_image_is_fetched_again_and_never_booted(walk: Walk) -> None:
    _here, there = walk.settle()
    answer = walk.office.ctl("distribute", f"{IMAGE}@{walk.version(there)}", "--group", GROUP)
    walk.wait("staged", lambda: walk.delivery(answer["id"])["state"] == "staged")
    staged = walk.slots().boot.next
    assert staged is not None
    listed = walk.slots().manifest(staged)
    assert listed is not None
    flip(walk.slots().image(staged.slot), listed.numbers[len(listed) // 2] * CHUNK_BYTES + 100)

    walk.pc.shut_down_desktop()

    delivery = walk.ended(answer["id"])
    assert (delivery["state"], delivery["refetched_chunks"]) == ("booted", 1)
    assert walk.runs(there)
    current = walk.slots().boot.current
    assert current is not None
    assert walk.wrong_chunks(current) == 0


def test_a_flipped_bit_in_the_store_is_never_booted_and_said(walk: Walk) -> None:
    here, there = walk.settle()
    forget_the_other_slot(walk.pc, walk)
    known = set(walk.frames(here))
    pack, offset, length = next(place for place in walk.frames(there) if place not in known)
    damaged = walk.office.server.data / "store" / "packs" / pack[:2] / f"{pack}.pack"
    middle = offset + length // 2
    flip(damaged, middle)

    distribution = walk.distribute(there)
    delivery = walk.ended(distribution)

    assert (delivery["state"], delivery["code"]) == ("failed", "wrong_bytes")
    assert delivery["refetched_chunks"] >= 1
    assert walk.runs(here)

    flip(damaged, middle)
    walk.office.ctl("distribution", "retry", str(distribution))
    walk.wait("the retry", lambda: walk.delivery(distribution)["state"] == "booted")
    assert walk.runs(there)


def test_a_revoked_pc_is_refused_but_its_desktop_runs_on(walk: Walk) -> None:
    here, _there = walk.settle()
    walk.office.ctl("pc", "revoke", walk.pc.name, "--reason", "test of the refusal")
    try:
        walk.wait("the refusal", lambda: "revoked" in walk.pc.agent.tail())

        assert walk.runs(here)
    finally:
        walk.join_anew()
