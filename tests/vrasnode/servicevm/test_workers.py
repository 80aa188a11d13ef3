"""Work on a volume is done by processes of their own: as somebody, bounded, ended when the volume goes."""

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from vrasnode.servicevm.guest.answering import Refusal
from vrasnode.servicevm.guest.workers import Workers

B = 100_007


@pytest.fixture
def workers() -> Workers:
    workers = Workers()
    workers.admit("v")
    return workers


@pytest.fixture
def in_groups() -> Iterator[None]:
    """This program is in groups that a person is not in."""
    before = os.getgroups()
    os.setgroups([0, 4])
    yield
    os.setgroups(before)


@pytest.mark.usefixtures("in_groups")
def test_work_is_done_as_the_person_for_whom_it_is(workers: Workers) -> None:
    def who() -> dict[str, Any]:
        status = Path("/proc/self/status").read_text().splitlines()
        allowed = next(line.split()[1] for line in status if line.startswith("CapEff"))
        return {"uids": os.getresuid(), "gids": [*os.getresgid(), *os.getgroups()], "allowed": allowed}

    done = workers.run("v", who, uid=B)

    assert done == {"uids": [B, B, B], "gids": [B, B, B], "allowed": "0" * 16}
    assert os.geteuid() == 0  # this program is what it was


@pytest.mark.parametrize("uid", [1, 1000, 99_999, -1, 1 << 31, "0", 100_000.5, None])
def test_nobody_else_is_a_person(workers: Workers, uid: Any) -> None:
    with pytest.raises(Refusal) as refusal:
        workers.run("v", dict, uid=uid)

    assert refusal.value.code == "bad_args"


def test_a_refusal_comes_through_and_what_the_kernel_says_has_a_code(workers: Workers) -> None:
    def refuse() -> dict[str, Any]:
        raise Refusal("is_a_link", "no")

    def missing() -> dict[str, Any]:
        raise FileNotFoundError(2, "no", "秘密の名前")

    def broken() -> dict[str, Any]:
        raise ZeroDivisionError

    said = {}
    for work in (refuse, missing, broken):
        with pytest.raises(Refusal) as refusal:
            workers.run("v", work)
        said[refusal.value.code] = refusal.value.words

    assert list(said) == ["is_a_link", "no_such_name", "guest_bug"]
    assert "秘密" not in said["no_such_name"]


def test_much_is_said_whole(workers: Workers) -> None:
    assert workers.run("v", lambda: {"text": "データ" * 200_000})["text"] == "データ" * 200_000


def test_work_on_a_volume_that_is_not_open_is_not_begun(workers: Workers) -> None:
    with pytest.raises(Refusal) as refusal:
        workers.run("other", dict)

    assert refusal.value.code == "volume_closed"


def test_work_ends_when_its_volume_goes(
    workers: Workers, tmp_path: Path, aside: Callable[[Callable[[], Any]], Any]
) -> None:
    os.mkfifo(tmp_path / "begun")

    def wait_for_ever() -> dict[str, Any]:
        os.close(os.open(tmp_path / "begun", os.O_WRONLY))
        threading.Event().wait()
        return {}

    def ask() -> str:
        try:
            workers.run("v", wait_for_ever)
        except Refusal as refusal:
            return refusal.code
        return ""

    heard = aside(ask)
    os.close(os.open(tmp_path / "begun", os.O_RDONLY))

    assert workers.end("v") == 1
    assert heard.get(timeout=60) == "volume_closed"
    assert workers.end("v") == 0
    with pytest.raises(Refusal):
        workers.run("v", dict)


def test_work_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    times = iter([0.0, 1000.0, 1000.0])
    workers = Workers(clock=lambda: next(times))
    workers.admit("v")

    def wait_for_ever() -> dict[str, Any]:
        threading.Event().wait()
        return {}

    with pytest.raises(Refusal) as refusal:
        workers.run("v", wait_for_ever)

    assert refusal.value.code == "too_slow"
    assert workers.end("v") == 0
