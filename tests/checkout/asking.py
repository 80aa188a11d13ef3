"""What checkout's tests share: a wish, the key that a PC finds in its slice, what it tells of it."""

from datetime import datetime, timedelta
from typing import Any

import msgspec

from checkout.requesting import Wish
from checkout.wishes import SLICE
from clients.enrolment.signing import KeyStore
from tests.pcs import FakePc
from vrasnode.wire import clients as registry
from vrasnode.wire import codec
from vrasnode.wire.checkout import CheckoutReport, CheckoutSlice, LeaseReport, LeaseState, LeaseWish, UsageKey
from vrasnode.wire.signatures import Role

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def wish(now: datetime, **changed: Any) -> Wish:
    """Three days from in an hour on, to a customer's."""
    so = {
        "starts": now + HOUR,
        "ends": now + 3 * DAY,
        "purpose": "客先でのデモ",
        "destination": "大阪支店",
        "contact": "090-0000-0000",
    }
    return Wish(**{**so, **changed})


def slice_of(pc: FakePc) -> list[LeaseWish]:
    """What the PC is told of its keys, at the real door."""
    desired = codec.decode(pc.get("/node/v1/desired").content, registry.Desired)
    return codec.decode(desired.slices[SLICE], CheckoutSlice).leases


def key_of(pc: FakePc, keys: KeyStore, *, at: datetime) -> UsageKey | None:
    """The one usage key that is lent to the PC; None when nothing is."""
    found = [one.key for one in slice_of(pc) if one.key is not None]
    assert len(found) <= 1
    return keys.keyring().open(found[0], Role.LEASE, UsageKey, at=at) if found else None


def tell(pc: FakePc, lease: str, state: LeaseState, **says: Any) -> Any:
    """The PC's report on one key, at the real door."""
    report = CheckoutReport(leases=[LeaseReport(lease=lease, state=state, **says)])
    return pc.post("/node/v1/reports/checkout", report)


def plain(message: Any) -> bytes:
    return msgspec.json.encode(message)
