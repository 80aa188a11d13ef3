"""kill -9 in the middle of making or opening a volume: there is none, or a whole one, and it goes on."""

import random
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.vrasnode.volumecast import Made, holds, write

pytestmark = pytest.mark.slow

LIMIT_S = 180.0


@pytest.fixture
def unmade(tmp_path: Path) -> Iterator[Made]:
    volume = Made(tmp_path / "mydoc")
    try:
        yield volume
    finally:
        volume.stop()


def killed_when(made: Made, act: str, reached: Callable[[], bool]) -> None:
    """Lets an agent do this until then and kills it."""
    with made.agent(act) as agent:
        deadline = time.monotonic() + LIMIT_S
        while not reached():
            assert agent.poll() is None
            assert time.monotonic() < deadline
        agent.kill()


def is_whole(made: Made) -> bool:
    """Whether there is a volume; if so, both of its keys open it and it holds what is written."""
    if not made.volumes.exists(made.name):
        return False
    assert made.volumes.opens(made.name, made.recovery_key)
    made.serve()
    write(made, 7)
    assert holds(made, 7)
    made.stop()
    return True


def finish(made: Made) -> None:
    """What the next agent does."""
    if not is_whole(made):
        made.create()
        assert is_whole(made)
    assert not list(made.file.parent.glob("*.part"))


@pytest.mark.parametrize("seen", ["*.part", ".volume.json.new", "volume.json", "volume.luks"])
def test_killed_when_a_file_comes_up_while_a_volume_is_made(unmade: Made, seen: str) -> None:
    directory = unmade.file.parent

    killed_when(unmade, "create", lambda: any(directory.glob(seen)))

    finish(unmade)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_killed_at_any_moment_while_a_volume_is_made(unmade: Made, seed: int) -> None:
    rng = random.Random(seed)
    directory = unmade.file.parent
    for _ in range(3):
        begun: list[float] = []

        def reached(wait_s: float = rng.uniform(0, 0.3), begun: list[float] = begun) -> bool:
            if not begun and any(directory.glob("*.part")):
                begun.append(time.monotonic())
            return bool(begun) and time.monotonic() - begun[0] > wait_s

        if unmade.volumes.exists(unmade.name):
            break
        killed_when(unmade, "create", reached)

    finish(unmade)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_killed_at_any_moment_while_a_volume_is_opened(unmade: Made, seed: int) -> None:
    unmade.create()
    wait_s = random.Random(seed).uniform(0, 0.1)

    with unmade.agent("serve") as agent:
        with pytest.raises(subprocess.TimeoutExpired):  # counted from when Python is up, about
            agent.wait(0.3 + wait_s)
        agent.kill()

    unmade.serve()
    write(unmade, 7)
    unmade.stop()
    assert unmade.volumes.prove_locked(unmade.name)
    assert is_whole(unmade)
