"""The clock's doors of checkout: keys made, periods gone by. Safe to run twice, at once, or never."""

from celery import shared_task
from django.utils import timezone

from checkout import sweeping
from clients.auditing import Actor, acting

WORKER = Actor(name="system", kind="system", origin="worker")
LIMIT_S = 120


@shared_task(soft_time_limit=LIMIT_S, time_limit=LIMIT_S + 10)
def sweep() -> int:
    """Makes the keys that may be made by now, ends what went by; says so by mail."""
    with acting(WORKER):
        return sweeping.sweep(now=timezone.now())
