"""A user's volume on a PC, from the first logon to the lock: real volumes, a real office over HTTP, and a
virtual server that keeps files in a folder. The real one is met by the walks."""

import contextlib
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from msgspec.structs import replace

from tests.vrasnode.conftest import member_of
from tests.vrasnode.mydoccast import BOB, MIB, DataOffice, DataPc, StillCrank
from vrasnode.cli.main import main
from vrasnode.cli.stop import lock_all
from vrasnode.mydoc import locking
from vrasnode.mydoc.cutoff import LINK_S, SERVER_S
from vrasnode.mydoc.naming import uid_of
from vrasnode.mydoc.uservolume import UserVolume
from vrasnode.wire import codec
from vrasnode.wire.mydoc import Access, Act, EntryKind, Grant, MydocSlice, Question, VolumeState

pytestmark = pytest.mark.slow

OPEN, LOCKED, BROKEN, ABSENT = VolumeState.OPEN, VolumeState.LOCKED, VolumeState.BROKEN, VolumeState.ABSENT


def test_a_first_logon_makes_a_volume_that_the_custodians_can_recover_and_shares_it(
    pc: DataPc, office: DataOffice
) -> None:
    wish = pc.opened()

    (deposit,) = office.deposits
    assert deposit.luks_uuid == pc.volumes.luks_uuid(wish.volume)
    assert pc.volumes.opens(wish.volume, office.recovered(deposit))
    assert pc.guest.calls == ["volume_open", "cable in", "share_open", "grants_apply"]
    (told,) = pc.guest.told
    assert (told["server"], told["share"], told["owner"]) == ("100.127.255.242", "documents", "alice")
    report = pc.report()
    assert (report.state, report.session, report.code) == (OPEN, wish.session, "")


def test_the_server_says_no_and_the_volume_is_locked_in_the_designed_order(pc: DataPc) -> None:
    wish = pc.opened()
    before = len(pc.guest.calls)
    assert pc.readable(wish.volume)

    pc.say(replace(wish, session="", nonce=""))
    report = pc.until_state(LOCKED)

    assert pc.guest.calls[before:] == [
        *("cable out", "volume_cut", "volume_close", "unplug", "overwritten", "cable in"),
    ]
    assert not pc.readable(wish.volume)
    assert report.proof is not None
    assert (report.proof.reason, report.proof.read_failed, report.proof.guest_answered) == (
        "server_said",
        True,
        True,
    )
    assert report.session == wish.session
    pc.until(lambda: {"close": True, "owner": "alice"} in pc.guest.told)


CLOSED = {"close": True, "owner": "alice"}


def test_a_client_vm_that_does_not_listen_is_told_of_the_lock_again_until_it_has_heard(pc: DataPc) -> None:
    wish = pc.opened()
    pc.guest.client_vm_off = True
    pc.say(replace(wish, session="", nonce=""))
    pc.until_state(LOCKED)
    for _ in range(3):
        tried = pc.guest.tries
        pc.time.ahead += 60  # type: ignore[attr-defined]
        pc.until(lambda tried=tried: pc.guest.tries > tried)

    pc.guest.client_vm_off = False
    pc.time.ahead += 60  # type: ignore[attr-defined]

    pc.until(lambda: CLOSED in pc.guest.told)
    tried = pc.guest.tries
    pc.time.ahead += 600  # type: ignore[attr-defined]
    pc.step()
    assert pc.guest.tries == tried


def test_a_client_vm_that_never_heard_of_the_lock_is_told_of_the_next_opening_alone(pc: DataPc) -> None:
    wish = pc.opened()
    pc.guest.client_vm_off = True
    pc.say(replace(wish, session="", nonce=""))
    pc.until_state(LOCKED)
    pc.guest.told.clear()
    pc.log_on(volume=wish.volume)
    pc.until_state(OPEN)

    pc.guest.client_vm_off = False
    pc.time.ahead += 10  # type: ignore[attr-defined]
    pc.until(lambda: pc.guest.told)
    pc.time.ahead += 10  # type: ignore[attr-defined]
    pc.step()

    assert [one.get("share") for one in pc.guest.told] == ["documents"]


