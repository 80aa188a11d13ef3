"""A usage key's life on a PC, from the slice to its end: real volumes, clocks that a test sets."""

import pytest

from tests.vrasnode.usagekey.cast import DAY, HOUR, PIN, LeasePc
from vrasnode.errors import Refused
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
