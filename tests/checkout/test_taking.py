"""What the server lends and signs, taken by the PC's own code in its exact bytes."""

from concurrent.futures import Future
from datetime import datetime

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from checkout.models import CheckoutRequest
from clients.enrolment.signing import KeyStore
from clients.models import Client
from tests.checkout.asking import slice_of
from tests.pcs import FakePc
from vrasnode.checkout.asking import Asking
from vrasnode.checkout.verifying import Here, belongs, verified
from vrasnode.clock import Clock
from vrasnode.wire import codec
from vrasnode.wire.checkout import TimeRequest
from vrasnode.wire.signatures import Keyring, Signed, fingerprint

pytestmark = pytest.mark.django_db


def here(pc: FakePc) -> Here:
    public = pc.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return Here(str(pc.client.pk), fingerprint(public))


def test_a_pc_takes_the_usage_key_that_the_server_lends(
    lent: CheckoutRequest, pc: FakePc, installation: KeyStore, now: datetime
) -> None:
    (wish,) = slice_of(pc)
    assert wish.key is not None
    keyring: Keyring = installation.keyring()

    key = verified(wish.key, keyring=keyring, here=here(pc), at=now)

    belongs(key, owner=key.owner)
    assert (key.lease, key.volume) == (wish.lease, str(lent.volume_id))


def test_a_pc_believes_the_time_that_the_server_signs(
    pc: FakePc, installation: KeyStore, now: datetime
) -> None:
    class Door:
        def server_time(self, request: TimeRequest) -> Signed:
            return codec.decode(pc.post("/node/v1/checkout/time", request).content, Signed)

    client_id = str(Client.objects.get(pk=pc.client.pk).pk)
    clock = Clock(wall=lambda: now, since_start=lambda: 10.0, boot_id="this")
    asking = Asking(Door(), client_id=client_id, clock=clock, heard_at=lambda: 10.0, wake=lambda: None)
    asking._asked = (nonce := b"n" * 16), 10.0, _done(Door().server_time(TimeRequest(nonce=nonce)))

    said = asking.take(installation.keyring())

    assert said is not None
    assert abs((said - datetime.now(said.tzinfo)).total_seconds()) < 60


def _done(signed: Signed) -> "Future[Signed]":
    future: Future[Signed] = Future()
    future.set_result(signed)
    return future