def test_what_was_written_is_there_after_the_next_logon_with_another_password(
    pc: DataPc, office: DataOffice
) -> None:
    wish = pc.opened()
    pc.say(replace(wish, session="", nonce=""))
    pc.until_state(LOCKED)
    pc.guest.told.clear()

    pc.opened(volume=wish.volume)

    assert pc.guest.calls.count("volume_open") == 2
    assert len(office.deposits) == 1
    assert len(pc.guest.told) == 1


@pytest.mark.parametrize("kind", ["made up", "of another PC", "used before", "of the agent before"])
def test_a_logon_that_did_not_happen_here_opens_nothing(kind: str, pc: DataPc, office: DataOffice) -> None:
    nonce, volume = pc.nonces.give(), str(uuid4())
    if kind == "used before":
        wish = pc.opened(volume=volume, nonce=nonce)
        pc.say(replace(wish, session="", nonce=""))
        pc.until_state(LOCKED)
    if kind == "of the agent before":
        pc.restart()
    if kind in ("made up", "of another PC"):
        nonce = "ab" * 16
    given = len(office.keys_given)

    wish = pc.log_on(volume=volume, nonce=nonce)
    pc.until(lambda: pc.report() and pc.report().code)

    report = pc.report()
    assert (report.code, report.session) == ("unknown_logon", wish.session)
    assert report.state is (LOCKED if kind == "used before" else ABSENT)
    assert len(office.keys_given) == given
    assert pc.volumes.serving(volume) is None


def test_without_both_custodians_nothing_is_made(pc: DataPc, office: DataOffice) -> None:
    wish = pc.log_on()
    pc.say(wish, custodians=office.custodians[:1])

    pc.until(lambda: pc.report() and pc.report().code)

    assert (pc.report().state, pc.report().code) == (ABSENT, "no_custodians")
    assert not pc.volumes.exists(wish.volume)


def test_on_a_pc_whose_state_is_not_encrypted_nothing_is_made(pc: DataPc) -> None:
    pc.blocked = ("state_not_encrypted", "The state directory is not encrypted.")
    pc.restart()
    pc.log_on()

    pc.until(lambda: pc.report() and pc.report().code)

    assert (pc.report().state, pc.report().code) == (ABSENT, "state_not_encrypted")


def test_a_volume_is_not_used_before_the_server_has_what_recovers_it(pc: DataPc, office: DataOffice) -> None:
    office.refuse["/node/v1/mydoc/recovery"] = (503, "busy")
    wish = pc.log_on()
    pc.until(lambda: pc.report() and pc.report().code)
    assert (pc.report().state, pc.report().code) == (VolumeState.OPENING, "busy")
    assert pc.guest.calls == []
    pc.restart()

    del office.refuse["/node/v1/mydoc/recovery"]
    pc.time.ahead += 20
    pc.until_state(OPEN)

    assert pc.volumes.opens(wish.volume, office.recovered(office.deposits[0]))


def test_a_server_that_gives_no_key_opens_nothing(pc: DataPc, office: DataOffice) -> None:
    office.refuse["/node/v1/mydoc/key"] = (403, "account_disabled")
    pc.log_on()

    pc.until(lambda: pc.report() and pc.report().proof)

    assert (pc.report().state, pc.report().code) == (ABSENT, "account_disabled")


def test_off_the_lan_it_is_locked_after_its_time(pc: DataPc) -> None:
    wish = pc.opened()
    pc.heard_at = pc.time()
    pc.step()
    pc.time.ahead += LINK_S - 5
    pc.step()
    assert pc.report().state is OPEN
    assert pc.doubts

    pc.time.ahead += 5
    report = pc.until_state(LOCKED)

    assert report.proof is not None
    assert report.proof.reason == "left_the_lan"
    assert not pc.readable(wish.volume)


