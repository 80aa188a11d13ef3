"""What a clever owner of the PC, or its thief, does to get more than was lent: all of it is refused.

Agent code, real LUKS files, real cryptsetup and qemu-storage-daemon, TPMs by swtpm. "Dead" means that a read
was tried and failed, also with every secret that was ever in a lease slot.
"""

import base64
import shutil
import subprocess
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from tests.lab.chip import Chip
from tests.vrasnode.checkout.cast import (
    DAY,
    HOUR,
    MINUTE,
    OTHER_PIN,
    PIN,
    HardwareTpm,
    LeasePc,
    LendingOffice,
)
from tests.vrasnode.conftest import member_of
from tests.vrasnode.mydoccast import BOB
from tests.vrasnode.office import Keys
from vrasnode.checkout import page
from vrasnode.host.tpm import Tpm
from vrasnode.wire import codec
from vrasnode.wire.checkout import Keeper, LeaseState
from vrasnode.wire.mydoc import VolumeState
from vrasnode.wire.signatures import Role, Signed, seal

pytestmark = pytest.mark.slow

LOCKED = VolumeState.LOCKED
PRETENDERS = ("another pc", "another key")
WEEK = timedelta(days=7)


def copied(pc: LeasePc, place: Path, *parts: str) -> Path:
    """A copy of what lies on the PC's disk."""
    for part in parts:
        shutil.copytree(pc.directory / part, place / part, ignore=shutil.ignore_patterns("open", "guest"))
    return place


def put_back(pc: LeasePc, place: Path, *parts: str) -> None:
    for part in parts:
        shutil.copytree(place / part, pc.directory / part, dirs_exist_ok=True)


# Clocks.


def test_the_clock_set_back_while_it_is_open(pc: LeasePc) -> None:
    volume, lease = pc.carried()
    pc.opens_with(volume, lease)

    pc.clocks.set(-2 * DAY)
    pc.until_state(LOCKED, volume)

    assert not pc.readable(volume)
    assert pc.refuses(lease) == "clock_set_back"
    assert pc.told[-1].clock == "clock_set_back"


def test_the_clock_set_back_while_it_is_off(pc: LeasePc) -> None:
    volume, lease = pc.carried()
    pc.clocks.pass_on(2 * DAY)
    pc.step()

    pc.clocks.set(-WEEK)
    pc.switched_off(off=4 * DAY)

    assert pc.refuses(lease) == "clock_set_back"
    assert not pc.readable(volume)


def test_a_clock_set_back_is_believed_again_only_when_the_server_has_signed_the_time(pc: LeasePc) -> None:
    volume, lease = pc.carried()
    pc.clocks.set(-2 * DAY)
    assert pc.refuses(lease) == "clock_set_back"
    pc.step()
    assert pc.told[-1].clock == "clock_set_back"

    pc.come_back()
    pc.clocks.pass_on(MINUTE)
    pc.until(lambda: not pc.told[-1].clock)
    assert "clock_set_back" in {request.trouble for request in pc.office.times}

    pc.leave()
    pc.opens_with(volume, lease)


def test_a_clock_that_stands_still(pc: LeasePc) -> None:
    volume, lease = pc.carried()
    pc.opens_with(volume, lease)

    pc.clocks.freeze()
    pc.clocks.pass_on(3 * DAY + HOUR)
    pc.until(lambda: pc.lease(lease).state is LeaseState.ENDED)

    assert pc.is_dead(volume)


def test_a_clock_held_just_above_the_floor_by_switching_off_is_ended_by_the_hours_that_it_is_on(
    pc: LeasePc,
) -> None:
    volume, lease = pc.carried(budget_s=5 * 3600)
    for _ in range(6):
        pc.clocks.pass_on(HOUR)
        pc.step()
        pc.switched_off(off=timedelta(0))
        pc.clocks.set(-MINUTE)

    pc.until(lambda: pc.lease(lease).state is LeaseState.ENDED)

    assert pc.lease(lease).code == "budget_over"
    assert pc.is_dead(volume)


def test_asleep_over_the_deadline(pc: LeasePc) -> None:
    volume, lease = pc.carried()
    pc.opens_with(volume, lease)

    pc.clocks.pass_on(4 * DAY)  # nobody turned meanwhile
    for part in pc.parts:
        while part.step():
            pass

    assert not pc.readable(volume)


