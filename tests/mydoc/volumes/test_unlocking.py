"""User data is opened and locked, by the rules alone: no directory takes part here (local accounts)."""

import base64
import json
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from asgiref.testing import ApplicationCommunicator
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from django.apps import apps
from django.conf import settings
from django.contrib.auth.models import User
from django.core import serializers
from django.test import Client as Browser

from clients import presence
from clients.enrolment import enrolling, identity, signing
from clients.errors import Refusal
from clients.models import Event
from config.asgi import application
from mydoc.models import Custodian, Opening, Volume
from mydoc.volumes import halves, recovering, unlocking, watching
from tests.mydoc.unlockingpc import UnlockingPc
from tests.pcs import FakePc
from tests.test_doors import scope_of
from vrasnode import sealing
from vrasnode.errors import Refused
from vrasnode.wire import codec
from vrasnode.wire.clients import Heartbeat
from vrasnode.wire.mydoc import LockProof, VolumeState

pytestmark = pytest.mark.django_db
Keys = tuple[X25519PrivateKey, X25519PrivateKey]
OUTSIDE = "203.0.113.7"
BEAT = Heartbeat(agent_version="0.1.0", boot_id="1", uptime_s=60, desktop="running", version=None)


@pytest.fixture
def desk(pc: FakePc, custodians: Keys, now: datetime) -> UnlockingPc:
    """The PC of the sales group, in an installation with custodians."""
    return UnlockingPc(pc, now)


def refused(act: Callable[[], object]) -> str:
    with pytest.raises(Refusal) as refusal:
        act()
    return refusal.value.code


def test_a_proven_logon_stands_in_the_slice_of_its_pc_with_the_nonce_that_it_carried(
    desk: UnlockingPc, sato: User
) -> None:
    opening = desk.log_on(sato, nonce="5" * 32)

    wish = desk.wish()
    assert (wish.session, wish.nonce) == (str(opening.pk), "5" * 32)
    assert wish.owner_name == sato.get_full_name()
    assert wish.limit_bytes == 20 << 30
    assert len(desk.slice().custodians) == 2


def test_the_pc_is_given_the_servers_half_and_the_same_one_each_time(desk: UnlockingPc, sato: User) -> None:
    desk.log_on(sato)
    first = desk.half(desk.wish())

    desk.log_on(sato)

    assert len(first) == sealing.HALF_BYTES
    assert desk.half(desk.wish()) == first
    assert Opening.objects.current().get().state == Opening.State.OPEN


def test_a_new_logon_ends_the_one_before(desk: UnlockingPc, sato: User) -> None:
    desk.log_on(sato)
    before = desk.wish()

    desk.log_on(sato)

    assert desk.ask(before).json()["code"] == "no_session"
    assert Opening.objects.get(pk=before.session).reason == "logged_on_again"


def test_a_pc_that_was_killed_with_the_key_in_hand_is_answered_again(desk: UnlockingPc, sato: User) -> None:
    desk.log_on(sato)
    wish = desk.wish()

    assert desk.half(wish) == desk.half(wish)


def test_a_nonce_opens_once(desk: UnlockingPc, sato: User, kato: User) -> None:
    desk.log_on(sato, nonce="a" * 32)

    assert refused(lambda: desk.log_on(sato, nonce="a" * 32)) == "nonce_used"
    assert refused(lambda: desk.log_on(kato, nonce="a" * 32)) == "nonce_used"
    assert not Volume.objects.filter(owner=kato).exists()


@pytest.mark.parametrize("nonce", ["", "g" * 32, "a" * 31, "A" * 32, "a" * 65, "a" * 32 + "\n"])
def test_what_is_no_nonce_opens_nothing(desk: UnlockingPc, sato: User, nonce: str) -> None:
    act = lambda: unlocking.prove(  # noqa: E731
        sato, desk.pc.client, nonce=nonce, address="10.0.0.9", now=desk.now
    )

    assert refused(act) == "bad_nonce"


