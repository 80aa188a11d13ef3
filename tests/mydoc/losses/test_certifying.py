"""The certificate of erasure says what was heard and done; whoever has the root's public key can check it."""

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner, Result
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from django.contrib.auth.models import User
from django.test import Client as Browser

from clients.enrolment import signing
from clients.models import Client
from mydoc.losses import losing
from mydoc.models import Loss
from tests.mydoc.unlockingpc import UnlockingPc
from tests.pcs import FakePc
from vrasctl.cli import root
from vrasnode.wire import codec
from vrasnode.wire.mydoc import Erasure, ErasureCertificate, KillReport
from vrasnode.wire.signatures import Keyring, Role

Keys = tuple[X25519PrivateKey, X25519PrivateKey]

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def loss(pc: FakePc, custodians: Keys, admin: User, sato: User, now: datetime) -> Loss:
    """A PC with one volume on it, declared lost."""
    UnlockingPc(pc, now).log_on(sato)
    client = Client.objects.get(pk=pc.client.pk)
    return losing.declare(client, by=admin, reason="left in a taxi", confirm=client.name, now=now)


@pytest.fixture
def fetch(client: Browser, admin: User, loss: Loss) -> Callable[[], Any]:
    client.force_login(admin)
    return lambda: client.get(f"/losses/{loss.pk}/erasure.json")


def check(directory: Path, certificate: bytes, key: bytes) -> Result:
    """What the command line says of it, without a server."""
    (directory / "erasure.json").write_bytes(certificate)
    (directory / "root.pub").write_bytes(key)
    given = ["pc", "check-erasure", str(directory / "erasure.json"), "--root", str(directory / "root.pub")]
    return CliRunner().invoke(root, given)


def test_before_anything_is_erased_there_is_none(client: Browser, admin: User, loss: Loss) -> None:
    client.force_login(admin)

    answer = client.get(f"/api/v1/losses/{loss.pk}/erasure/")

    assert (answer.status_code, answer.json()["code"]) == (409, "nothing_erased")
    assert "time to undo" in answer.json()["detail"]


def test_what_the_pc_threw_away_and_the_server_deleted_is_certified(
    fetch: Callable[[], Any], loss: Loss, installation: signing.KeyStore, now: datetime
) -> None:
    volume = loss.then[0]["volume"]
    losing.acknowledge(
        loss.client,
        KillReport(serial=loss.pk, volumes=[volume], unread=1, wiped=1),
        now=now + timedelta(minutes=1),
    )
    losing.delete_halves(now=loss.halves_until + timedelta(seconds=1))

    answer = fetch()

    assert answer.headers["Content-Disposition"].startswith("attachment")
    certificate = codec.decode(answer.content, ErasureCertificate)
    keyring = Keyring(installation.root_public, certificate.keyring)
    said = keyring.open(certificate.erasure, Role.ASSIGNMENT, Erasure, at=now)
    assert (said.erases, said.pc, said.volumes) == (loss.client.pk, loss.client.name, [volume])
    assert (said.unread, said.wiped, said.obeyed) == (1, 1, now + timedelta(minutes=1))
    assert said.halves_deleted == loss.halves_until + timedelta(seconds=1)


def test_of_a_pc_that_was_never_heard_again_the_servers_part_alone_is_certified(
    fetch: Callable[[], Any], loss: Loss, now: datetime
) -> None:
    losing.delete_halves(now=loss.halves_until)

    certificate = codec.decode(fetch().content, ErasureCertificate)

    said = codec.decode(certificate.erasure.payload, Erasure)
    assert (said.obeyed, said.wiped, said.unread) == (None, 0, 0)
    assert said.volumes == [loss.then[0]["volume"]]


def test_a_certificate_is_checked_without_the_server_and_a_false_one_refused(
    fetch: Callable[[], Any], loss: Loss, installation: signing.KeyStore, tmp_path: Path
) -> None:
    losing.delete_halves(now=loss.halves_until)
    data = fetch().content
    made = codec.decode(data, ErasureCertificate)
    forged = msgspec.structs.replace(
        made,
        erasure=msgspec.structs.replace(
            made.erasure, payload=made.erasure.payload.replace(b'"wiped":0', b'"wiped":9')
        ),
    )

    good = check(tmp_path, data, installation.root_public)

    assert good.exit_code == 0, good.output
    assert loss.client.name in good.output
    assert "bad_signature" in str(check(tmp_path, codec.encode(forged), installation.root_public).exception)
    assert "unknown_key" in str(check(tmp_path, data, bytes(32)).exception)
    assert "bad_root" in str(check(tmp_path, data, b"short").exception)
