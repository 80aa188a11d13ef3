"""The one connection to Redis for what is quick and may be lost: presence, nonces, look counters."""

from functools import cache
from typing import Any

import redis
from django.conf import settings


@cache
def client() -> Any:
    """A pooled, thread-safe connection. redis-py's types do not tell sync from async answers."""
    return redis.Redis.from_url(settings.REDIS, socket_timeout=5, socket_connect_timeout=5)