def test_one_user_has_a_volume_of_its_own_on_each_pc(
    desk: UnlockingPc, enrol: Callable[..., FakePc], sato: User
) -> None:
    other = UnlockingPc(enrol("pc-sales-02"), desk.now)

    desk.log_on(sato)
    other.log_on(sato)

    assert desk.half(desk.wish()) != other.half(other.wish())
    assert Opening.objects.current().count() == 2


def test_two_users_of_one_pc_open_each_their_own(desk: UnlockingPc, sato: User, kato: User) -> None:
    desk.log_on(sato)
    desk.log_on(kato)

    one, two = desk.slice().volumes

    assert desk.half(one) != desk.half(two)


def test_another_pc_is_not_given_the_key(desk: UnlockingPc, enrol: Callable[..., FakePc], sato: User) -> None:
    desk.log_on(sato)
    thief = UnlockingPc(enrol("pc-sales-02"), desk.now)

    answer = thief.ask(desk.wish())

    assert (answer.status_code, answer.json()["code"]) == (403, "no_session")
    assert thief.slice().volumes == []


@pytest.mark.parametrize("session", ["", "nonsense", "00000000-0000-4000-8000-000000000000"])
def test_an_invented_session_is_refused(desk: UnlockingPc, sato: User, session: str) -> None:
    desk.log_on(sato)

    assert desk.ask(desk.wish(), session=session).json()["code"] == "no_session"


def test_a_session_opens_its_own_volume_alone(desk: UnlockingPc, sato: User, kato: User) -> None:
    desk.log_on(sato)
    desk.log_on(kato)
    one, two = desk.slice().volumes

    assert desk.ask(one, volume=two.volume).json()["code"] == "no_session"


def test_a_reply_key_that_is_none_is_refused_with_words(desk: UnlockingPc, sato: User) -> None:
    desk.log_on(sato)

    answer = desk.ask(desk.wish(), reply_key=b"short")

    assert (answer.status_code, answer.json()["code"]) == (400, "bad_reply_key")
    assert Opening.objects.get().state == Opening.State.ASKED


def test_the_answer_opens_for_its_one_key_and_purpose(desk: UnlockingPc, sato: User) -> None:
    desk.log_on(sato)
    wish = desk.wish()

    sealed = base64.b64decode(json.loads(desk.ask(wish).content)["sealed"])

    with pytest.raises(Refused):
        sealing.open_sealed(sealed, desk.key, purpose=sealing.half_purpose(wish.volume, "another session"))
    with pytest.raises(Refused):
        sealing.open_sealed(
            sealed, X25519PrivateKey.generate(), purpose=sealing.half_purpose(wish.volume, wish.session)
        )


@pytest.mark.parametrize("address", [OUTSIDE, "2001:db8::7", "", "nonsense", "::ffff:203.0.113.7"])
def test_a_logon_from_outside_the_company_proves_nothing(desk: UnlockingPc, sato: User, address: str) -> None:
    act = lambda: unlocking.prove(  # noqa: E731
        sato, desk.pc.client, nonce="a" * 32, address=address, now=desk.now
    )

    assert refused(act) == "not_on_the_lan"


@pytest.mark.parametrize("address", ["127.0.0.1", "172.16.3.4", "::1", "fd00::9", "::ffff:10.0.0.9"])
def test_a_logon_on_the_lan_counts_in_both_versions_of_ip(
    desk: UnlockingPc, sato: User, address: str
) -> None:
    assert desk.log_on(sato, address=address).address


@pytest.mark.django_db(transaction=True)
async def test_the_heartbeats_door_sees_where_it_comes_from(pc: FakePc) -> None:
    def beaten(address: str) -> dict[str, Any]:
        body = codec.encode(BEAT)
        signed = pc.sign("POST", "/node/v1/heartbeat", body)
        headers = [(name.encode(), value.encode()) for name, value in signed.items()]
        scope = {**scope_of("POST", "/node/v1/heartbeat"), "headers": headers, "client": (address, 1)}
        return {"scope": scope, "body": body}

    words = []
    for address in ("10.0.0.9", OUTSIDE):
        beat = beaten(address)
        door = ApplicationCommunicator(application, beat["scope"])
        await door.send_input({"type": "http.request", "body": beat["body"]})
        assert (await door.receive_output(timeout=10))["status"] == 200
        words.append(json.loads((await door.receive_output(timeout=10))["body"])["look"])

    assert words[0] != words[1]
    assert presence.outside() == [pc.client.pk]


