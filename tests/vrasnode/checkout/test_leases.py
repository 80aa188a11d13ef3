"""A usage key's life on a PC, from the slice to its end: real volumes, clocks that a test sets."""

import base64
import os
import sys
from typing import Any

import pytest

from tests.vrasnode.checkout.cast import DAY, HOUR, OTHER_PIN, PIN, LeasePc
from vrasnode.errors import Refused
from vrasnode.mydoc.guestnames import text_of
from vrasnode.wire.checkout import Keeper, LeaseState
from vrasnode.wire.mydoc import VolumeState

pytestmark = pytest.mark.slow


def test_a_key_picked_up_on_the_lan_opens_away_from_it_until_the_deadline_and_not_after(pc: LeasePc) -> None:
    wish = pc.opened()
    lease = pc.lend(wish.volume)
    assert pc.lease(lease).state is LeaseState.OFFERED
    pc.checkout.pick_up(lease, PIN)
    assert (pc.lease(lease).state, pc.lease(lease).keeper) == (LeaseState.READY, Keeper.PIN)
    pc.leave()
    assert not pc.readable(wish.volume)

    pc.opens_with(wish.volume, lease)

    assert pc.readable(wish.volume)
    assert pc.lease(lease).openings == 1
    pc.clocks.pass_on(2 * DAY)
    pc.step()
    assert pc.readable(wish.volume)
    calls = len(pc.guest.calls)
    pc.clocks.pass_on(DAY + HOUR)
    pc.until_state(VolumeState.LOCKED)
    assert not pc.readable(wish.volume)
    assert pc.guest.calls[calls:] == [
        *("cable out", "volume_cut", "volume_close", "unplug", "overwritten", "cable in"),
    ]
    pc.until(lambda: pc.lease(lease).state is LeaseState.ENDED)
    report = pc.lease(lease)
    assert (report.code, report.slot_gone, pc.has_slot(wish.volume)) == ("period_over", True, False)
    assert report.proof is not None
    assert (report.proof.reason, report.proof.read_failed) == ("period_over", True)
    with pytest.raises(Refused) as refused:
        pc.checkout.open(lease, PIN)
    assert refused.value.code == "lease_gone"


def test_back_on_the_lan_what_was_written_away_is_copied_first(pc: LeasePc) -> None:
    volume, lease = pc.carried()
    pc.opens_with(volume, lease)
    pc.checkout.give_back(lease)
    pc.until(lambda: pc.lease(lease).state is LeaseState.ENDED)
    assert pc.copying.asked == []

    pc.another_lan_logon(volume)
    pc.step()

    assert pc.copying.asked == [volume]
    pc.copying.copied_at = pc.clocks.true() + HOUR
    pc.step()
    pc.copying.asked.clear()
    pc.step()
    assert pc.copying.asked == []


def test_a_logon_on_the_lan_takes_over_what_is_open_by_a_usage_key(pc: LeasePc) -> None:
    volume, lease = pc.carried()
    pc.opens_with(volume, lease)
    daemon = pc.volumes.serving(volume)

    pc.another_lan_logon(volume)
    pc.until(lambda: pc.lease(lease).state is LeaseState.CLOSED)

    assert pc.volumes.serving(volume) == daemon
    pc.checkout.give_back(lease)
    pc.until(lambda: pc.lease(lease).state is LeaseState.ENDED)
    assert pc.readable(volume)
    assert not pc.has_slot(volume)


def test_what_is_open_by_a_usage_key_is_not_cut_off_by_the_servers_silence(pc: LeasePc) -> None:
    volume, lease = pc.carried()
    pc.opens_with(volume, lease)

    pc.clocks.pass_on(HOUR)
    pc.step()

    assert pc.readable(volume)
    assert pc.report(volume).session.startswith("lease ")


def test_after_a_restart_of_the_pc_the_pin_opens_it_again(tpm_pc: LeasePc) -> None:
    pc = tpm_pc
    volume, lease = pc.carried()
    pc.opens_with(volume, lease)

    pc.switched_off(off=HOUR)
    pc.until_state(VolumeState.LOCKED, volume)
    assert not pc.readable(volume)

    pc.opens_with(volume, lease)
    assert (pc.lease(lease).openings, pc.lease(lease).keeper) == (2, Keeper.TPM)
    assert pc.readable(volume)


def test_a_key_withdrawn_by_the_server_is_gone_as_soon_as_it_is_heard(pc: LeasePc) -> None:
    volume, lease = pc.carried()
    pc.opens_with(volume, lease)

    pc.end(lease)
    pc.until(lambda: pc.lease(lease).state is LeaseState.ENDED)

    assert pc.lease(lease).code == "withdrawn"
    assert pc.is_dead(volume)


def test_a_key_for_some_folders_shares_these_alone_and_a_logon_on_the_lan_all(pc: LeasePc) -> None:
    volume, lease = pc.carried(folders=["Documents/見積".encode()])
    assert "folders" not in pc.guest.args["share_open"]

    pc.opens_with(volume, lease)

    assert pc.guest.args["share_open"]["folders"] == [text_of("Documents/見積".encode())]
    pc.another_lan_logon(volume)
    assert "folders" not in pc.guest.args["share_open"]


class Watched:
    """Every program that this process starts, with its arguments and its environment, while it is `on`."""

    def __init__(self) -> None:
        self.on = False
        self.started: list[bytes] = []
        sys.addaudithook(self._hear)  # for good: Python takes none away again

    def _hear(self, event: str, args: tuple[Any, ...]) -> None:
        if self.on and event == "subprocess.Popen":
            _program, arguments, _place, environment = args
            self.started.append(repr((arguments, environment or dict(os.environ))).encode())


def test_no_secret_stands_in_the_arguments_or_the_environment_of_a_program(tpm_pc: LeasePc) -> None:
    pc, watched = tpm_pc, Watched()
    watched.on = True
    volume, lease = pc.carried()
    keeper, state = pc.checkout._leases, pc.checkout._state
    assert keeper is not None
    assert state is not None
    kept = state.of(lease)
    pc.refuses(lease, OTHER_PIN)
    pc.opens_with(volume, lease)
    code = keeper._stretch.code(PIN, kept.salt)
    half = keeper._keeper.give(kept.kept, code=code)
    pc.checkout.give_back(lease)
    pc.until(lambda: pc.lease(lease).state is LeaseState.ENDED)
    watched.on = False

    (slot,) = pc.volumes.lease_keys
    forms = [PIN.encode(), OTHER_PIN.encode(), code.hex()[:32].encode()]
    for secret in (code, half, slot):
        forms += [secret.hex().encode(), base64.b64encode(secret), repr(secret)[2:-1].encode()]
    said = b"\n".join(watched.started)
    assert b"tpm2_unseal" in said
    assert b"cryptsetup" in said
    assert [form for form in forms if form in said] == []
