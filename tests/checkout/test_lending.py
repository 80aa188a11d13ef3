"""From the form to the key in the PC's slice, and to its end: what is lent, to whom, until when."""

from datetime import datetime

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from django.contrib.auth.models import User

from checkout import deciding, lending, requesting, sweeping
from checkout.models import CheckoutRequest, Lease
from clients.enrolment.signing import KeyStore
from clients.models import Client, Event
from mydoc.losses import losing
from mydoc.models import Volume
from tests.checkout.asking import DAY, HOUR, key_of, slice_of, tell, wish
from tests.checkout.conftest import Replicas
from tests.pcs import FACTS, FakePc
from vrasnode import sealing
from vrasnode.wire import codec, signatures
from vrasnode.wire.checkout import LeaseState, ServerTime, TimeRequest
from vrasnode.wire.clients import FactsReport
from vrasnode.wire.signatures import Role as Signs
from vrasnode.wire.signatures import Signed

pytestmark = pytest.mark.django_db
State = CheckoutRequest.State


def test_a_request_that_one_approver_approves_becomes_a_key_in_the_pcs_slice(
    asked: CheckoutRequest, mori: User, pc: FakePc, installation: KeyStore, now: datetime
) -> None:
    assert slice_of(pc) == []

    deciding.approve(asked, by=mori, now=now)

    key = key_of(pc, installation, at=now)
    assert key is not None
    assert (key.client, key.volume, key.owner_name) == (pc.client.pk, str(asked.volume_id), "葵 佐藤")
    assert (key.starts, key.ends, key.issued) == (asked.starts, asked.ends, now)
    assert key.pc_key == signatures.fingerprint(bytes(Client.objects.get(pk=pc.client.pk).signing_key))
    assert (key.serial, key.budget_s, key.software) == (1, 3 * 86400 - 3600, False)


def test_the_secret_opens_with_the_pcs_key_for_this_lease_and_for_nothing_else(
    lent: CheckoutRequest, pc: FakePc, pc_key: X25519PrivateKey, installation: KeyStore, now: datetime
) -> None:
    key = key_of(pc, installation, at=now)
    assert key is not None

    secret = sealing.open_sealed(key.secret, pc_key, purpose=sealing.lease_purpose(key.lease))

    assert len(secret) == 32
    with pytest.raises(Exception, match="sealed to another key"):
        sealing.open_sealed(key.secret, pc_key, purpose=sealing.lease_purpose("another"))
    with pytest.raises(Exception, match="sealed to another key"):
        sealing.open_sealed(key.secret, X25519PrivateKey.generate(), purpose=sealing.lease_purpose(key.lease))


def test_the_slice_is_the_same_until_something_changes(lent: CheckoutRequest, pc: FakePc) -> None:
    first = pc.get("/node/v1/desired")

    assert pc.get("/node/v1/desired", **{"if-none-match": first["ETag"]}).status_code == 304


def test_what_is_given_back_early_is_said_to_have_ended_until_the_pc_says_that_it_is_gone(
    lent: CheckoutRequest, sato: User, pc: FakePc, now: datetime
) -> None:
    lease = str(lent.lease.pk)  # type: ignore[union-attr]
    assert tell(pc, lease, LeaseState.READY).status_code == 204

    requesting.give_back(lent, by=sato, now=now)
    assert [(one.lease, one.key, one.ended) for one in slice_of(pc)] == [(lease, None, "returned")]

    tell(pc, lease, LeaseState.ENDED, code="returned", slot_gone=True)
    assert slice_of(pc) == []
    assert lent.state == State.RETURNED


def test_a_key_that_the_pc_ended_at_the_deadline_is_a_request_that_expired(
    lent: CheckoutRequest, pc: FakePc, now: datetime
) -> None:
    lease = lent.lease
    assert lease is not None
    tell(pc, str(lease.pk), LeaseState.READY)
    assert sweeping.sweep(now=lent.ends - HOUR) == 0

    sweeping.sweep(now=lent.ends + HOUR)
    lent.refresh_from_db()
    assert lent.state == State.OVERDUE

    Lease.objects.update(starts=now - DAY, ends=now)
    tell(pc, str(lease.pk), LeaseState.ENDED, code="deadline", slot_gone=True)
    lent.refresh_from_db()
    assert lent.state == State.EXPIRED


def test_a_key_that_no_pc_ever_had_ends_by_itself(lent: CheckoutRequest, pc: FakePc) -> None:
    sweeping.sweep(now=lent.ends)

    lent.refresh_from_db()
    assert lent.state == State.EXPIRED
    assert [one.key for one in slice_of(pc)] == [None]


def test_a_key_is_called_back_by_an_administrator_with_a_reason(
    lent: CheckoutRequest, admin: User, mori: User, pc: FakePc, now: datetime
) -> None:
    with pytest.raises(Exception, match="Only administrators"):
        lending.call_back(lent, by=mori, reason="he left", now=now)

    lending.call_back(lent, by=admin, reason="he left", now=now)

    assert [one.ended for one in slice_of(pc)] == ["withdrawn"]
    assert Event.objects.get(verb="checkoutrequest.revoked").reason == "he left"


@pytest.mark.parametrize("hours", [49, None])
def test_without_a_recent_replica_no_key_is_made(  # noqa: PLR0917
    asked: CheckoutRequest,
    mori: User,
    replicas: Replicas,
    pc: FakePc,
    now: datetime,
    hours: int | None,
) -> None:
    replicas.at = now - hours * HOUR if hours else None

    deciding.approve(asked, by=mori, now=now)

    assert (asked.state, slice_of(pc)) == (State.PERMITTED, [])
    asked.refresh_from_db()
    assert asked.obstacle == "no_replica"


