"""What time it is, as far as nobody can make it earlier: pure, over what the clocks show and what was kept.

Three things speak. The server's signed time, when it was heard last: no time before it is believed. Seconds
since the PC was started (CLOCK_BOOTTIME): they pass also while it sleeps and nobody sets them, so the floor
rises with them. What the PC's clock shows: it alone knows how long the PC was off; it may be ahead, which
costs its user time, and is not believed when it is behind the floor.

What remains: whoever keeps the clock standing just above the floor each time the PC is off, hides the time
that it was off. The lease's budget of hours that the PC is on ends that, too.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from vrasnode.clock import Clock
from vrasnode.wire.codec import Message

TOLERANCE = timedelta(seconds=120)  # of a clock that is set by the network
SET_BACK, RESTORED = "clock_set_back", "clock_restored"
_NEVER = datetime(2020, 1, 1, tzinfo=UTC)


class Floor(Message, frozen=True):
    """What was known when it was kept: it was not earlier than `time`, `at` seconds after the start
    `boot_id` of the PC. `signed` is the newest time by the server's clock; `ahead_s` is what this PC's clock
    lacked then."""

    time: datetime = _NEVER
    signed: datetime = _NEVER
    at: float = 0.0
    boot_id: str = ""
    ahead_s: float = 0.0


@dataclass(frozen=True)
class Reading:
    """What time it is. `code`: why the PC's clock is not believed; then `time` is only the earliest that it
    can be. `on_s` is how long the PC was on since the floor was kept."""

    time: datetime
    on_s: float
    code: str = ""


def read(floor: Floor, clock: Clock) -> Reading:
    """What time it is now."""
    since_start, same_boot = clock.since_start(), floor.boot_id == clock.boot_id
    on_s = since_start - floor.at if same_boot else since_start
    if on_s < 0:  # these seconds only grow: the machine's memory is an older one
        return Reading(floor.time, 0.0, RESTORED)
    least = floor.time + timedelta(seconds=on_s)
    shown = clock.wall() + timedelta(seconds=floor.ahead_s)
    if shown < least - TOLERANCE:
        return Reading(least, on_s, SET_BACK)
    return Reading(max(shown, least), on_s)


def raised(floor: Floor, clock: Clock) -> Floor:
    """The floor as it is now: it never falls by what the PC's own clocks show."""
    return Floor(
        time=read(floor, clock).time,
        signed=floor.signed,
        at=clock.since_start(),
        boot_id=clock.boot_id,
        ahead_s=floor.ahead_s,
    )


def heard(floor: Floor, clock: Clock, server: datetime) -> Floor:
    """The server has signed what time it is, just now. Nothing else sets the floor lower: where a clock was
    ahead by mistake it is mended; but never lower than what the server had signed before."""
    signed = max(floor.signed, server)
    return Floor(
        time=signed,
        signed=signed,
        at=clock.since_start(),
        boot_id=clock.boot_id,
        ahead_s=(server - clock.wall()).total_seconds(),
    )


def at_least(floor: Floor, clock: Clock, issued: datetime) -> Floor:
    """Something that the server has signed says that this time has come."""
    if issued <= read(floor, clock).time:
        return floor
    return Floor(
        time=issued,
        signed=max(floor.signed, issued),
        at=clock.since_start(),
        boot_id=clock.boot_id,
        ahead_s=floor.ahead_s,
    )