def test_the_agent_killed_at_the_deadline(pc: LeasePc) -> None:
    volume, lease = pc.carried(budget_s=864000)
    pc.opens_with(volume, lease)
    pc.clocks.pass_on(3 * DAY - MINUTE)
    pc.step()

    pc.clocks.pass_on(HOUR)
    pc.restart()
    pc.until(lambda: pc.lease(lease).state is LeaseState.ENDED)

    assert pc.is_dead(volume)


@pytest.mark.parametrize(
    "how", ["another question", *(pytest.param(one, marks=pytest.mark.soak) for one in PRETENDERS)]
)
def test_the_servers_time_of_another_answer(how: str, pc: LeasePc, office: LendingOffice) -> None:
    _, lease = pc.carried()
    pc.clocks.set(-2 * DAY)
    if how == "another question":
        office.alter_time = lambda said: codec.decode(
            codec.encode(said).replace(codec.encode(said.nonce), codec.encode(bytes(16))), type(said)
        )
    if how == "another pc":
        office.alter_time = lambda said: type(said)(client=uuid4(), nonce=said.nonce, time=said.time)
    if how == "another key":
        office.keys.lease = Keys().lease

    pc.come_back()
    pc.clocks.pass_on(MINUTE)
    pc.until(lambda: office.times)
    pc.until(lambda: pc.checkout._asking._asked is None)

    assert pc.refuses(lease) == "clock_set_back"


# The disk.


@pytest.mark.parametrize("with_tpm", [True, False])
def test_the_state_file_deleted(with_tpm: bool, request: pytest.FixtureRequest) -> None:
    pc: LeasePc = request.getfixturevalue("tpm_pc" if with_tpm else "pc")
    volume, lease = pc.carried()

    shutil.rmtree(pc.directory / "checkout")
    pc.switched_off()

    assert pc.picking_refused(lease) in ("not_on_lan", "lease_gone")
    assert pc.refuses(lease) in ("lease_gone", "state_missing")
    assert pc.is_dead(volume)
    assert not pc.has_slot(volume)


def test_the_state_file_edited(pc: LeasePc) -> None:
    volume, lease = pc.carried(budget_s=7200)
    path = pc.directory / "checkout" / "state.json"
    kept = codec.decode(path.read_bytes(), dict[str, str])
    body = base64.b64decode(kept["body"])
    longer = body.replace(b'"budget_s":7200', b'"budget_s":9200')
    assert longer != body
    path.write_bytes(codec.encode({**kept, "body": base64.b64encode(longer).decode()}))

    pc.switched_off()

    assert pc.refuses(lease) == "lease_gone"
    assert pc.told[-1].clock == "state_edited"
    assert pc.is_dead(volume)


def test_an_older_state_file_put_back(tpm_pc: LeasePc, tmp_path: Path) -> None:
    pc = tpm_pc
    volume, lease = pc.carried()
    before = copied(pc, tmp_path / "before", "checkout")
    pc.opens_with(volume, lease)

    put_back(pc, before, "checkout")
    pc.switched_off()

    assert pc.refuses(lease) == "lease_gone"
    assert pc.told[-1].clock == "state_restored"
    assert pc.is_dead(volume)


def test_the_whole_disk_put_back_after_the_return(tpm_pc: LeasePc, tmp_path: Path) -> None:
    """The copy was made while the key was good: its slot, its state and its slice."""
    pc = tpm_pc
    volume, lease = pc.carried()
    before = copied(pc, tmp_path / "before", "checkout", "mydoc")
    pc.checkout.give_back(lease)
    pc.until(lambda: pc.lease(lease).state is LeaseState.ENDED)

    put_back(pc, before, "checkout", "mydoc")
    assert pc.has_slot(volume)
    pc.switched_off()

    assert pc.refuses(lease) == "lease_gone"
    assert not pc.readable(volume)
    assert not pc.has_slot(volume)


