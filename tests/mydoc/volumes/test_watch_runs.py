"""The sweep in a real installation: the clock asks for it, the worker takes it from its own queue."""

import pytest

from tests.lab.libvirtd import comes
from tests.lab.server import Server

_MAKE = """
from datetime import timedelta
from django.conf import settings
from django.contrib.auth.models import User
from django.utils import timezone
from clients.models import Client
from mydoc.models import Opening, Volume
owner = User.objects.create_user("of the sweep")
keys = {"signing_key": b"", "hpke_key": b"", "csr": ""}
client = Client.objects.create(name="pc-of-the-sweep", state="approved", **keys)
volume = Volume.objects.create(owner=owner, client=client, server_half=b"", limit_bytes=1)
Opening.objects.create(volume=volume, nonce="of the sweep", asked_at=timezone.now() - settings.LOGON_LIFE)
"""


@pytest.mark.slow
def test_what_nobody_fetched_is_closed_by_the_clock(server: Server) -> None:
    token = server.new_token()
    server.shell(_MAKE)

    def opening() -> dict[str, str]:
        path = "/api/v1/openings/?volume__owner__username=of+the+sweep"
        (row,) = server.rest("GET", path, token=token)["results"]
        return dict(row)

    assert comes(lambda: opening()["reason"] == "not_fetched")
    path = f"/api/v1/events/?verb=opening.closed&object_id={opening()['id']}"
    (event,) = server.rest("GET", path, token=token)["results"]
    assert event["origin"] == "worker"
