"""The PC's own client and a real server, about one volume: logon, key, deposit, and the end of it."""

import base64
import json
from pathlib import Path

import pytest
import urllib3
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from tests.lab.server import Server
from tests.pcs import FACTS
from vrasnode import sealing
from vrasnode.contact.identity import Identity, Token
from vrasnode.contact.server import Server as ServerAsSeenByPc
from vrasnode.errors import Refused
from vrasnode.wire.clients import EnrolRequest
from vrasnode.wire.codec import decode
from vrasnode.wire.mydoc import KeyRequest, MydocSlice, RecoveryDeposit

pytestmark = pytest.mark.slow
NAME = "tsuji"
_EMPLOYEE = f"""
from django.contrib.auth.models import Group, User
user = User.objects.create_user("{NAME}", password="correct horse battery")
user.groups.add(Group.objects.get_or_create(name="employee")[0])
"""
_SWITCH_OFF = f"""
from django.contrib.auth.models import User
User.objects.filter(username="{NAME}").update(is_active=False)
"""


def test_a_pc_opens_what_its_user_proved_and_loses_it_with_the_account(
    server: Server, tmp_path: Path
) -> None:
    server.shell(_EMPLOYEE)
    token = server.new_token()
    for place in (1, 2):
        public = X25519PrivateKey.generate().public_key().public_bytes_raw().hex()
        wish = {"name": f"custodian {place}", "place": place, "public_key": public}
        server.rest("POST", "/api/v1/custodians/", wish, token=token)
    pc, client = enrolled(server, token, tmp_path)

    said = slice_of(pc)
    answer = log_on(said.logon_url, client, nonce="a" * 32)

    said = slice_of(pc)
    (wish,) = said.volumes
    assert (wish.volume, wish.nonce) == (answer["volume"], "a" * 32)
    key = X25519PrivateKey.generate()
    reply_key = key.public_key().public_bytes_raw()
    request = KeyRequest(volume=wish.volume, session=wish.session, reply_key=reply_key)
    sealed = pc.volume_key(request).sealed
    half = sealing.open_sealed(sealed, key, purpose=sealing.half_purpose(wish.volume, wish.session))
    assert len(half) == sealing.HALF_BYTES
    keys = [one.public_key for one in said.custodians]
    deposit = RecoveryDeposit(
        volume=wish.volume,
        session=wish.session,
        luks_uuid="5d9b9a0e-0f1a-4d0c-8a53-3b8c6f9d2e10",
        custodians=[one.fingerprint for one in said.custodians],
        wrapped=sealing.wrap_for_custodians(bytes(64), keys, volume=wish.volume),
    )
    pc.deposit_recovery(deposit)
    pc.deposit_recovery(deposit)  # the answer to the first was lost

    server.shell(_SWITCH_OFF)

    assert slice_of(pc).volumes[0].session == ""
    with pytest.raises(Refused) as refusal:
        pc.volume_key(request)
    assert refusal.value.code in ("switched_off", "no_session")


def enrolled(server: Server, token: str, directory: Path) -> tuple[ServerAsSeenByPc, str]:
    """A new PC's client, and the PC's id."""
    made = server.rest("POST", "/api/v1/enrolment-tokens/", {"approved": True}, token=token)
    identity = Identity(directory / "identity")
    installation = ServerAsSeenByPc(server.url).installation()
    Token(made["token"]).check(installation)
    identity.begin(server=server.url, name="pc-of-tsuji", installation=installation)
    pc = ServerAsSeenByPc(server.url, identity=identity)
    request = EnrolRequest(
        token=made["token"],
        name="pc-of-tsuji",
        csr=identity.certificate_request(),
        hpke_key=identity.hpke_key,
        facts=FACTS,
    )
    answer = pc.enrol(request)
    identity.take(answer)
    return pc, answer.client_id


def slice_of(pc: ServerAsSeenByPc) -> MydocSlice:
    found = pc.desired(None)
    assert found is not None
    return decode(found[0].slices["mydoc"], MydocSlice)


def log_on(url: str, client: str, *, nonce: str) -> dict[str, str]:
    """The logon script, where the PC's slice sends it."""
    words = base64.b64encode(f"{NAME}:correct horse battery".encode()).decode()
    answer = urllib3.request(
        "POST",
        url,
        json={"nonce": nonce, "client": client},
        headers={"Authorization": f"Basic {words}"},
        retries=False,
    )
    assert answer.status == 200, answer.data
    return dict(json.loads(answer.data))