def test_the_companys_networks_are_those_that_are_set(
    desk: UnlockingPc, sato: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "COMPANY_NETWORKS", [])

    assert refused(lambda: desk.log_on(sato, address="10.0.0.9")) == "not_on_the_lan"


def test_a_pc_that_calls_from_outside_has_no_session_and_gets_no_key(desk: UnlockingPc, sato: User) -> None:
    desk.log_on(sato)
    wish = desk.wish()
    desk.half(wish)

    answer = Browser(REMOTE_ADDR=OUTSIDE)
    path, body = "/node/v1/desired", b""
    seen = answer.get(path, headers=desk.pc.sign("GET", path, body)).json()

    assert '"session":""' in base64.b64decode(seen["slices"]["mydoc"]).decode()
    path = "/node/v1/mydoc/key"
    body = json.dumps(
        {"volume": wish.volume, "session": wish.session, "reply_key": base64.b64encode(bytes(32)).decode()}
    ).encode()
    headers = desk.pc.sign("POST", path, body)
    told = answer.post(path, body, content_type="application/json", headers=headers)
    assert (told.status_code, told.json()["code"]) == (403, "not_on_the_lan")


def test_a_heartbeat_from_outside_makes_the_pc_look_and_one_sweep_closes(
    desk: UnlockingPc, sato: User
) -> None:
    desk.log_on(sato)
    here = presence.hear(desk.pc.client.pk, BEAT, now=desk.now, address="10.0.0.9")
    later = desk.now + timedelta(seconds=30)

    there = presence.hear(desk.pc.client.pk, BEAT, now=later, address=OUTSIDE)

    assert there.look != here.look
    assert desk.wish().session == ""
    assert watching.watch(now=later) == 1
    assert Opening.objects.get().reason == "left_the_lan"


def test_who_is_no_employee_has_no_user_data(
    desk: UnlockingPc, being: Callable[..., User], admin: User
) -> None:
    for stranger in (being("mallory"), admin):
        assert refused(lambda user=stranger: desk.log_on(user)) == "no_employee"  # type: ignore[misc]


def test_an_account_that_is_switched_off_loses_session_and_key(desk: UnlockingPc, sato: User) -> None:
    desk.log_on(sato)
    wish = desk.wish()
    User.objects.filter(pk=sato.pk).update(is_active=False)

    assert desk.wish().session == ""
    assert desk.ask(wish).json()["code"] == "switched_off"
    assert Opening.objects.get().reason == "switched_off"
    assert refused(lambda: desk.log_on(User.objects.get(pk=sato.pk))) == "switched_off"


def test_who_loses_the_role_is_closed_by_the_next_sweep(desk: UnlockingPc, sato: User, kato: User) -> None:
    desk.log_on(sato)
    desk.log_on(kato)
    sato.groups.clear()

    assert watching.watch(now=desk.now) == 1

    assert Opening.objects.current().get().volume.owner == kato
    assert Opening.objects.get(volume__owner=sato).reason == "no_employee"


def test_a_revoked_pc_is_closed_in_the_moment_of_its_revocation(desk: UnlockingPc, sato: User) -> None:
    desk.log_on(sato)
    wish = desk.wish()
    desk.half(wish)

    enrolling.revoke(desk.pc.client, reason="lost")
    identity.forget(desk.pc.client)

    assert Opening.objects.get().reason == "pc_revoked"
    assert desk.ask(wish).json()["code"] == "revoked"
    assert desk.wish().session == ""


