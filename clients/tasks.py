"""The clock's doors of the registry."""

from celery import shared_task
from django.utils import timezone

from clients import presence


@shared_task
def keep_presence() -> int:
    """Writes what heartbeats said to the rows."""
    return presence.keep(now=timezone.now())
