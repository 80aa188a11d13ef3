"""The lab's installation: what other tests rely on when they kill a part of it."""

import os
from pathlib import Path

import pytest

from tests.lab.server import Server

pytestmark = pytest.mark.slow


def test_every_part_can_be_killed_and_goes_on_with_what_was_there(tmp_path: Path) -> None:
    with Server(tmp_path) as server:
        url, token = server.url, server.new_token()
        server.rest("POST", "/api/v1/groups/", {"name": "sales"}, token=token)

        server.web.kill()
        server.redis.kill()
        server.start_redis()
        server.start_web()

        assert server.url == url
        assert server.rest("GET", "/healthz") == {"database": True, "redis": True}
        assert server.rest("GET", "/api/v1/groups/sales/", token=token)["name"] == "sales"
        pids = [part.pid for part in (server.redis, server.web, server.worker, server.clock)]

    assert not [pid for pid in pids if Path(f"/proc/{pid}/exe").exists()]
    assert server.password not in repr(server)
    assert os.environ.get("OPENVRAS_DATA") != server.env["OPENVRAS_DATA"]


def test_code_runs_in_the_servers_own_database(server: Server) -> None:
    told = server.shell("from django.conf import settings; print(settings.DATA)")

    assert told.strip() == server.env["OPENVRAS_DATA"]