def test_a_pc_that_waits_or_is_none_opens_nothing(
    desk: UnlockingPc, enrol: Callable[..., FakePc], sato: User
) -> None:
    waiting = UnlockingPc(enrol("pc-new", approved=False), desk.now)

    assert refused(lambda: waiting.log_on(sato)) == "unknown_client"
    act = lambda: unlocking.prove(sato, None, nonce="a" * 32, address="10.0.0.9", now=desk.now)  # noqa: E731
    assert refused(act) == "unknown_client"


def test_a_logon_whose_key_nobody_fetches_ends(desk: UnlockingPc, sato: User) -> None:
    desk.log_on(sato)

    assert watching.watch(now=desk.now + settings.LOGON_LIFE - timedelta(seconds=1)) == 0
    assert watching.watch(now=desk.now + settings.LOGON_LIFE) == 1

    assert Opening.objects.get().reason == "not_fetched"


def test_a_pc_of_which_nothing_is_heard_for_long_is_closed_while_the_sweep_was_awake(
    desk: UnlockingPc, sato: User
) -> None:
    desk.log_on(sato)
    desk.half(desk.wish())
    end = desk.now + settings.OPEN_SILENCE + timedelta(minutes=3)
    watching.watch(now=end - timedelta(seconds=150))

    for seconds in (100, 50):
        assert watching.watch(now=end - timedelta(seconds=seconds)) == 0
    assert watching.watch(now=end) == 1

    assert Opening.objects.get().reason == "pc_silent"


def test_a_server_that_was_off_for_an_hour_closes_nobodys_data_when_it_comes_back(
    desk: UnlockingPc, sato: User
) -> None:
    desk.log_on(sato)
    desk.half(desk.wish())
    watching.watch(now=desk.now)
    back = desk.now + timedelta(hours=1)

    assert watching.watch(now=back) == 0
    presence.hear(desk.pc.client.pk, BEAT, now=back + timedelta(seconds=20), address="10.0.0.9")

    for seconds in range(10, 300, 10):
        assert watching.watch(now=back + timedelta(seconds=seconds)) == 0


def test_a_lock_that_the_pc_made_by_itself_ends_the_logon(desk: UnlockingPc, sato: User) -> None:
    desk.log_on(sato)
    wish = desk.wish()
    desk.half(wish)
    desk.report(wish, VolumeState.OPEN)

    proof = LockProof(
        reason="machine_off", seconds=0.4, read_failed=True, daemon_gone=True, guest_answered=True
    )
    desk.report(wish, VolumeState.LOCKED, proof=proof)

    assert Opening.objects.get().reason == "machine_off"
    assert Volume.objects.get().told["proof"]["read_failed"] is True


def test_a_logon_that_its_pc_refuses_is_over(desk: UnlockingPc, sato: User) -> None:
    desk.log_on(sato)

    desk.report(desk.wish(), VolumeState.ABSENT, code="no_such_nonce")

    assert Opening.objects.get().reason == "no_such_nonce"


def test_a_late_report_of_the_lock_before_does_not_end_the_new_logon(desk: UnlockingPc, sato: User) -> None:
    desk.log_on(sato)
    before = desk.wish()
    desk.half(before)
    desk.log_on(sato)
    desk.half(desk.wish())

    desk.report(before, VolumeState.LOCKED)

    assert str(Opening.objects.current().get().pk) == desk.wish().session


def test_a_pc_says_nothing_of_the_volumes_of_others(
    desk: UnlockingPc, enrol: Callable[..., FakePc], sato: User
) -> None:
    desk.log_on(sato)
    wish = desk.wish()
    desk.half(wish)
    other = UnlockingPc(enrol("pc-sales-02"), desk.now)

    other.report(wish, VolumeState.LOCKED)

    assert Volume.objects.get().told == {}
    assert desk.wish().session == wish.session