def test_the_agent_is_not_asked_but_the_tpm_itself(tpm_pc: LeasePc) -> None:
    """Whoever is root and has copied the sealed half before the return, and knows the PIN."""
    pc = tpm_pc
    _, lease = pc.carried()
    state, keeper = pc.checkout._state, pc.checkout._leases
    assert state is not None
    assert keeper is not None
    kept = state.of(lease)
    code = keeper._stretch.code(PIN, kept.salt)
    assert keeper._keeper.give(kept.kept, code=code)

    pc.checkout.give_back(lease)
    pc.until(lambda: pc.lease(lease).state is LeaseState.ENDED)

    with pytest.raises(Exception, match="key_gone"):
        keeper._keeper.give(kept.kept, code=code)


def test_the_disk_in_another_pc(
    tpm_pc: LeasePc, chip: Callable[[str], Chip], office: LendingOffice, tmp_path: Path
) -> None:
    """All that lies on it, in a PC with a TPM of its own."""
    volume, lease = tpm_pc.carried()
    slices = tpm_pc.checkout_slice, tpm_pc.slice
    copied(tpm_pc, tmp_path / "thief", "checkout", "mydoc", "identity")
    other_tpm = HardwareTpm(chip("thief").tpm.tcti)
    identity = tpm_pc.identity.__class__(tmp_path / "thief" / "identity")
    thief = LeasePc(tmp_path / "thief", office=office, identity=identity, tpm=other_tpm)
    thief.checkout_slice, thief.slice = slices
    thief.heard_at = float("-inf")
    thief.step()

    assert thief.refuses(lease) == "lease_gone"
    assert not thief.readable(volume)
    assert not thief.has_slot(volume)
    thief.close()


def test_the_tpm_state_of_another_machine(
    tpm_pc: LeasePc, chip: Callable[[str], Chip], office: LendingOffice
) -> None:
    """In this PC, beside its own disk: what was sealed by the one before is not opened by it."""
    volume, lease = tpm_pc.carried()

    tpm_pc.tpm = HardwareTpm(chip("another").tpm.tcti)
    tpm_pc.switched_off()

    assert tpm_pc.refuses(lease) == "lease_gone"
    assert not tpm_pc.readable(volume)
    assert not tpm_pc.has_slot(volume)


