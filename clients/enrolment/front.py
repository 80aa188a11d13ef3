"""What the front server (nginx) says of a caller, and whether it is the front that says it."""

from collections.abc import Mapping
from hmac import compare_digest
from typing import Any

from django.conf import settings

SECRET, ADDRESS = "x-front-secret", "x-forwarded-for"


def vouches(headers: Mapping[str, str]) -> bool:
    """Whether a request with these headers (lower case) came through the front."""
    told = headers.get(SECRET, "")
    return bool(settings.FRONT_SECRET) and compare_digest(told.encode(), settings.FRONT_SECRET.encode())


def with_address(scope: Any) -> Any:
    """An ASGI connection, with the caller's own address where the front says it."""
    if not settings.FRONT_SECRET:
        return scope
    wanted = (SECRET.encode(), ADDRESS.encode())
    headers = {
        name.decode(): value.decode("latin-1") for name, value in scope.get("headers", ()) if name in wanted
    }
    if not headers.get(ADDRESS) or not vouches(headers):
        return scope
    return {**scope, "client": (headers[ADDRESS], 0)}