def test_a_domain_controller_holds_it_open_for_a_while(pc: DataPc) -> None:
    pc.opened()
    pc.heard_at = pc.time()
    for _ in range(9):
        pc.time.ahead += SERVER_S / 10
        pc.controller_at = pc.time()
        pc.step()
    assert pc.report().state is OPEN

    pc.time.ahead += SERVER_S / 10
    pc.controller_at = pc.time()
    report = pc.until_state(LOCKED)

    assert report.proof is not None
    assert report.proof.reason == "server_silent"


def test_a_pc_that_wakes_too_late_locks_though_the_server_answers_at_once(pc: DataPc) -> None:
    pc.opened()
    pc.step()

    pc.time.ahead += 8 * 3600  # asleep, and heard in the moment that it wakes
    pc.parts[0].step()

    assert pc.parts[0].state is VolumeState.LOCKING


def test_a_pc_that_is_none_of_the_servers_any_more_locks(pc: DataPc) -> None:
    pc.opened()

    pc.welcome = False

    assert pc.until_state(LOCKED).proof is not None


def test_a_guest_that_hangs_is_not_waited_for_and_ends(pc: DataPc) -> None:
    wish = pc.opened()
    before = len(pc.guest.calls)
    pc.guest.hangs = True

    pc.say(replace(wish, session="", nonce=""))
    report = pc.until_state(LOCKED)

    assert "switch off" in pc.guest.calls[before:]
    assert report.proof is not None
    assert (report.proof.read_failed, report.proof.guest_answered) == (True, False)


def test_a_guest_that_is_only_slow_has_time_to_write_down_once_nobody_reaches_it(pc: DataPc) -> None:
    wish = pc.opened()
    pc.say(replace(wish, session="", nonce=""))
    pc.until_state(LOCKED)
    alone = pc.guest.patience["volume_cut"]

    first = pc.opened(volume=wish.volume)
    second = pc.log_on(owner=BOB)
    pc.until_state(OPEN, second.volume)
    pc.say(replace(first, session="", nonce=""), second)
    pc.until_state(LOCKED, first.volume)

    assert alone == locking.PATIENT_CUT_S
    assert pc.guest.patience["volume_cut"] == locking.CUT_S


def test_a_guest_that_holds_on_loses_the_volume_before_it_is_switched_off(pc: DataPc) -> None:
    wish = pc.opened()
    pc.guest.holds_on = True
    closed_without_daemon = []
    pc.guest.on_call = lambda op: closed_without_daemon.append(
        op == "volume_close" and pc.volumes.serving(wish.volume) is None
    )

    pc.say(replace(wish, session="", nonce=""))
    report = pc.until_state(LOCKED)

    assert any(closed_without_daemon)
    assert report.proof is not None
    assert not report.proof.guest_answered


def test_a_virtual_server_that_was_started_anew_gets_the_volume_again(pc: DataPc, office: DataOffice) -> None:
    wish = pc.opened()
    keys_given = len(office.keys_given)

    pc.guest.restart(program="second")
    pc.time.ahead += 6
    pc.until(lambda: len(pc.guest.told) == 2)

    assert (pc.report().state, pc.report().session) == (OPEN, wish.session)
    assert pc.guest.told[0]["password"] != pc.guest.told[1]["password"]
    assert len(office.keys_given) == keys_given


def test_a_daemon_that_died_is_begun_anew(pc: DataPc) -> None:
    wish = pc.opened()

    pc.volumes.stop(wish.volume)
    pc.time.ahead += 6
    pc.until(lambda: len(pc.guest.told) == 2)

    assert pc.report().state is OPEN
    assert pc.volumes.serving(wish.volume)


def test_the_next_agent_takes_an_open_volume_over(pc: DataPc, office: DataOffice) -> None:
    wish = pc.opened()
    calls = list(pc.guest.calls)

    pc.restart()
    pc.step()

    assert (pc.report().state, pc.report().session) == (OPEN, wish.session)
    assert pc.guest.calls[: len(calls)] == calls
    assert "share_open" not in pc.guest.calls[len(calls) :]
    assert pc.volumes.serving(wish.volume)


