"""The cast of My Doc Manager: Sato's documents on a PC that answers, Kato whom some are shared with."""

from collections.abc import Callable
from datetime import datetime

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from django.contrib.auth.models import Group, User

from clients import nudge
from clients.models import Client
from clients.rolenames import Role
from mydoc import recovering
from mydoc.models import Volume
from tests.mydoc.answering import AnsweringPc, Files, beat, link, make_volume
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
def answering(pc: FakePc, volume: Volume, monkeypatch: pytest.MonkeyPatch) -> AnsweringPc:
    """The PC, which answers as soon as it is nudged."""
    there = AnsweringPc(pc, files=dict(FILES))

    def hear(client: Client) -> None:
        if client.pk == pc.client.pk:
            there.look()

    monkeypatch.setattr(nudge, "node", hear)
    return there
