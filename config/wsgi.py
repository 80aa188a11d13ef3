"""The door for gunicorn: portal and REST behind the front. Sockets and the PCs' path are `config.asgi`'s."""

import os
from collections.abc import Callable, Iterable
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

from django.core.wsgi import get_wsgi_application

from clients.enrolment import front

django = get_wsgi_application()


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Django, with the caller's own address where the front server says it: locked-out names and the audit
    log go by it. Nobody else is believed."""
    if front.vouches({front.SECRET: environ.get("HTTP_X_FRONT_SECRET", "")}):
        environ["REMOTE_ADDR"] = environ.get("HTTP_X_FORWARDED_FOR") or environ.get("REMOTE_ADDR", "")
    return django(environ, start_response)