def test_a_crank_that_turns_before_its_part_was_told_anything_locks_nothing(
    pc: DataPc, monkeypatch: pytest.MonkeyPatch
) -> None:
    wish = pc.opened()
    as_usual = pc._turn

    def at_once(part: UserVolume) -> StillCrank:
        part.step()
        return as_usual(part)

    monkeypatch.setattr(pc, "_turn", at_once)
    pc.restart()
    nobody_turns_yet = not pc.parts  # the rest of the agent is not there
    pc.step()

    assert nobody_turns_yet
    assert pc.report().state is OPEN
    assert pc.volumes.serving(wish.volume)


def test_the_next_agent_locks_what_was_not_watched_for_too_long(pc: DataPc) -> None:
    wish = pc.opened()

    pc.time.ahead += LINK_S
    pc.restart()
    pc.until_state(LOCKED)

    assert not pc.readable(wish.volume)


def test_after_a_start_of_the_pc_a_new_logon_is_needed(pc: DataPc) -> None:
    wish = pc.opened()
    pc.volumes.stop(wish.volume)
    pc.guest.restart(program="of the next boot")
    pc.boot_id = "the next boot"

    pc.restart()
    report = pc.until_state(LOCKED)
    pc.step()

    assert report.proof is not None
    assert report.proof.reason == "machine_off"
    assert pc.report().state is LOCKED


def test_a_user_who_logs_on_again_keeps_the_volume_and_is_told_anew(pc: DataPc) -> None:
    wish = pc.opened()

    again = pc.log_on(volume=wish.volume)
    pc.until(lambda: len(pc.guest.told) == 2)

    assert (pc.report().state, pc.report().session) == (OPEN, again.session)
    assert "volume_cut" not in pc.guest.calls


def test_a_replayed_logon_of_the_same_user_locks_what_is_open(pc: DataPc) -> None:
    wish = pc.opened()

    pc.log_on(volume=wish.volume, nonce=wish.nonce)
    pc.until_state(LOCKED)

    assert not pc.readable(wish.volume)


def test_a_lock_is_told_of_the_logon_that_it_ended_whatever_was_refused_before(pc: DataPc) -> None:
    volume = str(uuid4())
    pc.log_on(volume=volume, nonce="ab" * 16)
    pc.until(lambda: pc.report() and pc.report().code == "unknown_logon")
    wish = pc.opened(volume=volume)

    pc.heard_at = pc.time() - LINK_S
    pc.step()
    pc.time.ahead += LINK_S
    report = pc.until_state(LOCKED)

    assert (report.session, report.code) == (wish.session, "")


def test_two_users_of_one_pc_have_a_share_each_and_the_cable_stays_for_the_other(pc: DataPc) -> None:
    alices = pc.opened()
    pc.guest.told.clear()
    bobs = pc.opened(owner=BOB)
    before = len(pc.guest.calls)

    pc.say(replace(alices, session="", nonce=""), bobs)
    pc.until_state(LOCKED, alices.volume)

    assert pc.guest.told[0]["share"] == f"documents-{bobs.volume[:8]}"
    assert "cable out" not in pc.guest.calls[before:]
    assert pc.report(bobs.volume).state is OPEN


def test_two_volumes_of_one_user_cannot_be_meant(pc: DataPc, office: DataOffice) -> None:
    first = pc.log_on()
    pc.say(first, replace(first, volume=str(uuid4()), nonce=pc.nonces.give()))

    pc.step()

    assert pc.mydoc.reports() == []
    assert office.keys_given == []


@pytest.mark.parametrize("name", ["", "..", "../../../etc/x", "VOLUME", "a/b"])
def test_a_volume_of_a_name_that_is_none_becomes_no_file(name: str, pc: DataPc, tmp_path: Path) -> None:
    before = set(tmp_path.rglob("*"))
    pc.say(replace(pc.log_on(), volume=name))

    pc.step()

    assert pc.mydoc.reports() == []
    assert set(tmp_path.rglob("*")) == before