def test_an_administrator_locks_a_volume_at_once_and_its_owner_may_log_on_again(
    desk: UnlockingPc, sato: User, admin: User
) -> None:
    desk.log_on(sato)
    opening = Opening.objects.get()
    browser = Browser()
    browser.force_login(admin)

    answer = browser.post(f"/api/v1/openings/{opening.pk}/close/", {"reason": "he left his desk"})

    assert answer.json()["reason"] == "by_hand"
    assert Event.objects.get(verb="opening.closed").reason == "he left his desk"
    assert desk.wish().session == ""
    desk.log_on(sato)
    again = browser.post(f"/api/v1/openings/{opening.pk}/close/", {"reason": "again"})
    assert again.json()["code"] == "wrong_state"


def test_a_deleted_half_takes_a_reason_and_the_volumes_name_and_is_for_ever(
    desk: UnlockingPc, sato: User, admin: User
) -> None:
    desk.log_on(sato)
    wish = desk.wish()
    browser = Browser()
    browser.force_login(admin)
    door = f"/api/v1/volumes/{wish.volume}/forget-half/"

    told = browser.post(door, {"reason": "the PC is lost"}).json()
    assert told["code"] == "not_confirmed"
    assert "lost for ever" in told["detail"]
    assert desk.half(wish)
    done = browser.post(door, {"reason": "the PC is lost", "confirm": told["confirm"]})

    assert done.json()["opens_by_logon"] is False
    assert desk.ask(wish).json()["code"] == "no_session"
    assert refused(lambda: desk.log_on(sato)) == "half_deleted"
    assert Event.objects.get(verb="volume.half_deleted").reason == "the PC is lost"
    again = browser.post(door, {"reason": "again", "confirm": told["confirm"]})
    assert again.json()["code"] == "half_deleted"


def test_without_two_custodians_no_user_data_is_begun(pc: FakePc, sato: User, now: datetime) -> None:
    desk = UnlockingPc(pc, now)
    recovering.appoint(name="one", place=1, public_key=bytes([9]) * 32)

    assert refused(lambda: desk.log_on(sato)) == "no_custodians"
    assert not Volume.objects.exists()


def test_a_recovery_key_opens_with_both_custodians_and_with_no_one_alone(
    desk: UnlockingPc, sato: User, custodians: Keys
) -> None:
    desk.log_on(sato)
    wish = desk.wish()
    secret = b"the recovery key of this volume!"
    assert desk.deposit(wish, secret).status_code == 204

    wrapped = recovering.hand_out(Volume.objects.get(), reason="her PC burnt")

    purpose = sealing.recovery_purpose(wish.volume)
    inner = sealing.open_sealed(wrapped, custodians[0], purpose=purpose)
    assert sealing.open_sealed(inner, custodians[1], purpose=purpose) == secret
    with pytest.raises(Refused):
        sealing.open_sealed(wrapped, custodians[1], purpose=purpose)
    assert secret not in wrapped + inner
    assert Event.objects.get(verb="volume.recovered").reason == "her PC burnt"


def test_a_deposit_may_come_twice_and_is_not_replaced_once_the_volume_was_used(
    desk: UnlockingPc, sato: User
) -> None:
    desk.log_on(sato)
    wish = desk.wish()
    assert desk.deposit(wish, wrapped=b"first").status_code == 204
    assert desk.deposit(wish, wrapped=b"first").status_code == 204
    assert desk.deposit(wish, wrapped=b"killed, and made anew").status_code == 204
    desk.report(wish, VolumeState.OPEN)

    answer = desk.deposit(wish, wrapped=b"of a thief")

    assert answer.json()["code"] == "recovery_there"
    assert bytes(Volume.objects.get().recovery or b"") == b"killed, and made anew"


def test_after_a_custodian_was_replaced_the_same_volume_deposits_once_more(
    desk: UnlockingPc, sato: User
) -> None:
    desk.log_on(sato)
    wish = desk.wish()
    desk.deposit(wish, wrapped=b"first")
    desk.report(wish, VolumeState.OPEN)
    before = [one.fingerprint for one in desk.slice().custodians]
    recovering.appoint(name="new", place=2, public_key=bytes([9]) * 32)

    old = desk.deposit(wish, wrapped=b"second", custodians=before)
    other = desk.deposit(wish, wrapped=b"second", luks_uuid="another volume")
    new = desk.deposit(wish, wrapped=b"second")

    assert old.json()["code"] == "not_the_custodians"
    assert other.json()["code"] == "recovery_there"
    assert new.status_code == 204
    assert Custodian.objects.filter(state=Custodian.State.REPLACED).count() == 1


