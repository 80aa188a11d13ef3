"""Jobs in threads, driven in bites by one caller that keeps its own thread free for other things.

Nothing here knows what the jobs do. Each lane runs so many at a time; a little more than that waits ready, so
that no thread stands idle while the caller is elsewhere for a moment.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from typing import TypeAlias

BITE_S = 0.25

Job: TypeAlias = Callable[[], None]


class Lane:
    """Jobs of one kind, taken from an iterator when there is room: at most `width` run at a time."""

    def __init__(self, jobs: Iterator[Job], *, width: int, name: str) -> None:
        self.jobs = jobs
        self.width = max(1, width)
        self.name = name


def run(lanes: Sequence[Lane], stop: threading.Event) -> Iterator[None]:
    """Runs all jobs; each `next` is one bite that ends when a job has, or after BITE_S.

    The first error of a job ends everything and is raised; closing the generator ends everything as well.
    `stop` is set then, for jobs that look at it, and no job runs any more afterwards.
    """
    finished = False
    with ExitStack() as stack:
        pools = [stack.enter_context(ThreadPoolExecutor(lane.width, lane.name)) for lane in lanes]
        running: list[set[Future[None]]] = [set() for _ in lanes]
        try:
            while _fill(lanes, pools, running):
                done, _ = wait(set().union(*running), timeout=BITE_S, return_when=FIRST_COMPLETED)
                for futures in running:
                    futures.difference_update(done)
                for future in done:
                    future.result()
                yield
            finished = True
        finally:
            if not finished:
                stop.set()
                for pool in pools:
                    pool.shutdown(wait=False, cancel_futures=True)


def _fill(
    lanes: Sequence[Lane], pools: Sequence[ThreadPoolExecutor], running: Sequence[set[Future[None]]]
) -> bool:
    """Submits what there is room for; whether anything runs."""
    for lane, pool, futures in zip(lanes, pools, running, strict=True):
        while len(futures) < 2 * lane.width and (job := next(lane.jobs, None)):
            futures.add(pool.submit(job))
    return any(running)