def test_a_slice_that_cannot_be_read_changes_nothing(pc: DataPc) -> None:
    pc.opened()
    pc.slice = b'{"volumes": 7}'

    with pytest.raises(Exception, match="bad_message"):
        pc.mydoc.step()
    pc.parts[0].step()

    assert pc.report().state is OPEN


def test_a_volume_that_the_server_names_no_more_is_locked_and_kept(pc: DataPc) -> None:
    wish = pc.opened()

    pc.say()
    pc.until_state(LOCKED)

    assert pc.volumes.exists(wish.volume)


def test_a_damaged_volume_is_said_and_never_made_anew(pc: DataPc) -> None:
    wish = pc.opened()
    pc.say(replace(wish, session="", nonce=""))
    pc.until_state(LOCKED)
    file = pc.directory / "mydoc" / wish.volume / "volume.luks"
    size = file.stat().st_size
    with file.open("r+b") as opened:
        opened.write(bytes(4096))

    pc.log_on(volume=wish.volume)
    report = pc.until_state(BROKEN)

    assert report.code == "volume_damaged"
    assert file.stat().st_size == size


def test_a_full_disk_is_locked(office: DataOffice, small_disk: Callable[[int], Path], tmp_path: Path) -> None:
    disk = small_disk(64 * MIB)
    pc = DataPc(disk, office=office, identity=member_of(office, tmp_path / "identity"))
    try:
        wish = pc.opened()
        with contextlib.suppress(OSError), (disk / "filler").open("wb") as filler:
            while True:
                filler.write(bytes(4096))
                filler.flush()

        pc.say(replace(wish, session="", nonce=""))
        pc.until_state(LOCKED)

        assert not pc.readable(wish.volume)
        (disk / "filler").unlink()
        pc.restart()
        pc.until_state(LOCKED)
    finally:
        pc.close()


def test_a_volume_that_takes_no_changes_is_said(pc: DataPc) -> None:
    pc.guest.read_only = True

    pc.opened()
    pc.until(lambda: pc.report().code)

    assert (pc.report().state, pc.report().code) == (OPEN, "volume_read_only")


def test_a_client_vm_that_is_off_is_told_later(pc: DataPc) -> None:
    pc.guest.client_vm_off = True
    pc.log_on()
    pc.until(lambda: pc.report() and pc.report().code == "guest_silent")
    assert pc.report().state is OPEN

    pc.guest.client_vm_off = False
    pc.time.ahead += 6
    pc.until(lambda: pc.guest.told)

    assert pc.report().code == ""


def test_rights_of_others_are_said_as_they_are(pc: DataPc) -> None:
    granted = [Grant(path="Documents/議事録".encode(), person=BOB, access=Access.READ)]
    wish = pc.opened(grants=granted, grants_revision=3)
    pc.until(lambda: pc.report().grants_revision == 3)

    more = [*granted, Grant(path=b"Gone", person=BOB, access=Access.WRITE)]
    pc.say(replace(wish, grants=more, grants_revision=4))
    pc.until(lambda: pc.report().grants_failed)

    assert pc.report().grants_revision == 3
    assert "Gone" in pc.report().grants_failed


