"""A PC joins: token, request, approval, certificate, renewal, revocation (row C1)."""

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from django.conf import settings

from clients.enrolment import enrolling, signing
from clients.errors import Refusal, WrongState
from clients.models import Client, EnrolmentToken, Event, Group
from tests.pcs import FakePc, csr_for, request

Enrol = Callable[..., FakePc]


def fresh() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def test_a_pc_waits_until_an_administrator_approves_it(enrol: Enrol, now: datetime) -> None:
    pc = enrol("pc-1", approved=False)
    assert pc.client.state == Client.State.PENDING
    assert not pc.client.certificate

    enrolling.approve(pc.client, now=now)

    assert pc.client.state == Client.State.APPROVED
    certificate = x509.load_pem_x509_certificate(pc.client.certificate.encode())
    certificate.verify_directly_issued_by(signing.store().authority)
    assert certificate.subject.rfc4514_string() == f"CN={pc.client.pk}"
    assert certificate.not_valid_after_utc - now == settings.CERTIFICATE_LIFE


def test_a_preapproved_token_brings_group_and_certificate_at_once(enrol: Enrol, sales: Group) -> None:
    pc = enrol("pc-1", group=sales)

    assert pc.client.state == Client.State.APPROVED
    assert pc.client.group == sales
    assert pc.client.certificate


def test_a_token_is_good_for_one_pc(installation: signing.KeyStore, now: datetime) -> None:
    _row, token = enrolling.make_token(group=None, approved=False, now=now)
    enrolling.enrol(request("pc-1", fresh(), token=token), now=now)

    with pytest.raises(Refusal) as refusal:
        enrolling.enrol(request("pc-2", fresh(), token=token), now=now)

    assert refusal.value.code == "token_used"
    assert not Client.objects.filter(name="pc-2").exists()


def test_the_same_pc_may_ask_again_when_the_answer_was_lost(
    installation: signing.KeyStore, now: datetime
) -> None:
    key = fresh()
    _row, token = enrolling.make_token(group=None, approved=False, now=now)
    first = enrolling.enrol(request("pc-1", key, token=token), now=now)

    again = enrolling.enrol(request("pc-1", key, token=token), now=now)

    assert again.pk == first.pk


def test_an_expired_token_is_refused(installation: signing.KeyStore, now: datetime) -> None:
    _row, token = enrolling.make_token(group=None, approved=True, now=now)

    with pytest.raises(Refusal) as refusal:
        enrolling.enrol(request("pc-1", fresh(), token=token), now=now + settings.ENROLMENT_TOKEN_LIFE)

    assert refusal.value.code == "token_expired"


@pytest.mark.parametrize("token", ["", "nonsense", "vrasenroll_0000_00_00", "vrasenroll_a_b_c_d"])
def test_an_invented_token_is_refused(installation: signing.KeyStore, now: datetime, token: str) -> None:
    with pytest.raises(Refusal) as refusal:
        enrolling.enrol(request("pc-1", fresh(), token=token), now=now)

    assert refusal.value.code == "token_unknown"


def test_the_secret_of_a_token_is_not_kept(installation: signing.KeyStore, now: datetime) -> None:
    row, token = enrolling.make_token(group=None, approved=False, now=now)

    secret = token.split("_")[2]
    kept = EnrolmentToken.objects.values().get(pk=row.pk)
    assert not any(secret in str(value) for value in kept.values())
    assert not any(secret in str(event) for event in Event.objects.values())


@pytest.mark.parametrize("name", ["", "a/b", "..", "pc\n1", "pc\u202e1", "раypal", "x" * 65])
def test_a_misleading_name_is_refused(installation: signing.KeyStore, now: datetime, name: str) -> None:
    _row, token = enrolling.make_token(group=None, approved=False, now=now)

    with pytest.raises(Refusal) as refusal:
        enrolling.enrol(request(name, fresh(), token=token), now=now)

    assert refusal.value.code == "bad_name"


def test_two_pcs_cannot_have_one_name_and_the_token_stays_good(enrol: Enrol, now: datetime) -> None:
    enrol("pc-1")
    row, token = enrolling.make_token(group=None, approved=False, now=now)

    with pytest.raises(Refusal) as refusal:
        enrolling.enrol(request("pc-1", fresh(), token=token), now=now)

    assert refusal.value.code == "name_taken"
    row.refresh_from_db()
    assert row.used_by is None


def test_a_revoked_pc_is_refused_at_its_next_contact(
    pc: FakePc, now: datetime, django_capture_on_commit_callbacks: Callable[..., object]
) -> None:
    assert pc.get("/node/v1/desired").status_code == 200

    with django_capture_on_commit_callbacks(execute=True):  # type: ignore[attr-defined]
        enrolling.revoke(pc.client, reason="stolen")

    answer = pc.get("/node/v1/desired")
    assert answer.status_code == 403
    assert answer.json()["code"] == "revoked"


def test_the_name_of_a_revoked_pc_is_free_again(pc: FakePc, enrol: Enrol) -> None:
    enrolling.revoke(pc.client, reason="replaced")

    assert enrol(pc.client.name).client.pk != pc.client.pk


def test_two_administrators_cannot_both_decide(enrol: Enrol, now: datetime) -> None:
    pc = enrol("pc-1", approved=False)
    seen_by_other = Client.objects.get(pk=pc.client.pk)
    enrolling.revoke(pc.client, reason="unknown machine")

    with pytest.raises(WrongState):
        enrolling.approve(seen_by_other, now=now)

    assert seen_by_other.state == Client.State.REVOKED


def test_a_certificate_is_renewed_for_the_same_key_only(pc: FakePc, now: datetime) -> None:
    first = pc.client.certificate
    enrolling.renew(pc.client, csr_for(pc.key), now=now + timedelta(days=20))
    assert pc.client.certificate != first

    with pytest.raises(Refusal) as refusal:
        enrolling.renew(pc.client, csr_for(fresh()), now=now)

    assert refusal.value.code == "other_key"


def test_who_did_it_is_in_the_audit_log(enrol: Enrol, now: datetime) -> None:
    pc = enrol("pc-1", approved=False)
    enrolling.revoke(pc.client, reason="unknown machine")

    event = Event.objects.filter(verb="client.revoked").get()
    assert (event.object_name, event.before, event.after) == (
        "pc-1", {"state": "pending"}, {"state": "revoked"},
    )  # fmt: skip
    assert event.reason == "unknown machine"
