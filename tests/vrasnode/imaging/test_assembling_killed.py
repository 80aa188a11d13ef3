"""kill -9 in the middle of making a version ready: the old one is untouched, and the next process goes on."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.vrasnode.conftest import member_of
from tests.vrasnode.office import Keys, Office, Published, publish
from vrasnode.contact.slices import Slices
from vrasnode.imaging.slots import Slots, read_boot
from vrasnode.wire import codec
from vrasnode.wire.clients import Desired
from vrasnode.wire.imaging import ImagingSlice

CHUNK = 64 << 10
CHUNKS = 500
RATE = 24_000_000  # bytes a second, so that a kill lands in the middle
CONNECTIONS = 3
UNDER_WAY = CONNECTIONS * (
    768 << 10
)  # what may lie in the buffers of both ends, and in frames that are not whole
LIMIT_S = 180.0


@pytest.fixture(scope="session")
def versions(keys: Keys) -> tuple[Published, Published]:
    """Two versions of 31 MiB, of which 20 MiB differ."""
    rng = random.Random(5)
    same = rng.randbytes(180 * CHUNK)
    first, second = (same + rng.randbytes(320 * CHUNK) for _ in range(2))
    old = publish(keys, first, chunk_bytes=CHUNK, pack_bytes=8 << 20)
    return old, publish(keys, second, chunk_bytes=CHUNK, pack_bytes=8 << 20, base=[old])


@pytest.fixture
def pc(office: Office, versions: tuple[Published, Published], tmp_path: Path) -> Path:
    """A PC that runs the first version and was told to get the second."""
    office.stock(*versions)
    member_of(office, tmp_path / "identity")
    slots = Slots(tmp_path / "images")
    assignment = office.assign(versions[0], serial=1)
    slots.accept(assignment)
    slots.part(slots.open()).write_bytes(versions[0].data)
    slots.stage(assignment, slots.free, versions[0].encoded)
    slots.switch()
    slots.mark(proven=True, told=True)
    office.assign(versions[1], serial=2)
    wish = codec.decode(office.slices["imaging"], ImagingSlice)
    assert wish.fetch is not None
    office.say(replace(wish, fetch=replace(wish.fetch, rate_bytes_s=RATE, connections=CONNECTIONS)))
    Slices(tmp_path / "slices").keep(Desired(slices=office.slices), "1")
    return tmp_path


@contextmanager
def working(pc: Path) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-m", "tests.vrasnode.assembling_pc", str(pc)])
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def killed_when(pc: Path, reached: Callable[[], bool]) -> bool:
    """Lets the PC work until then and kills it; False when it came to its end before."""
    with working(pc) as process:
        deadline = time.monotonic() + LIMIT_S
        while not reached():
            if process.poll() is not None:
                assert process.returncode == 0
                return False
            assert time.monotonic() < deadline
            time.sleep(0.001)
        os.kill(process.pid, signal.SIGKILL)
        return True


def check(pc: Path, versions: tuple[Published, Published]) -> bool:
    """Old or new, never neither: whether the new version is staged."""
    boot = read_boot(pc / "images")
    assert boot.current is not None
    assert boot.current.manifest == versions[0].digest
    assert (pc / "images" / f"{boot.current.slot}.raw").read_bytes() == versions[0].data
    if boot.next is None:
        return False
    assert boot.next.manifest == versions[1].digest
    assert (pc / "images" / f"{boot.next.slot}.raw").read_bytes() == versions[1].data
    return True


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_killed_again_and_again_while_fetching_it_ends_up_whole_and_fetches_nearly_nothing_twice(
    seed: int, pc: Path, office: Office, versions: tuple[Published, Published]
) -> None:
    rng = random.Random(seed)
    packed = versions[1].packed_bytes
    kills = 0
    for point in sorted(rng.uniform(0.02, 0.95) for _ in range(3)):
        kills += killed_when(pc, lambda: office.sent_bytes > point * packed)  # noqa: B023 - called at once
        assert not check(pc, versions)

    assert not killed_when(pc, lambda: False)

    assert check(pc, versions)
    assert kills == 3
    lists = len(versions[1].frames + versions[1].encoded)
    assert office.sent_bytes <= 1.01 * packed + kills * UNDER_WAY + 5 * lists


@pytest.mark.parametrize("seen", ["b.manifest.part", "b.raw.part", "b.manifest", "b.raw", ".boot.json.new"])
def test_killed_when_a_file_comes_up_it_goes_on(
    seen: str, pc: Path, versions: tuple[Published, Published]
) -> None:
    killed_when(pc, (pc / "images" / seen).exists)
    check(pc, versions)

    assert not killed_when(pc, lambda: False)

    assert check(pc, versions)


def test_what_was_staged_before_is_read_back_and_not_fetched_again(
    pc: Path, office: Office, versions: tuple[Published, Published]
) -> None:
    assert not killed_when(pc, lambda: False)
    sent = office.sent_bytes
    office.assign(versions[1], serial=3)
    Slices(pc / "slices").keep(Desired(slices=office.slices), "2")

    assert not killed_when(pc, lambda: False)

    assert check(pc, versions)
    assert office.sent_bytes - sent < 2 * len(versions[1].encoded + versions[1].frames)
