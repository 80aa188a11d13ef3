"""The clock's doors: sweeps, in a queue of their own. Safe to run twice, at once, or never."""

from contextlib import suppress

from celery import shared_task
from django.utils import timezone
from redis.exceptions import LockError

from clients import quickstore
from clients.auditing import Actor, acting
from mydoc.losses import lockingout, losing
from mydoc.nas import looking
from mydoc.replicas import explaining, replicating
from mydoc.restorations import bringing
from mydoc.upkeep import keeping
from mydoc.volumes import watching

WORKER = Actor(name="system", kind="system", origin="worker")
LIMIT_S = 60
ROUND_S, HOUR_S = 900, 4 * 3600  # a round begins nothing later; what it began last may take long


@shared_task(soft_time_limit=LIMIT_S, time_limit=LIMIT_S + 10)
def watch() -> int:
    """Closes what must not be open any longer; one at a time, for two would ask the directory the same."""
    lease = quickstore.client().lock("vras:lease:watch", timeout=LIMIT_S + 20)
    if not lease.acquire(blocking=False):
        return 0
    try:
        with acting(WORKER):
            return watching.watch(now=timezone.now())
    finally:
        with suppress(LockError):  # it took longer than the lease; the rows still hold
            lease.release()


@shared_task(soft_time_limit=LIMIT_S, time_limit=LIMIT_S + 10)
def lose() -> int:
    """Deletes the keys of lost PCs whose time is over, and locks out who was away for too long."""
    with acting(WORKER):
        now = timezone.now()
        return losing.delete_halves(now=now) + lockingout.sweep(now=now)


@shared_task(soft_time_limit=ROUND_S + HOUR_S, time_limit=ROUND_S + HOUR_S + 60)
def keep() -> int:
    """The rounds of replicas on the NAS. One at a time, but for what takes longer than a round: the rows of
    the replicas keep two from doing the same."""
    lease = quickstore.client().lock("vras:lease:keep", timeout=ROUND_S + 60)
    if not lease.acquire(blocking=False):
        return 0
    try:
        with acting(WORKER):
            return keeping.go_round(seconds=ROUND_S)
    finally:
        with suppress(LockError):
            lease.release()


@shared_task(soft_time_limit=LIMIT_S * 3, time_limit=LIMIT_S * 3 + 10)
def explain() -> int:
    """Finds out why the NAS took nothing, where a PC said so."""
    with acting(WORKER):
        return explaining.explain(now=timezone.now())


@shared_task(soft_time_limit=LIMIT_S * 3, time_limit=LIMIT_S * 3 + 10)
def look_at_nas() -> int:
    """Whether the NAS can be used, for its page and for home."""
    with acting(WORKER):
        return looking.sweep(now=timezone.now())


@shared_task(soft_time_limit=LIMIT_S, time_limit=LIMIT_S + 10)
def replicate() -> int:
    """Asks PCs for the replicas that are due."""
    with acting(WORKER):
        return replicating.plan(now=timezone.now())


@shared_task(soft_time_limit=HOUR_S, time_limit=HOUR_S + 60)
def restore() -> int:
    """Goes on with what is being restored to another PC: a row keeps two from doing the same."""
    with acting(WORKER):
        return bringing.sweep()
