"""The tests' cast: an installation with keys and a store, an administrator, a group, PCs, an image."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from django.conf import settings
from django.contrib.auth.hashers import Argon2PasswordHasher
from django.contrib.auth.models import User
from django.test import override_settings
from django.utils import timezone
from xdist.scheduler import LoadFileScheduling

from clients.enrolment import signing
from clients.models import Group
from imaging import store as stores
from imaging.models import MasterImage
from tests.pcs import FakePc

pytest_plugins = [
    "tests.lab.redis",
    "tests.lab.libvirtd",
    "tests.lab.lan",
    "tests.lab.server",
    "tests.lab.office",
    "tests.lab.postgres",
    "tests.lab.company",
    "tests.lab.documents",
]

# No assertion is timed: an example is slow when the machine is busy, and still right.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")


# The same way to keep passwords, at a price that hundreds of tests can pay: 0.2 s each in production.
Argon2PasswordHasher.time_cost, Argon2PasswordHasher.memory_cost = 1, 64

# What takes minutes begins first, so that no processor waits for the other at the end.
LONGEST = (
    *("tests/e2e/", "tests/walks/", "tests/benchmarks/", "tests/test_postgresql.py"),
    *(
        "tests/vrasnode/machines/test_desktop_machines.py",
        "tests/vrasnode/machines/test_virtualserver_machines.py",
    ),
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: not item.nodeid.startswith(LONGEST))


class Scheduling(LoadFileScheduling):
    """With several processors a file at a time, but some folders whole: their files share what is slow to
    start, a PC or a portal with a browser."""

    WHOLE = ("tests/e2e", "tests/browser")

    def _split_scope(self, nodeid: str) -> str:
        folder, _, _ = nodeid.rpartition("/")
        return folder if folder in self.WHOLE else super()._split_scope(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Scheduling | None:
    """Only for what `make test` asks for."""
    return Scheduling(config, log) if config.getvalue("dist") == "loadfile" else None


@pytest.fixture(scope="session", autouse=True)
def static_files_are_not_looked_for() -> Iterator[None]:
    """Each browser of a test would look through all of them first, which costs more than most pages."""
    with override_settings(WHITENOISE_USE_FINDERS=False):
        yield


@pytest.fixture(scope="session")
def django_db_modify_db_settings(tmp_path_factory: pytest.TempPathFactory) -> None:
    """SQLite in a file, as an installation has it: in memory, threads meet locks of its own."""
    database = settings.DATABASES["default"]
    if database["ENGINE"].endswith("sqlite3"):
        database["TEST"]["NAME"] = str(tmp_path_factory.mktemp("database") / "test.sqlite3")


@pytest.fixture
def now() -> datetime:
    """A fixed moment, for verbs that take the time."""
    return timezone.now().astimezone(UTC).replace(microsecond=0)


@pytest.fixture
def installation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, db: None, now: datetime
) -> signing.KeyStore:
    """Keys and an empty chunk store of this test's own."""
    monkeypatch.setattr(settings, "KEYS", tmp_path / "keys")
    monkeypatch.setattr(settings, "STORE", tmp_path / "store")
    stores.store.cache_clear()
    keys = signing.store()
    keys.create(name="Test", now=now)
    return keys


@pytest.fixture
def admin(db: None) -> User:
    """An administrator."""
    return User.objects.create_superuser("admin", password="correct horse battery")


@pytest.fixture
def sales(db: None) -> Group:
    return Group.objects.create(name="sales")


@pytest.fixture
def enrol(installation: signing.KeyStore, now: datetime) -> Callable[..., FakePc]:
    """Makes PCs: `enrol("pc-1", group=sales)` is approved; `approved=False` waits."""

    def make(name: str, *, group: Group | None = None, approved: bool = True) -> FakePc:
        return FakePc.enrol(name, group=group, approved=approved, now=now)

    return make


@pytest.fixture
def pc(enrol: Callable[..., FakePc], sales: Group) -> FakePc:
    """An approved PC of the sales group."""
    return enrol("pc-sales-01", group=sales)


@pytest.fixture
def desktop(db: None) -> MasterImage:
    """A master image without versions."""
    return MasterImage.objects.create(name="office-desktop")