def test_the_key_is_made_as_soon_as_there_is_a_replica(
    asked: CheckoutRequest, mori: User, replicas: Replicas, pc: FakePc, now: datetime
) -> None:
    replicas.at = None
    deciding.approve(asked, by=mori, now=now)
    sweeping.sweep(now=now)
    assert slice_of(pc) == []

    replicas.at = now

    assert sweeping.sweep(now=now) == 1
    assert [one.key is not None for one in slice_of(pc)] == [True]


def test_only_an_administrator_does_without_a_replica_and_it_is_written_down_why(  # noqa: PLR0917
    asked: CheckoutRequest, mori: User, admin: User, replicas: Replicas, pc: FakePc, now: datetime
) -> None:
    replicas.at = None
    deciding.approve(asked, by=mori, now=now)
    for by, reason in ((mori, "in a hurry"), (admin, "  ")):
        with pytest.raises(Exception, match=r"Only administrators|Say why"):
            lending.waive_replica(asked, by=by, reason=reason, now=now)

    lending.waive_replica(asked, by=admin, reason="the NAS is being moved", now=now)

    assert [one.key is not None for one in slice_of(pc)] == [True]
    event = Event.objects.get(verb="checkoutrequest.replica_waived")
    assert event.reason == "the NAS is being moved"


def test_without_a_tpm_nothing_can_be_asked_for(
    lendable: Volume, pc: FakePc, sato: User, now: datetime
) -> None:
    pc.post("/node/v1/reports/clients", FactsReport(facts=FACTS))
    volume = Volume.objects.select_related("client__group").get(pk=lendable.pk)

    with pytest.raises(Exception, match="no_tpm"):
        requesting.submit(volume, wish(now), by=sato, now=now)


def test_off_the_companys_network_no_key_is_handed_out_and_none_is_taken_away(
    lent: CheckoutRequest, pc: FakePc, settings: object
) -> None:
    lease = str(lent.lease.pk)  # type: ignore[union-attr]
    settings.COMPANY_NETWORKS = []  # type: ignore[attr-defined]  # so that every address is outside
    assert slice_of(pc) == []

    tell(pc, lease, LeaseState.READY)

    assert [(one.lease, one.ended) for one in slice_of(pc)] == [(lease, "")]


def test_a_lost_pc_gets_nothing_and_what_was_lent_is_called_back(
    lent: CheckoutRequest, pc: FakePc, admin: User, now: datetime
) -> None:
    client = Client.objects.get(pk=pc.client.pk)

    losing.declare(client, by=admin, reason="left in a taxi", confirm=client.name, now=now)

    assert pc.get("/node/v1/desired").status_code == 403
    lent.refresh_from_db()
    assert lent.state == State.REVOKED
    losing.find_again(client, reason="found", now=now)
    assert [one.ended for one in slice_of(pc)] == ["lost"]


def test_an_account_that_is_switched_off_has_no_key(lent: CheckoutRequest, sato: User, pc: FakePc) -> None:
    User.objects.filter(pk=sato.pk).update(is_active=False)

    assert [one.ended for one in slice_of(pc)] == ["account"]


def test_a_pc_tells_nothing_about_another_pcs_key(
    lent: CheckoutRequest, enrol: object, sales: object
) -> None:
    other = enrol("pc-other", group=sales)  # type: ignore[operator]

    tell(other, str(lent.lease.pk), LeaseState.ENDED, slot_gone=True)  # type: ignore[union-attr]

    lent.refresh_from_db()
    assert lent.state == State.LENT


def test_a_period_that_is_far_off_has_no_key_yet(
    lendable: Volume, sato: User, mori: User, pc: FakePc, now: datetime
) -> None:
    far = wish(now, starts=now + 20 * DAY, ends=now + 22 * DAY)
    request = requesting.submit(lendable, far, by=sato, now=now)
    deciding.approve(request, by=mori, now=now)
    assert (request.state, slice_of(pc)) == (State.PERMITTED, [])

    sweeping.sweep(now=now + 13 * DAY)

    assert CheckoutRequest.objects.get(pk=request.pk).obstacle == "no_replica"  # the old one is no longer


def test_a_clock_that_the_pc_does_not_believe_is_written_down_when_it_comes_back(
    lent: CheckoutRequest, pc: FakePc
) -> None:
    for number, trouble in enumerate(("", "clock_set_back", "clock_set_back", "clock_restored")):
        wish = TimeRequest(nonce=bytes([number]) * 16, trouble=trouble)
        assert pc.post("/node/v1/checkout/time", wish).status_code == 200

    events = Event.objects.filter(verb="client.clock_distrusted", object_id=str(pc.client.pk)).order_by("pk")

    assert [event.after["code"] for event in events] == ["clock_set_back", "clock_restored"]
    assert {(event.actor, event.actor_kind) for event in events} == {("pc-sales-01", "pc")}


def test_the_servers_time_is_signed_for_the_pc_that_asks_and_its_nonce(
    pc: FakePc, installation: KeyStore, now: datetime
) -> None:
    answer = pc.post("/node/v1/checkout/time", TimeRequest(nonce=bytes(range(16))))

    said = installation.keyring().open(codec.decode(answer.content, Signed), Signs.LEASE, ServerTime, at=now)
    assert (said.client, said.nonce) == (pc.client.pk, bytes(range(16)))
    assert abs((said.time - now).total_seconds()) < 60
    assert pc.post("/node/v1/checkout/time", TimeRequest(nonce=b"short")).status_code == 400