@pytest.mark.parametrize("with_tpm", [True, False])
def test_an_old_header_copied_back(with_tpm: bool, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """It has the slot again: but nothing gives its secret."""
    pc: LeasePc = request.getfixturevalue("tpm_pc" if with_tpm else "pc")
    volume, lease = pc.carried()
    file = pc.directory / "mydoc" / volume / "volume.luks"
    with file.open("rb") as opened:
        header = opened.read(2 << 20)
    pc.checkout.give_back(lease)
    pc.until(lambda: pc.lease(lease).state is LeaseState.ENDED)
    assert not pc.has_slot(volume)

    with file.open("r+b") as opened:
        opened.write(header)
    (file.parent / "volume.json").unlink()
    assert pc.has_slot(volume)

    assert pc.refuses(lease) == "lease_gone"
    assert not pc.readable(volume)
    pc.restart()
    pc.step()
    assert not pc.has_slot(volume)
    assert pc.is_dead(volume)


# The key.


@pytest.mark.parametrize(
    ("what", "code"),
    [
        ("user", "other_user"),
        ("pc", "other_pc"),
        pytest.param("pc's key", "other_pc", marks=pytest.mark.soak),
        ("volume", "no_volume"),
    ],
)
def test_a_key_for_another(what: str, code: str, pc: LeasePc) -> None:
    wish = pc.opened()
    changes = {
        "user": {"owner": BOB},
        "pc": {"client": uuid4()},
        "pc's key": {"pc_key": "0" * 32},
        "volume": {},
    }[what]

    lease = pc.lend(str(uuid4()) if what == "volume" else wish.volume, **changes)

    report = pc.lease(lease)
    assert (report.state, report.code) == (LeaseState.REFUSED, code)
    assert pc.picking_refused(lease) == "lease_gone"
    assert not pc.has_slot(wish.volume)


def test_before_the_start(pc: LeasePc) -> None:
    now = pc.clocks.true()
    volume, lease = pc.carried(starts=now + DAY, ends=now + 2 * DAY)

    assert pc.refuses(lease) == "lease_not_begun"
    assert not pc.readable(volume)
    pc.clocks.pass_on(DAY)
    pc.opens_with(volume, lease)


def test_after_the_end(pc: LeasePc) -> None:
    volume, lease = pc.carried()

    pc.switched_off(off=4 * DAY)

    assert pc.refuses(lease) == "lease_gone"
    assert pc.is_dead(volume)


def test_picked_up_after_the_end(pc: LeasePc) -> None:
    wish = pc.opened()
    lease = pc.lend(wish.volume)
    pc.clocks.pass_on(4 * DAY)

    assert pc.picking_refused(lease) == "period_over"
    assert not pc.has_slot(wish.volume)


@pytest.mark.parametrize(
    ("how", "code"),
    [
        ("stripped", "bad_signature"),
        ("other key id", "unknown_key"),
        pytest.param("other role", "unknown_key", marks=pytest.mark.soak),
        ("truncated", "bad_signature"),
        ("period changed", "bad_signature"),
        ("written anew", "not_canonical"),
    ],
)
def test_a_key_that_is_not_what_was_signed(how: str, code: str, pc: LeasePc, office: LendingOffice) -> None:
    wish = pc.opened()
    key = pc.usage_key(wish.volume)
    good = pc.sign(key)
    spaced = codec.encode(key).replace(b'{"', b'{ "', 1)
    longer = codec.encode(key).replace(b'"budget_s":259200', b'"budget_s":959200')
    signed = {
        "stripped": Signed(payload=good.payload, key=good.key, signature=b""),
        "other key id": seal(good.payload, Role.LEASE, Keys().lease),
        "other role": seal(good.payload, Role.IMAGE, office.keys.image),
        "truncated": Signed(payload=good.payload[:-20], key=good.key, signature=good.signature),
        "period changed": Signed(payload=longer, key=good.key, signature=good.signature),
        "written anew": seal(spaced, Role.LEASE, office.keys.lease),
    }[how]

    pc.say_key(key.lease, signed)

    report = pc.lease(key.lease)
    assert (report.state, report.code) == (LeaseState.REFUSED, code)
    assert pc.picking_refused(key.lease) == "lease_gone"


def test_the_lease_key_was_rotated(pc: LeasePc, office: LendingOffice) -> None:
    """The root vouches for it no more: what it signed opens nothing."""
    volume, lease = pc.carried()
    office.keys.lease = Keys().lease
    pc.hear_keyring()
    pc.step()

    assert pc.refuses(lease) == "unknown_key"
    assert not pc.readable(volume)


def test_a_key_played_again_after_its_return(pc: LeasePc) -> None:
    volume, lease = pc.carried()
    again = pc.leases[lease]
    pc.checkout.give_back(lease)
    pc.until(lambda: pc.lease(lease).state is LeaseState.ENDED)

    pc.leases[lease] = again
    pc.say_leases()
    pc.another_lan_logon(volume)

    assert pc.picking_refused(lease) == "lease_gone"
    pc.leave()
    assert pc.is_dead(volume)


def test_an_older_key_than_the_newest(pc: LeasePc) -> None:
    wish = pc.opened()
    older = pc.usage_key(wish.volume)
    pc.lend(wish.volume)

    pc.say_key(older.lease, pc.sign(older))

    assert pc.lease(older.lease).code == "old_serial"


def test_two_keys_for_one_volume(pc: LeasePc) -> None:
    volume, first = pc.carried()
    pc.another_lan_logon(volume)
    second = pc.lend(volume)

    pc.checkout.pick_up(second, OTHER_PIN)
    pc.leave()

    assert (pc.lease(first).state, pc.lease(first).code) == (LeaseState.ENDED, "replaced")
    assert pc.refuses(first) == "lease_gone"
    assert not pc.volumes.opens(volume, pc.volumes.lease_keys[0])
    pc.opens_with(volume, second, OTHER_PIN)


# The PIN.


def test_the_wrong_pin_until_it_ends(pc: LeasePc) -> None:
    volume, lease = pc.carried(pin_tries=3)

    said = [pc.refuses(lease, OTHER_PIN) for _ in range(4)]

    assert said == ["wrong_pin", "wrong_pin", "pin_tries", "lease_gone"]
    pc.until(lambda: pc.lease(lease).state is LeaseState.ENDED)
    assert pc.is_dead(volume)


def test_killed_before_the_answer_a_try_counts_all_the_same(pc: LeasePc) -> None:
    _, lease = pc.carried(pin_tries=3)

    class Killed(BaseException):
        pass

    def killed(kept: bytes, *, code: bytes) -> bytes:
        raise Killed

    for _ in range(2):
        assert pc.checkout._leases is not None
        pc.checkout._leases._keeper.give = killed  # type: ignore[method-assign]
        with pytest.raises(Killed):
            pc.checkout.open(lease, OTHER_PIN)
        pc.restart()
        pc.step()

    assert pc.lease(lease).tries_left == 1
    assert pc.refuses(lease, OTHER_PIN) == "pin_tries"


def test_the_tpm_counts_wrong_pins_too(tpm_pc: LeasePc) -> None:
    _, lease = tpm_pc.carried(pin_tries=100)
    few = ["tpm2_dictionarylockout", "-T", tpm_pc.tpm.tcti, "--setup-parameters", "--max-tries=3"]
    subprocess.run([*few, "--recovery-time=600", "--lockout-recovery-time=600"], check=True)

    said = [tpm_pc.refuses(lease, OTHER_PIN) for _ in range(4)]

    assert said == [*3 * ["wrong_pin"], "tpm_locked_out"]
    assert tpm_pc.refuses(lease, PIN) == "tpm_locked_out"
    assert tpm_pc.lease(lease).tries_left == 97


@pytest.mark.parametrize(("pin", "code"), [("7391526", "pin_short"), ("12345678", "pin_simple")])
def test_a_pin_that_is_guessed_at_once(pin: str, code: str, pc: LeasePc) -> None:
    wish = pc.opened()
    lease = pc.lend(wish.volume)

    assert pc.picking_refused(lease, pin) == code


# What a PC without a TPM of its own may be lent.


def test_without_a_tpm_nothing_is_taken_that_does_not_say_so(pc: LeasePc) -> None:
    wish = pc.opened()

    lease = pc.lend(wish.volume, software=False)

    assert (pc.lease(lease).state, pc.lease(lease).code) == (LeaseState.REFUSED, "lease_needs_tpm")


@pytest.mark.soak
def test_the_file_of_a_software_tpm_put_back_is_the_stated_residual(
    office: LendingOffice, tmp_path: Path, chip: Callable[[str], Chip], request: pytest.FixtureRequest
) -> None:
    """It releases the half again: nothing but hardware stops that. So a key must allow it, and it is said."""
    first = chip("pc")
    identity = member_of(office, tmp_path / "identity")
    pc = LeasePc(tmp_path, office=office, identity=identity, tpm=Tpm(first.tpm.tcti))
    request.addfinalizer(pc.close)
    wish = pc.opened()
    refused = pc.lend(wish.volume, software=False)
    assert pc.lease(refused).code == "lease_needs_tpm"
    volume, lease = wish.volume, pc.lend(wish.volume)
    pc.checkout.pick_up(lease, PIN)
    pc.leave()
    assert pc.lease(lease).keeper is Keeper.SOFTWARE_TPM
    assert "Whoever puts back a copy of its file" in page.section(pc.checkout.seen(), "", "en")
    first.end()
    shutil.copytree(tmp_path / "tpm-pc", tmp_path / "copied")
    before = copied(pc, tmp_path / "before", "checkout", "mydoc")
    again = chip("pc")
    pc.tpm = Tpm(again.tpm.tcti)
    pc.restart()
    pc.step()
    pc.checkout.give_back(lease)
    pc.until(lambda: pc.lease(lease).state is LeaseState.ENDED)
    again.end()
    shutil.rmtree(tmp_path / "tpm-pc")
    shutil.copytree(tmp_path / "copied", tmp_path / "tpm-pc")
    put_back(pc, before, "checkout", "mydoc")
    pc.tpm = Tpm(chip("pc").tpm.tcti)
    pc.switched_off()

    pc.opens_with(volume, lease)

    assert pc.readable(volume)


def test_a_lost_pc_has_no_key(pc: LeasePc) -> None:
    volume, lease = pc.carried()
    pc.opens_with(volume, lease)

    pc.welcome = False
    pc.until(lambda: pc.lease(lease).state is LeaseState.ENDED)

    assert pc.lease(lease).code == "lost"
    assert pc.is_dead(volume)