def test_questions_are_answered_to_who_asked_with_the_rights_of_who_looks(pc: DataPc) -> None:
    wish = pc.opened()
    key = X25519PrivateKey.generate()

    def ask(act: Act, volume: str = wish.volume, **fields: object) -> object:
        question = Question(
            id=str(uuid4()),
            volume=volume,
            act=act,
            reply_key=key.public_key().public_bytes_raw(),
            **fields,  # type: ignore[arg-type]
        )
        return pc.ask(question, key)

    listed = ask(Act.LIST, path=b"Documents", length=1)
    found = ask(Act.SEARCH, words="見積")
    read = ask(Act.READ, path="Documents/見積書.txt".encode(), length=6)
    bobs = ask(Act.LIST, person=BOB)
    locked = ask(Act.LIST, volume=str(uuid4()))

    assert [(one.name, one.kind) for one in listed.entries] == [(b"budget.csv", EntryKind.FILE)]  # type: ignore[attr-defined]
    assert (listed.more, listed.next) == (True, b"budget.csv")  # type: ignore[attr-defined]
    assert [one.name.decode() for one in found.entries] == ["Documents/見積書.txt"]  # type: ignore[attr-defined]
    assert (read.data.decode(), read.more) == ("見積", True)  # type: ignore[attr-defined]
    assert bobs.code == "not_permitted"  # type: ignore[attr-defined]
    assert locked.code == "volume_locked"  # type: ignore[attr-defined]


def test_before_the_pc_shuts_down_what_an_agent_left_open_is_locked(pc: DataPc) -> None:
    wish = pc.opened()
    pc.mydoc.close()

    assert list(lock_all(pc.directory / "mydoc", volumes=pc.volumes, housing=pc.guest)) == []

    assert not pc.readable(wish.volume)
    pc.start()
    pc.until(lambda: pc.report() and pc.report().state is LOCKED)
    assert pc.report().proof is not None


@pytest.mark.parametrize("lines", [(), ("--json",)])
def test_status_says_how_the_documents_stand_also_without_an_agent(
    lines: tuple[str, ...], pc: DataPc, capsys: pytest.CaptureFixture[str]
) -> None:
    wish = pc.opened()
    pc.mydoc.close()

    assert main(["status", "--state", str(pc.directory), "--hypervisor", "sim:", *lines]) == 0

    said = capsys.readouterr().out
    assert (f'"{wish.volume}": "open"' if lines else f"volumes: {wish.volume}=open") in said


def test_no_secret_lies_on_the_disk_or_shows(pc: DataPc, office: DataOffice) -> None:
    wish = pc.opened()
    secrets = {
        "server half": office.halves[wish.volume],
        "recovery key": office.recovered(office.deposits[0]),
        "password": str(pc.guest.told[0]["password"]).encode(),
    }

    lying = b"".join(path.read_bytes() for path in pc.directory.rglob("*") if path.is_file())
    shown = repr([vars(part) for part in pc.parts]).encode()

    for name, secret in secrets.items():
        assert secret not in lying + shown, name
        assert secret.hex().encode() not in lying + shown, name


def test_a_limit_that_grew_holds_from_the_next_logon_on(pc: DataPc) -> None:
    wish = pc.opened()
    pc.say(replace(wish, session="", nonce="", limit_bytes=32 * MIB))
    pc.until_state(LOCKED)
    pc.guest.told.clear()

    pc.opened(volume=wish.volume, limit_bytes=32 * MIB)

    assert pc.volumes.size(wish.volume) == 32 * MIB


def test_what_is_used_is_told_when_it_changed_by_much(pc: DataPc) -> None:
    wish = pc.opened()
    pc.until(lambda: pc.report().used_bytes)
    told, used = len(pc.reports), pc.report().used_bytes

    files = pc.guest.directory / wish.volume / "files"
    (files / "small").write_bytes(bytes(1000))
    pc.time.ahead += 6
    pc.step()
    assert (len(pc.reports), pc.report().used_bytes) == (told, used)

    with (files / "large").open("wb") as file:
        file.truncate(1 << 40)
    pc.time.ahead += 6
    pc.until(lambda: pc.report().used_bytes > 1 << 40)


def test_people_are_known_by_the_same_number_everywhere(pc: DataPc) -> None:
    wish = pc.opened(grants=[Grant(path=b"Documents", person=BOB, access=Access.READ)], grants_revision=1)
    pc.until(lambda: pc.report().grants_revision == 1)

    kept = (pc.guest.directory / wish.volume / "grants.json").read_text()

    assert str(uid_of(BOB)) in kept
    assert codec.decode(pc.slice or b"", MydocSlice).volumes == [wish]
