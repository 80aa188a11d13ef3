"""Pages of no single app: home, health."""

from typing import Any

import redis
from django.conf import settings
from django.db import DatabaseError, connection
from django.http import HttpRequest, JsonResponse

from clients import quickstore


def installation(request: HttpRequest) -> dict[str, Any]:
    """Context of every page."""
    return {"installation_name": settings.INSTALLATION_NAME}


def healthz(request: HttpRequest) -> JsonResponse:
    """For load balancers: 200 when database and Redis answer, else 503 with which does not."""
    parts = {"database": _database(), "redis": _redis()}
    return JsonResponse(parts, status=200 if all(parts.values()) else 503)


def _database() -> bool:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError:
        return False
    return True


def _redis() -> bool:
    try:
        return bool(quickstore.client().ping())
    except redis.RedisError:
        return False
