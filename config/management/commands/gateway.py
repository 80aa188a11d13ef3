"""`manage.py gateway`: serves the door through which user data is copied to the NAS, until it is ended."""

import signal
import threading
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from clients.errors import Refusal
from mydoc.replicas import gateway


class Command(BaseCommand):
    help = "Serves the append-only door to the NAS (OPENVRAS_NAS_…, OPENVRAS_GATEWAY_…) until SIGTERM."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--listen", default="", help="ADDRESS:PORT; default: OPENVRAS_GATEWAY_URL's port")

    def handle(self, *args: Any, **options: Any) -> None:
        if settings.NAS is None or settings.GATEWAY is None:
            raise CommandError("Set OPENVRAS_NAS_URL and OPENVRAS_GATEWAY_URL: see docs/settings.md.")
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        try:
            code = gateway.serve(
                settings.NAS,
                settings.GATEWAY,
                listen=options["listen"] or f":{settings.GATEWAY.port}",
                directory=settings.DATA / "gateway",
                stop=stop,
            )
        except Refusal as refusal:
            raise CommandError(str(refusal)) from refusal
        if code:
            raise CommandError(f"rclone ended with {code}.", returncode=1)