def test_a_deposit_for_somebody_elses_volume_or_of_nonsense_is_refused(
    desk: UnlockingPc, enrol: Callable[..., FakePc], sato: User
) -> None:
    desk.log_on(sato)
    wish = desk.wish()
    thief = UnlockingPc(enrol("pc-sales-02"), desk.now)

    assert thief.deposit(wish).json()["code"] == "no_session"
    assert desk.deposit(wish, wrapped=b"").json()["code"] == "bad_deposit"
    assert desk.deposit(wish, wrapped=bytes(2000)).json()["code"] == "bad_deposit"
    assert desk.deposit(wish, custodians=[]).json()["code"] == "not_the_custodians"


def test_the_thief_of_the_database_finds_no_half_of_any_key(desk: UnlockingPc, sato: User) -> None:
    desk.log_on(sato)
    half = desk.half(desk.wish())
    desk.deposit(desk.wish(), b"the recovery key of this volume!")

    rows = [row for model in apps.get_models() for row in model._base_manager.all()]
    dump = serializers.serialize("json", rows).encode()

    assert str(Volume.objects.get().pk).encode() in dump
    for secret in (half, b"the recovery key of this volume!"):
        for form in (secret, secret.hex().encode(), base64.b64encode(secret)):
            assert form not in dump


def test_the_thief_of_the_whole_server_lacks_the_pcs_half(desk: UnlockingPc, sato: User) -> None:
    desk.log_on(sato)
    volume = Volume.objects.get()
    pc_half = bytes(range(32))
    key = sealing.lan_key(desk.half(desk.wish()), pc_half, volume=str(volume.pk))

    stolen = halves.half_of(volume)  # the database and the key directory together

    assert sealing.lan_key(stolen, pc_half, volume=str(volume.pk)) == key
    for guess in (bytes(32), stolen, bytes(range(1, 33))):
        assert sealing.lan_key(stolen, guess, volume=str(volume.pk)) != key


def test_home_says_that_passwords_open_user_data(admin: User) -> None:
    browser = Browser()
    browser.force_login(admin)

    assert "Their passwords open user data" in browser.get("/").content.decode()


def test_a_half_is_bound_to_its_row_and_to_the_key_directory(
    desk: UnlockingPc, sato: User, kato: User, installation: signing.KeyStore
) -> None:
    desk.log_on(sato)
    desk.log_on(kato)
    one, two = Volume.objects.all()
    one.server_half = two.server_half
    assert refused(lambda: halves.half_of(one)) == "not_unwrapped"
    (installation.directory / signing.WRAPPING_KEY).write_bytes(bytes(32))

    assert refused(lambda: halves.half_of(two)) == "not_unwrapped"


def test_a_wrapping_key_that_is_lost_is_not_made_anew_over_the_halves_that_it_wrapped(
    desk: UnlockingPc, sato: User, kato: User, installation: signing.KeyStore
) -> None:
    desk.log_on(sato)
    file = installation.directory / signing.WRAPPING_KEY
    assert file.stat().st_mode & 0o777 == 0o600
    file.unlink()

    assert refused(lambda: desk.log_on(kato)) == "no_keys"

    assert not file.exists()


def test_an_installation_of_before_gets_its_wrapping_key_on_first_use(
    desk: UnlockingPc, sato: User, installation: signing.KeyStore
) -> None:
    (installation.directory / signing.WRAPPING_KEY).unlink()

    desk.log_on(sato)

    assert len(desk.half(desk.wish())) == 32


