"""The cast of My Doc Manager: Sato's documents on a PC that answers, Kato whom some are shared with."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from django.contrib.auth.models import Group, User

from clients import nudge
from clients.models import Client
from clients.people.rolenames import Role
from mydoc.models import Volume
from mydoc.nas.settings import GatewaySettings
from mydoc.volumes import recovering
from tests.mydoc.answering import AnsweringPc, Files, beat, link, make_volume
from tests.mydoc.keeping import Copies, folder_as_nas
from tests.pcs import FakePc

FILES: Files = {
    "営業/見積 2026.txt".encode(): "見積".encode() * 3,
    "営業/🗾 map.png".encode(): b"\x89PNG",
    b"notes.txt": b"hello",
    b"old": link(b"/etc/shadow"),
}


@pytest.fixture
def being(db: None) -> Callable[..., User]:
    """A local account with these roles: `being("kato", Role.EMPLOYEE)`."""

    def make(name: str, *wanted: Role) -> User:
        user = User.objects.create_user(name)
        user.groups.set([Group.objects.get_or_create(name=role.value)[0] for role in wanted])
        return user

    return make


@pytest.fixture
def sato(being: Callable[..., User]) -> User:
    """The employee whose documents they are."""
    user = being("sato", Role.EMPLOYEE)
    user.first_name, user.last_name = "葵", "佐藤"
    user.save()
    return user


@pytest.fixture
def kato(being: Callable[..., User]) -> User:
    """Another employee."""
    return being("kato", Role.EMPLOYEE)


@pytest.fixture
def custodians(db: None) -> tuple[X25519PrivateKey, X25519PrivateKey]:
    """The private keys of the two who recover volumes, in their order."""
    keys = X25519PrivateKey.generate(), X25519PrivateKey.generate()
    for place, key in enumerate(keys, 1):
        public = key.public_key().public_bytes_raw()
        recovering.appoint(name=f"custodian {place}", place=place, public_key=public)
    return keys


@pytest.fixture
def volume(pc: FakePc, sato: User, now: datetime) -> Volume:
    """Sato's data on pc-sales-01, open."""
    beat(pc, now=now)
    return make_volume(pc, sato, now=now)


@pytest.fixture
def copies(settings: Any, volume: Volume, tmp_path: Path) -> Copies:
    """A folder as NAS, and Sato's data as its PC copies it there."""
    settings.NAS, settings.DATA, settings.STORE = (
        folder_as_nas(tmp_path),
        tmp_path / "data",
        tmp_path / "store",
    )
    settings.GATEWAY = GatewaySettings(url="http://10.0.0.1:8443")
    there = Copies(volume, tmp_path / "volume")
    there.put("営業/🗾 map *.png".encode(), b"\x89PNG" * 9)
    there.put(b"notes.txt", b"hello")
    return there


@pytest.fixture
def answering(pc: FakePc, volume: Volume, monkeypatch: pytest.MonkeyPatch) -> AnsweringPc:
    """The PC, which answers as soon as it is nudged."""
    there = AnsweringPc(pc, files=dict(FILES))

    def hear(client: Client) -> None:
        if client.pk == pc.client.pk:
            there.look()

    monkeypatch.setattr(nudge, "node", hear)
    return there
