"""The gateway takes and gives nothing up: the real rclone before a folder, the real restic of a PC."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import urllib3
from cryptography.hazmat.primitives.asymmetric import ec
from django.contrib.auth.models import User
from django.db import connection

from clients.enrolment import enrolling
from config.demo.processes import wait_for
from mydoc.models import Replica, Volume
from mydoc.nas.settings import GatewaySettings, NasSettings
from mydoc.replicas import gateway as gateways
from mydoc.replicas import gatewaycertificate, passwords
from tests.mydoc.answering import make_volume
from tests.mydoc.replicacast import Gateway, Restic, answers, free_port
from tests.pcs import FakePc
from vrasnode.aside import aside

pytestmark = [pytest.mark.slow, pytest.mark.django_db]
Pc = Callable[[Volume], Restic]
KEY = ec.generate_private_key(ec.SECP256R1())


@pytest.fixture
def gateway(tmp_path: Path, db: None) -> Iterator[Gateway]:
    with Gateway(tmp_path / "gateway").running() as running:
        yield running


@pytest.fixture
def restic(gateway: Gateway, tmp_path: Path) -> Pc:
    """What the PC of a volume can do with what it is given for it."""

    def of(volume: Volume) -> Restic:
        replica = passwords.replica_of(volume)
        gateway.admit()
        name = str(volume.pk)
        password = passwords.password_of(replica)
        repository = gateway.repository(name, user=name, password=password)
        return Restic(repository, passwords.repository_password_of(replica), tmp_path)

    return of


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "見積.txt").write_text("見積")
    return folder


def asked(pc: Restic, method: str, path: str, body: bytes | None = None) -> int:
    """What the gateway answers to somebody who speaks its language himself."""
    address = urlsplit(pc.repository.removeprefix("rest:"))
    headers = urllib3.make_headers(basic_auth=f"{address.username}:{address.password}")
    where = f"http://127.0.0.1:{address.port}{address.path}{path}"
    return urllib3.request(method, where, body=body, headers=headers, retries=False).status


def kind_of(path: Path) -> str:
    """As restic's protocol calls what lies there: packs have a folder more."""
    return "data" if path.parent.parent.name == "data" else path.parent.name


def stored(gateway: Gateway) -> set[str]:
    return {str(path) for path in (gateway.directory / "nas").rglob("*") if "/locks/" not in str(path)}


def test_what_a_pc_copied_it_neither_deletes_nor_alters(
    gateway: Gateway, restic: Pc, volume: Volume, data: Path
) -> None:
    pc = restic(volume)
    assert pc.run("init").returncode == 0
    assert pc.run("backup", str(data)).returncode == 0
    before = stored(gateway)

    forgotten = pc.complaint("forget", "--prune", "latest")
    files = [path for path in (gateway.directory / "nas" / str(volume.pk)).rglob("*") if path.is_file()]
    kept = {path: path.read_bytes() for path in files if path.parent.name != "locks"}
    names = ["config" if path.name == "config" else f"{kind_of(path)}/{path.name}" for path in kept]

    assert "403" in forgotten
    assert {name.partition("/")[0] for name in names} == {"config", "data", "index", "keys", "snapshots"}
    assert {asked(pc, "DELETE", name) for name in names} == {403}
    assert {asked(pc, "POST", name, b"other bytes") for name in names} == {403}
    assert asked(pc, "DELETE", "") != 200
    assert {path: path.read_bytes() for path in kept} == kept
    assert before <= stored(gateway)
    assert not any("見積".encode() in content for content in kept.values())  # neither its name nor its words
    assert pc.run("check", "--read-data").returncode == 0


def test_a_pc_does_not_come_to_the_replica_of_another_volume(
    restic: Pc, volume: Volume, kato: User, data: Path, now: datetime
) -> None:
    other = restic(make_volume(FakePc(volume.client, KEY), kato, now=now))
    assert other.run("init").returncode == 0
    own = restic(volume)
    path = own.repository.replace(f"/{volume.pk}/", f"/{other.repository.rsplit('/', 2)[1]}/")

    done = Restic(path, other.password, data.parent).run("snapshots", "--no-lock")

    assert path != own.repository
    assert done.returncode != 0
    assert "403" in done.stderr or "401" in done.stderr


def test_who_holds_no_password_of_now_is_not_let_in(gateway: Gateway, restic: Pc, volume: Volume) -> None:
    mine = restic(volume)
    assert mine.run("init").returncode == 0

    enrolling.revoke(volume.client, reason="stolen")
    gateway.admit()

    done = mine.run("snapshots", "--no-lock")
    assert "401" in done.stderr


def test_no_secret_of_a_replica_lies_in_the_database_in_clear(restic: Pc, volume: Volume) -> None:
    pc = restic(volume)

    row = Replica.objects.get(volume=volume)

    assert pc.password.encode() not in bytes(row.repository_password)
    assert passwords.password_of(row).encode() not in bytes(row.password)


@pytest.mark.django_db(transaction=True)
def test_without_a_certificate_of_somebody_elses_it_shows_one_of_the_installations_own_authority(
    volume: Volume, tmp_path: Path, now: datetime
) -> None:
    port = free_port()
    door = GatewaySettings(url=f"https://127.0.0.1:{port}")
    (tmp_path / "nas").mkdir()
    authority = tmp_path / "authority.pem"
    authority.write_text(gatewaycertificate.authority(door))
    replica = passwords.replica_of(volume)
    name, password = str(volume.pk), passwords.password_of(replica)
    pc = Restic(f"rest:https://{name}:{password}@127.0.0.1:{port}/{name}/", "opens", tmp_path)

    with serving(door, NasSettings(url=f"file://{tmp_path}/nas"), directory=tmp_path):
        wait_for("the gateway", lambda: answers(port), children=[])
        made = pc.run("--cacert", str(authority), "init")
        unknown = pc.run("snapshots", "--no-lock")

    assert made.returncode == 0, made.stderr
    assert "certificate" in unknown.stderr
    assert not gatewaycertificate.is_due(door, tmp_path, now=now)
    assert gatewaycertificate.is_due(door, tmp_path, now=now + gatewaycertificate.LIFE - timedelta(days=29))
    elsewhere = GatewaySettings(url="https://replicas.example:8443")
    assert gatewaycertificate.is_due(elsewhere, tmp_path, now=now)


@contextmanager
def serving(door: GatewaySettings, place: NasSettings, *, directory: Path) -> Iterator[None]:
    """The command's own loop, in a thread."""
    stop = threading.Event()
    listen = f"127.0.0.1:{door.port}"

    def serve() -> int:
        try:
            return gateways.serve(place, door, listen=listen, directory=directory, stop=stop)
        finally:
            connection.close()

    running = aside(serve, name="gateway")
    try:
        yield
    finally:
        stop.set()
    assert running.result(30) == 0


@pytest.mark.django_db(transaction=True)
def test_a_volume_that_comes_while_it_serves_is_let_in_by_itself(volume: Volume, tmp_path: Path) -> None:
    door = Gateway(tmp_path)
    (tmp_path / "nas").mkdir()

    with serving(door.settings, door.place, directory=tmp_path):
        wait_for("the gateway", lambda: answers(door.port), children=[])
        replica = passwords.replica_of(volume)
        name, password = str(volume.pk), passwords.password_of(replica)
        pc = Restic(door.repository(name, user=name, password=password), "opens", tmp_path)

        wait_for("the door", lambda: pc.run("init").returncode == 0, children=[])

    assert not answers(door.port)
