"""The agent's process is killed by SIGKILL around the deadline, while documents are open by a usage key:
whoever starts next locks them before anything else, and nothing opens them again."""

import multiprocessing
import os
import signal
import time
from datetime import timedelta

import pytest

from tests.vrasnode.checkout.cast import LeasePc
from vrasnode.wire.checkout import LeaseState

pytestmark = [pytest.mark.slow, pytest.mark.soak]

LEFT_S = 104.0  # of which the way out of the company takes a hundred
AFTER_S = (-0.5, -0.1, 0.0, 0.02, 0.1, 0.3, 1.0)  # the deadline, at which the agent dies


def agent(pc: LeasePc) -> None:
    """The process that is killed."""
    while True:
        pc.step()
        time.sleep(0.02)


@pytest.mark.parametrize("after_s", AFTER_S)
def test_the_agent_killed_at_the_deadline_leaves_nothing_to_who_waits(after_s: float, pc: LeasePc) -> None:
    ends = pc.clocks.true() + timedelta(seconds=LEFT_S + 4)
    volume, lease = pc.carried(ends=ends, budget_s=864000)
    pc.opens_with(volume, lease)
    assert pc.readable(volume)

    process = multiprocessing.get_context("fork").Process(target=agent, args=(pc,), daemon=True)
    process.start()
    assert process.pid is not None
    pc.wait_for(ends + timedelta(seconds=after_s))
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    pc.wait_for(ends)

    pc.restart()
    pc.until(lambda: pc.lease(lease).state is LeaseState.ENDED)

    assert pc.is_dead(volume)
    assert pc.is_dead_by_key(volume)
