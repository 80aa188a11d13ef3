"""What is said of leases, to the server and to people: pure."""

from collections.abc import Mapping, Set
from dataclasses import dataclass
from datetime import timedelta

from vrasnode.checkout import periods
from vrasnode.checkout.floor import Reading
from vrasnode.checkout.state import Kept, Lease
from vrasnode.errors import VrasError
from vrasnode.mydoc.lent import Standing
from vrasnode.wire import codec
from vrasnode.wire.checkout import CheckoutReport, Keeper, LeaseReport, LeaseState, UsageKey
from vrasnode.wire.mydoc import VolumeState

LOCKED = Standing(VolumeState.LOCKED)
STEP_S = 600  # in which what was used is told
NEWS = timedelta(days=7)


@dataclass(frozen=True)
class Seen:
    """One lease, for people. `trouble` is the code of why it opens nothing now."""

    lease: Lease
    trouble: str = ""
    left: timedelta = timedelta(0)
    standing: Standing = LOCKED
    warn_s: tuple[int, ...] = ()
    keeper: Keeper = Keeper.TPM  # what would keep it, or does

    @property
    def key(self) -> UsageKey:
        """It was verified before it was kept."""
        return codec.decode(self.lease.key.payload, UsageKey)

    @property
    def tries_left(self) -> int:
        return max(0, self.key.pin_tries - self.lease.tries)

    @property
    def warning_s(self) -> int | None:
        """The last of the warnings that is due; None: none is."""
        due = [limit for limit in self.warn_s if self.left.total_seconds() <= limit]
        return min(due, default=None)


def report_of(
    kept: Kept,
    reading: Reading,
    *,
    refused: Mapping[str, VrasError],
    gone: Mapping[str, str],
    named: Set[str],
) -> CheckoutReport:
    """What the server hears. `refused` by lease; `gone`: ended ones of which nothing is known here; of those
    that have ended, the ones that it still names, or that ended not long ago."""
    told = [
        _told(one, reading)
        for one in kept.leases
        if one.state is not LeaseState.ENDED or one.lease in named or _is_news(one, reading)
    ]
    known = {one.lease for one in told}
    told += [
        LeaseReport(lease=name, state=LeaseState.REFUSED, code=error.code, words=error.words)
        for name, error in refused.items()
        if name not in known
    ]
    told += [
        LeaseReport(lease=name, state=LeaseState.ENDED, code=code, slot_gone=True)
        for name, code in gone.items()
        if name not in known
    ]
    return CheckoutReport(leases=told, clock=kept.distrust or reading.code)


def _is_news(lease: Lease, reading: Reading) -> bool:
    return lease.since is None or reading.time - lease.since < NEWS


def _told(lease: Lease, reading: Reading) -> LeaseReport:
    ended = lease.state is LeaseState.ENDED
    used_s = lease.used_s if ended else periods.used_s(lease, reading)
    return LeaseReport(
        lease=lease.lease,
        state=lease.state,
        code=lease.code,
        words=lease.words,
        since=lease.since,
        keeper=lease.keeper,
        picked_up=lease.picked_up,
        opened=lease.opened,
        openings=lease.opening,
        used_s=int(used_s) // STEP_S * STEP_S,
        tries_left=0 if ended else Seen(lease).tries_left,
        slot_gone=lease.slot_gone,
        proof=lease.proof,
    )
