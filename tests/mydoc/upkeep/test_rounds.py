"""The rounds of replicas as the worker does them: a process of its own, that is killed, and begun again."""

import os
import signal
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connections
from django.utils import timezone

from clients import quickstore
from mydoc import tasks
from mydoc.models import KeptSnapshot, ReplicaAlarm, Upkeep
from mydoc.upkeep import keeping
from tests.mydoc.keeping import Copies

pytestmark = [pytest.mark.soak, pytest.mark.django_db(transaction=True)]
ALL = {Upkeep.Kind.RETENTION, Upkeep.Kind.READING, Upkeep.Kind.DRILL}
ENDS_S = 120.0


@pytest.fixture
def night(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the hour of the test."""
    monkeypatch.setattr(keeping, "NIGHT", (0, 24))


def begin() -> int:
    """The worker's task, in a process of its own."""
    connections.close_all()
    child = os.fork()
    if not child:
        try:
            tasks.keep.run()
        finally:
            os._exit(0)
    return child


def ended(child: int) -> bool:
    return os.waitpid(child, os.WNOHANG)[0] == child


def wait_until(reached: Callable[[], Any]) -> None:
    limit = time.monotonic() + ENDS_S
    while not reached():
        assert time.monotonic() < limit
        time.sleep(0.02)


def done() -> set[str]:
    return set(Upkeep.objects.filter(state=Upkeep.State.DONE).values_list("kind", flat=True))


@pytest.mark.parametrize("kind", sorted(ALL))
def test_a_round_that_is_killed_in_the_middle_of_an_act_is_done_by_the_next(
    copies: Copies, kind: str, night: None
) -> None:
    now: datetime = timezone.now()
    for day in range(5, 0, -1):
        copies.put(f"報告 {day}.bin".encode(), os.urandom(200_000))
        copies.replicate(now=now - timedelta(days=day))
    running = Upkeep.objects.filter(kind=kind, state=Upkeep.State.RUNNING)

    killed = begin()
    wait_until(running.exists)
    os.kill(killed, signal.SIGKILL)
    os.waitpid(killed, 0)
    half, blocked = running.exists(), begin()
    wait_until(lambda: ended(blocked))
    still_half = running.exists()
    quickstore.client().delete("vras:lease:keep")  # a quarter of an hour later
    Upkeep.objects.filter(state=Upkeep.State.RUNNING).update(until=now)
    Upkeep.objects.filter(state=Upkeep.State.FAILED).update(begun_at=now - timedelta(hours=1))
    for _round in range(3):
        next_one = begin()
        wait_until(lambda: ended(next_one))  # noqa: B023  (waited for within the round)
        Upkeep.objects.filter(state=Upkeep.State.FAILED).update(begun_at=now - timedelta(hours=1))

    assert half and still_half  # meanwhile nobody else begins
    assert done() == ALL
    assert Upkeep.objects.filter(state=Upkeep.State.FAILED, code="killed", kind=kind).exists()
    assert not ReplicaAlarm.objects.open().exists()
    assert KeptSnapshot.objects.filter(replica=copies.replica, gone_at=None).exclude(run=None).exists()
    assert copies.restic("check", "--read-data")
