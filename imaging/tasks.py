"""The clock's doors: sweeps over rows in a state. Safe to run twice, at once, or never."""

import logging
from contextlib import suppress

from celery import shared_task
from django.utils import timezone
from redis.exceptions import LockError

from clients import quickstore
from clients.auditing import Actor, acting
from imaging import distributing, pacing, publishing, retaining, waving
from imaging.models import Distribution, ImageVersion

log = logging.getLogger("openvras.deltas")

WORKER = Actor(name="system", kind="system", origin="worker")
CUT_LEASE_S = 3600
DELTA_LEASE_S = 120  # of a worker that was killed; one that works renews it every few seconds


@shared_task
def cut_sealed() -> int:
    """Checks sealed versions and makes them ready; one worker at a time, for cutting is heavy."""
    lease = quickstore.client().lock("vras:lease:cut_sealed", timeout=CUT_LEASE_S)
    if not lease.acquire(blocking=False):
        return 0
    try:
        return _cut_sealed()
    finally:
        with suppress(LockError):  # it took longer than the lease; the state machine still holds
            lease.release()


def _cut_sealed() -> int:
    sealed = (
        ImageVersion.objects.filter(state=ImageVersion.State.SEALED).select_related("image").order_by("pk")
    )
    with acting(WORKER):
        for version in sealed:
            publishing.check_sealed(version, now=timezone.now())
    return len(sealed)


@shared_task
def make_deltas() -> int:
    """Makes the delta frames that were planned, one set after the other; one worker at a time."""
    lease = quickstore.client().lock("vras:lease:make_deltas", timeout=DELTA_LEASE_S)
    if not lease.acquire(blocking=False):
        return 0
    made = 0
    from imaging import diffing  # numpy's memory is for the process that makes them alone

    try:
        with acting(WORKER):
            while diffing.make_next(now=timezone.now, alive=lease.reacquire):
                made += 1
    except LockError:
        log.info("another worker makes delta frames")
    finally:
        with suppress(LockError):
            lease.release()
    return made


@shared_task
def pace() -> int:
    """Gives waiting PCs their turn, at the rates of this hour."""
    with acting(WORKER):
        running = list(Distribution.objects.open())
        for distribution in running:
            distributing.settle(distribution, now=timezone.now())
            waving.take_sample(distribution, now=timezone.now())
        pacing.balance(now=timezone.now())
    return len(running)


@shared_task
def sweep_silent() -> int:
    """Fails deliveries by silence."""
    with acting(WORKER):
        return distributing.sweep_silent(now=timezone.now())


@shared_task
def collect_garbage() -> None:
    """Retention, abandoned uploads, unused packs."""
    with acting(WORKER):
        now = timezone.now()
        retaining.retire_old(now=now)
        retaining.drop_stalled(now=now)
        retaining.collect(now=now)
