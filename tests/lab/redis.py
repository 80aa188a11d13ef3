"""A private Redis for the tests of one process; Django uses it from the first test with a database."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from celery import current_app
from django.conf import settings

from clients import quickstore
from config.demo.processes import Child, wait_for


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """URL of a redis-server that lives as long as the test session; Django uses it from now on."""
    with tempfile.TemporaryDirectory(prefix="openvras-redis-") as directory:
        path = Path(directory) / "redis.sock"
        argv = ["redis-server", "--port", "0", "--unixsocket", str(path), "--save", "", "--dir", directory]
        with Child("redis", argv, log=Path(directory) / "redis.log") as child:
            wait_for("Redis", path.exists, children=[child])
            url = f"unix://{path}"
            settings.REDIS = url
            settings.CHANNEL_LAYERS["default"]["CONFIG"]["hosts"][0]["address"] = url
            current_app.conf.broker_url = url.replace("unix:", "redis+socket:")
            quickstore.client.cache_clear()
            yield url


@pytest.fixture(autouse=True)
def _own_quickstore(request: pytest.FixtureRequest) -> Iterator[None]:
    """Every test that touches the database starts with an empty quick store."""
    if "db" in request.fixturenames or "transactional_db" in request.fixturenames:
        request.getfixturevalue("redis_url")
        quickstore.client().flushdb()
    yield