def test_without_a_directory_a_local_account_opens_by_name_and_password(
    desk: UnlockingPc, sato: User
) -> None:
    sato.set_password("correct horse battery")
    sato.save()

    answer = knock(desk, "sato:correct horse battery")

    assert answer.json() == {"volume": desk.wish().volume}
    assert knock(desk, "sato:wrong", nonce="b" * 32).json()["code"] == "not_proven"
    assert knock(desk, "sato:", nonce="c" * 32).json()["code"] == "not_proven"


def test_who_proves_nothing_is_told_how_to(desk: UnlockingPc) -> None:
    answer = Browser().post("/mydoc/logon", {}, content_type="application/json")

    assert answer.status_code == 401
    assert answer["WWW-Authenticate"].startswith("Basic ")
    assert answer.json()["code"] == "not_authenticated"


def test_ten_wrong_passwords_are_the_last(desk: UnlockingPc, sato: User) -> None:
    sato.set_password("correct horse battery")
    sato.save()
    for _try in range(settings.AXES_FAILURE_LIMIT):
        knock(desk, "sato:wrong")

    assert knock(desk, "sato:correct horse battery").status_code == 429
    assert not Opening.objects.exists()


def test_in_production_no_password_opens_user_data(
    desk: UnlockingPc, sato: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "PRODUCTION", True)
    sato.set_password("correct horse battery")
    sato.save()

    assert knock(desk, "sato:correct horse battery").json()["code"] == "no_directory"


@pytest.mark.parametrize("body", [b"", b"[]", b'{"nonce":1}', b"\xff", b'{"nonce":"a","client":"x"}'])
def test_a_body_of_another_shape_is_refused_with_words(desk: UnlockingPc, sato: User, body: bytes) -> None:
    sato.set_password("correct horse battery")
    sato.save()

    answer = knock(desk, "sato:correct horse battery", body=body)

    assert (answer.status_code, answer.json()["code"]) == (400, "bad_message")


def test_custodians_are_appointed_and_replaced_by_administrators(db: None, admin: User) -> None:
    browser = Browser()
    browser.force_login(admin)
    wish = {"name": "Yamada", "place": 1, "public_key": "07" * 32}

    first = browser.post("/api/v1/custodians/", wish)
    again = browser.post("/api/v1/custodians/", wish)
    browser.post("/api/v1/custodians/", {**wish, "name": "Mori", "public_key": "08" * 32})

    assert first.status_code == 201
    assert again.json()["code"] == "key_known"
    rows = browser.get("/api/v1/custodians/?state=active").json()["results"]
    assert [row["name"] for row in rows] == ["Mori"]
    for bad in ("", "zz", "07" * 31, "00" * 32):
        assert browser.post("/api/v1/custodians/", {**wish, "public_key": bad}).status_code == 400


def test_what_rest_and_admin_show_of_volumes_is_never_a_key(
    desk: UnlockingPc, sato: User, admin: User
) -> None:
    desk.log_on(sato)
    desk.deposit(desk.wish())
    browser = Browser()
    browser.force_login(admin)
    row = Volume.objects.get()
    pages = ["/api/v1/volumes/", "/api/v1/openings/", "/admin/mydoc/volume/", "/admin/mydoc/opening/"]
    pages += [f"/admin/mydoc/volume/{row.pk}/change/", "/admin/mydoc/custodian/"]

    shown = b"".join(browser.get(page).content for page in pages)

    assert sato.username.encode() in shown
    for secret in (bytes(row.server_half or b""), bytes(row.recovery or b"")):
        assert secret.hex().encode() not in shown
        assert base64.b64encode(secret)[:40] not in shown


def knock(desk: UnlockingPc, words: str, *, nonce: str = "a" * 32, body: bytes | None = None) -> Any:
    """The logon script, at the door."""
    wish = json.dumps({"nonce": nonce, "client": str(desk.pc.client.pk)}).encode() if body is None else body
    token = base64.b64encode(words.encode()).decode()
    return Browser().post(
        "/mydoc/logon", wish, content_type="application/json", headers={"authorization": f"Basic {token}"}
    )
