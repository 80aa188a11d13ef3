"""Whether a lease may be used now: pure rules over what is kept of it and what time it is."""

from datetime import datetime, timedelta

from msgspec.structs import replace

from vrasnode.checkout import floor
from vrasnode.checkout.floor import Reading
from vrasnode.checkout.state import Kept, Lease
from vrasnode.clock import Clock
from vrasnode.wire.checkout import LeaseState

NOT_BEGUN, OVER, BUDGET = "lease_not_begun", "period_over", "budget_over"
FINAL = frozenset({OVER, BUDGET})  # nothing that the PC hears makes it good again


def trouble(lease: Lease, kept: Kept, reading: Reading) -> str:
    """The code of why it may not be used; "" when it may."""
    if reading.time >= lease.ends:
        return OVER
    if used_s(lease, reading) >= lease.budget_s:
        return BUDGET
    if kept.distrust or reading.code:
        return kept.distrust or reading.code
    return NOT_BEGUN if reading.time < lease.starts else ""


def used_s(lease: Lease, reading: Reading) -> float:
    """How long the PC was on within the period."""
    within = (reading.time - lease.starts).total_seconds()
    return lease.used_s + max(0.0, min(reading.on_s, within))


def left(lease: Lease, reading: Reading) -> timedelta:
    """Until it is over for the one reason or the other."""
    by_budget = timedelta(seconds=lease.budget_s - used_s(lease, reading))
    return max(timedelta(0), min(lease.ends - reading.time, by_budget))


def may_be_on_s(lease: Lease, now: datetime) -> float:
    """How long the PC can be on, from now until the lease is over."""
    before = max(0.0, (lease.starts - now).total_seconds())
    return min((lease.ends - now).total_seconds(), before + lease.budget_s)


def advanced(kept: Kept, clock: Clock) -> Kept:
    """What is kept, with the time that has passed: the floor is raised, and what was used of each budget."""
    reading = floor.read(kept.floor, clock)
    leases = [
        one if one.state is LeaseState.ENDED else replace(one, used_s=used_s(one, reading))
        for one in kept.leases
    ]
    return replace(kept, floor=floor.raised(kept.floor, clock), leases=leases)
