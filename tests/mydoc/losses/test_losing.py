"""A lost PC is refused at every door but the one that tells it to forget; its keys go when it is time."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from django.contrib.auth.models import User
from django.test import override_settings

from clients import presence, quickstore
from clients.enrolment import enrolling, identity, signing
from clients.errors import Refusal
from clients.models import Client, Event
from clients.people.rolenames import Role as Being
from imaging import desktops
from mydoc.losses import lockingout, losing
from mydoc.models import Lockout, Loss, Opening, Volume
from tests.mydoc.unlockingpc import UnlockingPc
from tests.pcs import FakePc
from tests.racing import at_once
from vrasnode.wire import codec
from vrasnode.wire.clients import Heartbeat
from vrasnode.wire.mydoc import KeyRequest, KillNotice, KillOrder, KillReport
from vrasnode.wire.signatures import Keyring, Role

Keys = tuple[X25519PrivateKey, X25519PrivateKey]
BEAT = Heartbeat(agent_version="0.1.0", boot_id="1", uptime_s=60, desktop="running", version=None)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def desk(pc: FakePc, custodians: Keys, now: datetime) -> UnlockingPc:
    return UnlockingPc(pc, now)


@pytest.fixture
def lose(admin: User, now: datetime) -> Callable[..., Loss]:
    """An administrator says that a PC is lost."""

    def act(pc: FakePc, **given: Any) -> Loss:
        wish = {"by": admin, "reason": "left in a taxi", "confirm": pc.client.name, "now": now, **given}
        return losing.declare(Client.objects.get(pk=pc.client.pk), **wish)

    return act


def refused(act: Callable[[], object]) -> str:
    with pytest.raises(Refusal) as refusal:
        act()
    return refusal.value.code


def order_of(pc: FakePc, keys: signing.KeyStore, now: datetime) -> KillOrder:
    answer = pc.get("/node/v1/mydoc/kill")
    assert answer.status_code == 200, answer.content
    notice = codec.decode(answer.content, KillNotice)
    return Keyring(keys.root_public, notice.keyring).open(notice.order, Role.ASSIGNMENT, KillOrder, at=now)


def test_a_lost_pc_is_refused_at_its_next_contact_at_every_door_but_one(
    desk: UnlockingPc, lose: Callable[..., Loss]
) -> None:
    assert desk.pc.get("/node/v1/desired").status_code == 200

    lose(desk.pc)

    for path in ("/node/v1/desired", "/node/v1/certificate", "/node/v1/mydoc/questions"):
        answer = desk.pc.get(path)
        assert (answer.status_code, answer.json()["code"]) == (403, "lost"), path
    assert desk.pc.get("/node/v1/mydoc/kill").status_code == 200


def test_the_row_alone_is_enough_to_refuse_it(desk: UnlockingPc, lose: Callable[..., Loss]) -> None:
    desk.pc.get("/node/v1/desired")
    remembered = quickstore.client().get(f"vras:key:{desk.pc.client.pk}")
    lose(desk.pc)

    quickstore.client().set(f"vras:key:{desk.pc.client.pk}", remembered)

    assert desk.pc.get("/node/v1/desired").json()["code"] == "lost"


def test_what_was_open_is_closed_and_nothing_opens_it_again(
    desk: UnlockingPc, sato: User, lose: Callable[..., Loss]
) -> None:
    desk.log_on(sato)
    wish = desk.wish()
    desk.half(wish)

    lose(desk.pc)

    assert Opening.objects.get().reason == "pc_lost"
    desk.pc.client.refresh_from_db()
    assert desk.wish().session == ""
    assert desk.ask(wish).json()["code"] == "lost"
    assert refused(lambda: desk.log_on(sato)) == "unknown_client"


def test_a_permission_to_read_packs_ends_with_it(
    desk: UnlockingPc, lose: Callable[..., Loss], now: datetime
) -> None:
    permission = desktops.permission(desk.pc.client.pk, now=now)
    assert desktops.permits(permission, now=now)

    lose(desk.pc)

    assert not desktops.permits(permission, now=now)


def test_a_key_that_is_asked_for_while_the_pc_is_declared_lost_opens_nothing_afterwards(
    desk: UnlockingPc, sato: User, lose: Callable[..., Loss]
) -> None:
    for _round in range(4):
        opening = desk.log_on(sato)
        request = KeyRequest(
            volume=str(opening.volume_id),
            session=str(opening.pk),
            reply_key=desk.key.public_key().public_bytes_raw(),
        )
        ends = at_once(
            lambda request=request: desk.pc.post("/node/v1/mydoc/key", request),  # type: ignore[misc]
            lambda: lose(desk.pc),
            lambda: desk.log_on(sato),
        )

        assert ends[1] == ""
        assert not Opening.objects.current().exists()
        losing.find_again(Client.objects.get(pk=desk.pc.client.pk), reason="there", now=desk.now)
        desk.pc.client.refresh_from_db()


def test_the_order_is_the_installations_own_word_to_this_pc(
    desk: UnlockingPc, installation: signing.KeyStore, lose: Callable[..., Loss], now: datetime
) -> None:
    loss = lose(desk.pc)
    assert loss.order == "queued"

    order = order_of(desk.pc, installation, now)

    assert (order.kills, order.serial, order.issued) == (UUID(str(desk.pc.client.pk)), loss.pk, now)
    assert Loss.objects.get().order == "handed_out"
    assert order_of(desk.pc, installation, now) == order


def test_what_the_pc_says_to_the_order_is_kept_once(
    desk: UnlockingPc, lose: Callable[..., Loss], enrol: Callable[..., FakePc]
) -> None:
    loss, other = lose(desk.pc), enrol("pc-other")
    report = KillReport(serial=loss.pk, volumes=["a"], unread=1)
    assert other.post("/node/v1/mydoc/kill", report).status_code == 404

    assert desk.pc.post("/node/v1/mydoc/kill", report).status_code == 204
    assert desk.pc.post("/node/v1/mydoc/kill", KillReport(serial=loss.pk, volumes=[])).status_code == 204

    loss.refresh_from_db()
    assert (loss.order, loss.acknowledged["volumes"]) == ("acknowledged", ["a"])
    assert Event.objects.filter(verb="loss.acknowledged").count() == 1


def test_a_pc_that_is_not_lost_gets_no_order(desk: UnlockingPc) -> None:
    assert desk.pc.get("/node/v1/mydoc/kill").json()["code"] == "not_lost"


def test_the_servers_halves_are_deleted_when_the_time_to_undo_is_over_and_not_before(
    desk: UnlockingPc, sato: User, lose: Callable[..., Loss], now: datetime
) -> None:
    desk.log_on(sato)
    lose(desk.pc)

    losing.delete_halves(now=now + 4 * HOUR - timedelta(seconds=1))
    assert Volume.objects.get().server_half is not None
    assert losing.delete_halves(now=now + 4 * HOUR) == 1

    assert Volume.objects.get().server_half is None
    assert losing.delete_halves(now=now + 5 * HOUR) == 0
    assert Event.objects.filter(verb="volume.half_deleted").count() == 1


def test_a_pc_that_is_found_in_time_opens_as_before(
    desk: UnlockingPc, sato: User, lose: Callable[..., Loss], now: datetime
) -> None:
    desk.log_on(sato)
    before = desk.half(desk.wish())
    lose(desk.pc)
    assert desk.pc.get("/node/v1/desired").json()["code"] == "lost"

    losing.find_again(Client.objects.get(pk=desk.pc.client.pk), reason="under the seat", now=now + HOUR)
    losing.delete_halves(now=now + 9 * HOUR)

    desk.pc.client.refresh_from_db()
    assert desk.pc.get("/node/v1/desired").status_code == 200
    desk.log_on(sato)
    assert desk.half(desk.wish()) == before
    assert Loss.objects.get().order == "withdrawn"


def test_a_late_approval_does_not_let_a_lost_pc_in(
    desk: UnlockingPc, lose: Callable[..., Loss], now: datetime
) -> None:
    lose(desk.pc)

    assert refused(lambda: enrolling.approve(Client.objects.get(), now=now)) == "wrong_state"

    assert Client.objects.get().state == Client.State.LOST


def test_a_lost_pc_can_be_revoked_and_its_keys_are_deleted_all_the_same(
    desk: UnlockingPc, sato: User, lose: Callable[..., Loss], now: datetime
) -> None:
    desk.log_on(sato)
    lose(desk.pc)

    enrolling.revoke(Client.objects.get(), reason="gone for good")
    losing.delete_halves(now=now + DAY)

    assert desk.pc.get("/node/v1/desired").json()["code"] == "revoked"
    assert Volume.objects.get().server_half is None


def test_two_declarations_at_once_are_one(desk: UnlockingPc, lose: Callable[..., Loss]) -> None:
    ends = at_once(lambda: lose(desk.pc), lambda: lose(desk.pc))

    assert sorted(ends) == ["", "wrong_state"]
    assert Loss.objects.count() == 1


def test_without_the_name_typed_nothing_happens_and_one_is_told_what_would(
    desk: UnlockingPc, sato: User, lose: Callable[..., Loss]
) -> None:
    desk.log_on(sato)

    with pytest.raises(Refusal) as refusal:
        lose(desk.pc, confirm="")

    assert refusal.value.code == "not_confirmed"
    words = str(refusal.value.words)
    assert "pc-sales-01" in words
    assert "no replica" in words
    assert "葵 佐藤" in words
    assert Client.objects.get().state == Client.State.APPROVED


def test_an_employee_says_so_of_their_own_pc_and_of_no_other(
    desk: UnlockingPc, sato: User, kato: User, lose: Callable[..., Loss], being: Callable[..., User]
) -> None:
    desk.log_on(sato)

    assert refused(lambda: lose(desk.pc, by=kato)) == "not_yours"
    assert refused(lambda: lose(desk.pc, by=being("guest"))) == "not_yours"
    assert refused(lambda: lose(desk.pc, by=being("audit", Being.AUDITOR))) == "not_yours"

    assert lose(desk.pc, by=sato).declared_by == "sato"


def test_of_a_pc_that_was_given_to_somebody_that_one_says_so_and_no_guest_of_it(
    desk: UnlockingPc, sato: User, kato: User, lose: Callable[..., Loss]
) -> None:
    desk.log_on(sato)
    Client.objects.update(assigned_user=kato)

    assert refused(lambda: lose(desk.pc, by=sato)) == "not_yours"

    assert lose(desk.pc, by=kato).declared_by == "kato"


def test_what_stood_there_then_is_kept(
    desk: UnlockingPc, sato: User, lose: Callable[..., Loss], now: datetime
) -> None:
    opening = desk.log_on(sato)
    presence.hear(desk.pc.client.pk, BEAT, now=now - HOUR)

    loss = lose(desk.pc, seen_where="Shinagawa", seen_at=now - 2 * HOUR)

    (stood,) = loss.then
    assert (stood["opening"], stood["address"]) == (str(opening.pk), "10.0.0.9")
    assert loss.last_contact == now - HOUR
    assert (loss.seen_where, loss.seen_at) == ("Shinagawa", now - 2 * HOUR)


def away(pc: FakePc, days: float, now: datetime) -> None:
    Client.objects.filter(pk=pc.client.pk).update(enrolled_at=now - 400 * DAY, last_seen=now - days * DAY)


def test_a_pc_that_was_away_for_too_long_gets_no_key_until_it_is_let_in(
    desk: UnlockingPc, sato: User, now: datetime
) -> None:
    desk.log_on(sato)
    wish = desk.wish()
    away(desk.pc, 31, now)

    assert lockingout.sweep(now=now) == 1

    assert desk.ask(wish).json()["code"] == "no_session"
    assert refused(lambda: desk.log_on(sato)) == "locked_out"
    assert Volume.objects.get().server_half is not None
    assert Event.objects.filter(verb="client.locked_out").count() == 1
    assert lockingout.sweep(now=now) == 0

    lockingout.let_in(desk.pc.client, reason="back from leave", now=now)

    assert lockingout.sweep(now=now) == 0
    desk.log_on(sato)
    assert desk.half(desk.wish())
    assert refused(lambda: lockingout.let_in(desk.pc.client, reason="again", now=now)) == "not_locked_out"


def test_who_was_heard_lately_or_joined_lately_is_not_locked_out(
    desk: UnlockingPc, enrol: Callable[..., FakePc], now: datetime
) -> None:
    away(desk.pc, 29, now)
    enrol("pc-new")
    heard = enrol("pc-heard")
    away(heard, 40, now)
    presence.hear(heard.client.pk, BEAT, now=now)

    assert lockingout.sweep(now=now) == 0


def test_a_pc_that_was_let_in_and_stays_away_is_locked_out_again(desk: UnlockingPc, now: datetime) -> None:
    away(desk.pc, 31, now)
    lockingout.sweep(now=now)
    lockingout.let_in(desk.pc.client, reason="back", now=now)

    assert lockingout.sweep(now=now + 31 * DAY) == 1
    assert Lockout.objects.current().count() == 1


def test_a_pc_that_was_found_again_is_not_locked_out_for_having_been_lost(
    desk: UnlockingPc, lose: Callable[..., Loss], now: datetime
) -> None:
    away(desk.pc, 31, now)
    lose(desk.pc)
    assert lockingout.sweep(now=now) == 0
    losing.find_again(Client.objects.get(), reason="found", now=now)

    assert lockingout.sweep(now=now) == 0


def test_zero_days_lock_nobody_out(desk: UnlockingPc, now: datetime) -> None:
    away(desk.pc, 300, now)

    with override_settings(LOCKOUT=timedelta(0)):
        assert lockingout.sweep(now=now) == 0


def test_a_pc_is_known_again_at_once_when_it_was_found(
    desk: UnlockingPc, lose: Callable[..., Loss], now: datetime
) -> None:
    lose(desk.pc)
    assert identity.is_refused(desk.pc.client.pk)

    losing.find_again(Client.objects.get(), reason="found", now=now)

    assert not identity.is_refused(desk.pc.client.pk)
